"""Recordings that are arrays in memory, with their sample rate."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio.files import MAX_CHANNELS, MAX_RATE, MIN_RATE
from speechlstm.data.audio.values import as_float32
from speechlstm.types import UsageError

_WANTED = (
    "must be (samples,) or (samples, channels), of floats with full scale 1 or of integers of at most 32 bits"
)


def checked_array(audio: tuple[Any, Any]) -> tuple[NDArray[np.float32], int]:
    """Check an array or tensor and its rate; return `(samples, channels)` float32 with full scale 1, and the rate.

    Raises:
        UsageError: it is something else than `(array, sample_rate)`, or its shape, type, or rate is not audio's.
    """
    if len(audio) != 2 or isinstance(audio[0], str | bytes | os.PathLike) or hasattr(audio[0], "read"):
        what = f"of {len(audio)}" if len(audio) != 2 else f"that begins with a {type(audio[0]).__name__}"
        raise UsageError(
            f"audio is a tuple {what}, but must be (array, sample_rate); give several recordings as a list"
        )
    samples, rate = _numpy(audio[0]), audio[1]
    if not isinstance(rate, int | np.integer) or not MIN_RATE <= rate <= MAX_RATE:
        shown = repr(rate) if np.ndim(rate) == 0 else f"a {type(rate).__name__}"
        raise UsageError(
            f"the sample rate of an array is {shown}, but must be a whole number of Hz from {MIN_RATE} to {MAX_RATE}; "
            "give (array, sample_rate)"
        )
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi" or samples.dtype == np.int64:
        raise UsageError(
            f"audio is an array of shape {samples.shape} and type {samples.dtype}, but {_WANTED}"
        )
    if samples.ndim == 2 and not 1 <= samples.shape[1] <= MAX_CHANNELS:
        raise UsageError(
            f"audio is an array of shape {samples.shape}, which is (samples, channels), but there can be 1 to "
            f"{MAX_CHANNELS} channels; transpose it if the channels come first"
        )
    scaled = as_float32(samples[:, None] if samples.ndim == 1 else samples)
    return np.require(scaled, requirements="W"), int(rate)


def _numpy(value: Any) -> NDArray[Any]:
    """Return an array, a tensor (on any device, with gradients or without), or nested lists as an array."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError):
        raise UsageError(
            f"audio is a {type(value).__name__} that is no array of numbers, but {_WANTED}"
        ) from None

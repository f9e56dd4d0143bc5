"""A random change of a waveform, and what all of them need."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from speechlstm.types import UsageError

Samples = NDArray[np.float32]


class Change(ABC):
    """A random change of waveforms.

    Args:
        probability: of changing a waveform at all.
    """

    def __init__(self, probability: float) -> None:
        if not 0 <= probability <= 1:
            raise UsageError(f"augment: probability {probability} must be from 0 to 1")
        self.probability = probability

    def __call__(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return `(samples,)`, changed or not; the same `rng` gives the same."""
        if len(waveform) == 0 or rng.random() >= self.probability:
            return waveform
        return self.apply(waveform, rng).astype(np.float32, copy=False)

    @abstractmethod
    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return a changed copy of at least one sample."""


def span(name: str, values: object, low: float, high: float) -> tuple[float, float]:
    """Return the least and greatest value of a setting such as `[0, 20]`.

    Raises:
        UsageError: there are not two, not in order, or not between `low` and `high`.
    """
    if (
        isinstance(values, list | tuple)
        and len(values) == 2
        and all(isinstance(value, int | float) for value in values)
        and low <= values[0] <= values[1] <= high
    ):
        return float(values[0]), float(values[1])
    raise UsageError(
        f"augment: {name} is {values!r}, but must be [least, greatest], from {low:g} to {high:g}"
    )


def rms(waveform: Samples) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))

"""A bundle's record of its training utterances, so that nobody evaluates or tunes on them unknowingly."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.types import BundleError, Utterance

_REMEMBERED = 8192  # training utterances whose hashes a bundle keeps


def trained_on(config: Mapping[str, Any], utterances: Sequence[Utterance]) -> float:
    """Return the share of utterances, as far as a bundle's config remembers, that the model was trained on.

    Raises:
        BundleError: what it remembers is damaged.
    """
    try:
        known = np.frombuffer(base64.b64decode(config.get("trained_on", "")), "<u4")
    except (TypeError, ValueError) as error:
        raise BundleError(f"trained_on in the bundle's config.json is damaged: {error}") from None
    hashes = np.array([_hash(utterance) for utterance in utterances], dtype=np.uint32)
    if len(known) == _REMEMBERED:  # of a larger training only the smallest hashes are known
        hashes = hashes[hashes <= known.max()]
    return float(np.isin(hashes, known).mean()) if len(hashes) else 0.0


def sketch(utterances: Sequence[Utterance]) -> str:
    """Return what a bundle remembers of its training utterances: the smallest of their hashes, as base64."""
    hashes = np.unique([_hash(utterance) for utterance in utterances])[:_REMEMBERED]
    return base64.b64encode(hashes.astype("<u4").tobytes()).decode("ascii")


def _hash(utterance: Utterance) -> int:
    name = f"{Path(utterance.audio_filepath).stem}|{utterance.offset:.3f}|{utterance.text}"
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))

"""Samples of any type become float32 with full scale 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float32).max)


def as_float32(data: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples of any shape, floats, signed integers, or unsigned bytes, as float32 with full scale 1.

    Floats beyond the range of float32 stay finite, so that they are reported as too loud.
    """
    if data.dtype.kind == "u":
        return (data.astype(np.int16) - 128).astype(np.float32) / np.float32(128)
    if data.dtype.kind == "i":
        return data.astype(np.float32) / np.float32(-float(np.iinfo(data.dtype).min))
    if data.dtype.itemsize > 4:
        data = np.where(np.isinf(data), data, np.clip(data, -_LARGEST, _LARGEST))
    return data.astype(np.float32, copy=False)

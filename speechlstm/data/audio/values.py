"""Samples of any floating-point type become float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float32).max)


def as_float32(data: NDArray[Any]) -> NDArray[np.float32]:
    """Return samples of any shape as float32; those beyond its range stay finite, so that a reader can report them."""
    if data.dtype.kind == "f" and data.dtype.itemsize > 4:
        data = np.where(np.isinf(data), data, np.clip(data, -_LARGEST, _LARGEST))
    return data.astype(np.float32, copy=False)

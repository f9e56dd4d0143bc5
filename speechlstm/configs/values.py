"""Settings that are numbers: whether they are, and lie where they must."""

from __future__ import annotations

import math

from omegaconf import DictConfig

from speechlstm.types import UsageError

LARGEST_SEED = 2**32 - 1


def whole(cfg: DictConfig, key: str, least: int = 1, most: int = LARGEST_SEED) -> int:
    """Return a setting that must be a whole number.

    Raises:
        UsageError: it is none, or lies outside.
    """
    value = cfg[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{key} is {value!r}, but must be a whole number from {least} to {most:,}")
    return value


def number(cfg: DictConfig, key: str, least: float = -math.inf, below: float = math.inf) -> float:
    """Return a setting that must be a number, at least `least` and less than `below`.

    Raises:
        UsageError: it is none, or lies outside.
    """
    value = cfg[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < below:
        raise UsageError(f"{key} is {value!r}, but must be a number from {least:g} to less than {below:g}")
    return float(value)

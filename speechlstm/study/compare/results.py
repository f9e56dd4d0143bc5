"""Results on disk, a line of JSON each: written when they are there, never computed twice; and what they tell."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.types import SpeechlstmError

_RESAMPLES = 2000  # of the bootstrap


def read(path: Path, names: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Read results by their values for `names`; a last line that was not written to its end is cut off.

    Raises:
        SpeechlstmError: another line is damaged.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:  # killed while writing: that result is computed again
        with path.open("r+b") as file:
            file.truncate(len(whole))
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            result = json.loads(line)
            found[tuple(result[name] for name in names)] = result
        except (ValueError, KeyError, TypeError):
            raise SpeechlstmError(
                f"{path}:{number}: no result; delete the line, or use another out="
            ) from None
    return found


def append(path: Path, result: dict[str, Any]) -> None:
    """Add a result, on the disk itself when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
        file.flush()
        os.fsync(file.fileno())


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of values, and its 95 % interval by the bootstrap; of one value nothing but that."""
    numbers = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (_RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[drawn].mean(axis=1), [2.5, 97.5])
    return float(numbers.mean()), float(low), float(high)

"""Results on disk, one line of JSON each, so that none is computed twice."""

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
    """Read results by their values for `names`; an incomplete last line is cut off.

    Raises:
        SpeechlstmError: another line is damaged.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:  # killed while writing: that result is computed again
        os.truncate(path, len(whole))
    found = {}
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            result = json.loads(line)
            found[tuple(result[name] for name in names)] = result
        except (ValueError, KeyError, TypeError):
            raise SpeechlstmError(
                f"{path}:{number}: not a result; delete the line, or use another out="
            ) from None
    return found


def append(path: Path, result: dict[str, Any]) -> None:
    """Add a result, which is safely on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
        file.flush()
        os.fsync(file.fileno())


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of values and its 95 % bootstrap interval."""
    numbers = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (_RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[drawn].mean(axis=1), [2.5, 97.5])
    return float(numbers.mean()), float(low), float(high)

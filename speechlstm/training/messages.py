"""Messages of a training: printed once for all ranks, and kept in Hydra's log file."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from lightning_fabric.utilities.rank_zero import rank_zero_only

from speechlstm.data import progress

_log = logging.getLogger("speechlstm.training")


def is_first() -> bool:
    """Return whether this process is rank 0, which speaks and writes for all; known before there is a trainer."""
    return int(vars(rank_zero_only)["rank"]) == 0


def say(*lines: str, file: TextIO | None = None) -> None:
    """Print lines once for all ranks, on stderr or elsewhere, and write them to the log."""
    if not is_first():
        return
    for line in lines:
        progress.write(line, file or sys.stderr)
        _log.info("%s", line)

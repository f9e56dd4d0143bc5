"""Transcripts and pictures logged in the same way to every kind of Lightning logger."""

from __future__ import annotations

import contextlib
import csv
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric.loggers.logger import Logger
from numpy.typing import NDArray
from pytorch_lightning.loggers import CSVLogger

_LONGEST = 1_000  # characters of a text that are shown


def log_transcripts(
    logger: Logger, name: str, rows: Sequence[tuple[str, str]], epoch: int, step: int
) -> None:
    """Show references beside hypotheses.

    A logger that takes tables (Weights & Biases) gets a table, one that takes texts (TensorBoard) a text; beside the
    metrics of a CSV logger stands a file `transcripts.csv`; others get nothing.
    """
    rows = [(reference[:_LONGEST], hypothesis[:_LONGEST]) for reference, hypothesis in rows]
    if hasattr(logger, "log_text"):
        logger.log_text(name, ["reference", "hypothesis"], [list(row) for row in rows], step=step)
    elif hasattr(board := _board(logger), "add_text"):
        text = "\n\n".join(f"    reference  {reference}\n    hypothesis {text}" for reference, text in rows)
        board.add_text(name, text, step)
    elif isinstance(logger, CSVLogger):
        path = Path(logger.log_dir) / "transcripts.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["epoch", "step", "reference", "hypothesis"])
            writer.writerows([epoch, step, *row] for row in rows)


def shows_images(logger: Logger) -> bool:
    """Return whether `log_image` shows anything."""
    return hasattr(logger, "log_image") or hasattr(_board(logger), "add_image")


def log_image(logger: Logger, name: str, image: NDArray[np.uint8], step: int) -> None:
    """Show a picture `(height, width, 3)`, where the logger can."""
    if hasattr(logger, "log_image"):
        logger.log_image(name, [image], step)
    elif hasattr(board := _board(logger), "add_image"):
        board.add_image(name, image, step, dataformats="HWC")


@contextlib.contextmanager
def writers_without_traces() -> Iterator[None]:
    """Print no traceback when TensorBoard's thread cannot write: its logger raises the same error at the next write."""
    hook = threading.excepthook

    def called(failure: threading.ExceptHookArgs) -> None:
        of_writer = type(failure.thread).__module__.startswith("tensorboard.")
        if not (of_writer and isinstance(failure.exc_value, OSError)):
            hook(failure)

    threading.excepthook = called
    try:
        yield
    finally:
        threading.excepthook = hook


def _board(logger: Logger) -> Any:
    """Return what a logger writes to, if it tells."""
    return getattr(logger, "experiment", None)

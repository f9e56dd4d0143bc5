"""Transcripts and pictures reach every kind of logger."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tones import fit

from speechlstm.training.loggers import log_image, log_transcripts, shows_images

ROWS = [("a b", "a"), ("c", 'c "d"')]
IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


class Table:
    """Takes tables and pictures, as the logger of Weights & Biases does."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, ...]] = []

    def log_text(self, key: str, columns: list[str], data: list[list[str]], step: int) -> None:
        self.got.append((key, columns, data, step))

    def log_image(self, key: str, images: list[Any], step: int) -> None:
        self.got.append((key, images, step))


def test_a_table() -> None:
    logger = Table()
    log_transcripts(logger, "x", ROWS, 1, 7)  # type: ignore[arg-type]
    log_image(logger, "y", IMAGE, 8)  # type: ignore[arg-type]
    assert logger.got[0] == ("x", ["reference", "hypothesis"], [list(row) for row in ROWS], 7)
    assert logger.got[1] == ("y", [IMAGE], 8) and shows_images(logger)  # type: ignore[arg-type]


def test_tensorboard(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name=None, version="logs")
    log_transcripts(logger, "x", ROWS, 1, 7)
    log_image(logger, "y", IMAGE, 8)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    (text,) = events.Tensors("x/text_summary")
    assert text.step == 7 and b"reference  a b" in text.tensor_proto.string_val[0]
    (image,) = events.Images("y")
    assert (image.width, image.height) == (6, 4) and shows_images(logger)


def test_a_csv_logger_gets_a_file(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="csv")
    assert not shows_images(logger)
    log_transcripts(logger, "x", ROWS, 0, 7)
    log_transcripts(logger, "x", ROWS[:1], 1, 9)
    log_image(logger, "y", IMAGE, 8)
    (path,) = tmp_path.rglob("transcripts.csv")
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["epoch", "step", "reference", "hypothesis"]
    assert lines[1:] == [["0", "7", *ROWS[0]], ["0", "7", *ROWS[1]], ["1", "9", *ROWS[0]]]


def test_a_training_leaves_its_transcripts(here: Path) -> None:
    fit("out=run", "trainer.max_epochs=2")
    with Path("run/csv/version_0/transcripts.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["epoch"], line["reference"]) for line in lines] == [
        ("0", "a c"), ("0", "b"), ("1", "a c"), ("1", "b"),
    ]  # fmt: skip


def test_weights_and_biases_without_a_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'speechlstm[wandb]'")
    for name, value in {"MODE": "offline", "SILENT": "true", "CONFIG_DIR": "c", "CACHE_DIR": "c"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("HOME", str(here))
    wandb.teardown()  # it keeps the environment that it has read once
    fit("logger=wandb", "logger.wandb.offline=true", "out=run", "trainer.max_epochs=1")
    wandb.finish()
    (table,) = Path("run/wandb").rglob("*.table.json")
    assert '"a c"' in table.read_text()

"""Pictures of posteriors: drawn once a validation, of the utterance in its middle, with the spikes where they are."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tones import fit, write, write_both

from speechlstm.study.pictures import draw

pytest.importorskip("matplotlib")
TOKENS = ["<blank>", "a", "$b", "c"]


def picture(spike: int, token: int, title: str = "said: a") -> np.ndarray:
    posteriors = np.full((10, len(TOKENS)), 0.01, np.float32)
    posteriors[:, 0] = 0.97
    posteriors[spike] = 0.01
    posteriors[spike, token] = 0.97
    return draw(np.zeros((40, 8), np.float32), posteriors, TOKENS, 0.01, title)


def bright_columns(image: np.ndarray) -> np.ndarray:
    """Return where the token's row, the second of two, is of the map's bright end."""
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    bright = (red > 200) & (green > 200) & (blue < 100)
    columns = np.flatnonzero(bright[int(0.7 * len(image)) : int(0.9 * len(image))][-15:].any(axis=0))
    return columns[columns < 0.85 * image.shape[1]]  # beyond stands the color bar


def test_a_spike_stands_at_its_time() -> None:
    early, late = bright_columns(picture(1, 1)), bright_columns(picture(8, 1))
    assert len(early) and len(late) and early.max() < late.min()
    assert picture(1, 1).dtype == np.uint8 and picture(1, 1).shape[2] == 3


def test_titles_and_tokens_are_no_formulas() -> None:
    picture(3, 2, "said: a $b$ $c^{")


def shown(folder: Path) -> list[Image.Image]:
    board = EventAccumulator(str(folder / "logs"), size_guidance={"images": 0})
    board.Reload()
    if "val/posteriors" not in board.Tags()["images"]:
        return []
    return [Image.open(io.BytesIO(event.encoded_image_string)) for event in board.Images("val/posteriors")]


@pytest.mark.parametrize("installed", [True, False])
def test_each_validation_shows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    write_both(tmp_path)
    write(tmp_path, "dev", ["a c", "b", "c"])
    monkeypatch.chdir(tmp_path)
    if not installed:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    board = "+logger.board={_target_:pytorch_lightning.loggers.TensorBoardLogger,save_dir:run,name:null,version:logs}"
    fit("out=run", "callbacks=pictures", board, "trainer.max_epochs=2", "data.batch_seconds=0.9")
    images = shown(tmp_path / "run")
    assert [image.width for image in images] == ([1000, 1000] if installed else [])

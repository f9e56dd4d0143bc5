"""The bar on a terminal, and the times in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tones import fit

from speechlstm.training.callbacks.progress import clock
from speechlstm.training.loss import CtcLoss


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 61, 3599.6, 7384)] == ["0:00", "1:01", "1:00:00", "2:03:04"]


def test_a_terminal_gets_a_bar_and_a_file_gets_none(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["trainer.max_epochs=2", "data.batch_seconds=1", "data.cache=false"]
    fit("out=one", *settings)
    said = capsys.readouterr()
    assert "|" not in said.err and said.out.count("\n") == 2, "a line each"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit("out=two", *settings)
    said = capsys.readouterr()
    frames = [frame for frame in said.err.split("\r") if frame.startswith("epoch ")]
    assert any("/3, step " in frame and "loss " in frame and "learning rate " in frame for frame in frames)
    assert any("s of audio/s" in frame for frame in frames) and any("validating" in frame for frame in frames)


def test_a_loss_is_told_the_texts_before_the_first_batch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(CtcLoss, "prepare", lambda self, targets, size: told.append((len(targets), size)))
    model, _ = fit("out=run", "trainer.max_epochs=1")
    assert told == [(6, len(model.tokenizer))]

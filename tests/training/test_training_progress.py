"""The bar on a terminal, and the times in it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tones import fit

from speechlstm.data import progress
from speechlstm.training.callbacks.progress import clock
from speechlstm.training.loss import CtcLoss


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0.4, 61, 3599.6, 7384)] == ["0:00", "1:01", "1:00:00", "2:03:04"]


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["trainer.max_epochs=2", "data.batch_seconds=1", "data.cache=false"]
    fit("out=one", *settings)
    shown = capsys.readouterr()
    assert shown.err == "" and shown.out.count("\n") == 2, "an epoch, a line"
    assert re.search(
        r"epoch 2/2: update 6, loss \S+, learning rate \S+, \d+ s of audio/s, 0:0\d an epoch; WER ", shown.out
    )
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    fit("out=two", *settings)
    assert re.search(
        r"epoch 1/2: 2 of 6 updates, \S+ a second, \S+ left; loss \S+, learning rate \S+, \d+ s of audio/s",
        capsys.readouterr().err,
    )
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    fit("out=three", *settings)
    shown = capsys.readouterr()
    drawn = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.err)
    assert "epoch 2/2" in drawn and "6/6" in drawn and "s of audio/s" in drawn
    assert shown.out.count("\n") == 2, "results are not on the stream of the bar"


def test_a_loss_gets_the_texts_before_the_first_batch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(CtcLoss, "prepare", lambda self, targets, size: given.append((len(targets), size)))
    model, _ = fit("out=run", "trainer.max_epochs=1")
    assert given == [(6, len(model.tokenizer))]

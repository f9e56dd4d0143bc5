"""Trainings that lose their folder or their loader processes: a status, a sentence, and nothing of others spoiled."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tones import during

QUICK = ["trainer.max_epochs=1", "data.num_workers=0"]


def test_a_log_that_cannot_be_written_is_named(train: Callable[..., Any]) -> None:
    Path("run/train.log").mkdir(parents=True)
    status, shown = train(*QUICK)
    assert status == 1 and "run/train.log: Is a directory; make room for it, or choose another out=" in shown
    assert not Path("run/bundle").exists()


def test_a_training_that_would_leave_nothing_is_refused(train: Callable[..., Any]) -> None:
    status, shown = train(*QUICK, "~callbacks")
    assert status == 2 and "no callback keeps a checkpoint" in shown
    assert not Path("run/csv").exists()


def test_files_of_others_in_the_folder_stay_as_they_are(train: Callable[..., Any]) -> None:
    """What would take the bundle's place is refused before the training, and the rest does not matter."""
    others = {Path("run/notes.txt"), Path("run/checkpoints/a.ckpt"), Path("run/bundle/README.md")}
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    status, shown = train(*QUICK)
    assert status == 2 and "run/bundle: holds something else than a bundle" in shown
    assert all(path.read_text() == "mine" for path in others)
    Path("run/bundle/README.md").unlink()
    assert train(*QUICK)[0] == 0 and Path("run/bundle/model.safetensors").exists()
    assert all(path.read_text() == "mine" for path in others if path.parent.name != "bundle")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(train: Callable[..., Any]) -> None:
    Path("run").mkdir()
    Path("run/train.log").touch()
    Path("run/train.log").chmod(0o444)
    Path("run").chmod(0o555)
    status, shown = train(*QUICK)
    assert status == 1 and "run" in shown and "Permission denied" in shown


def test_a_folder_that_goes_away_is_named_or_made_again(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, 1, lambda: shutil.rmtree("run"))
    status, shown = train("trainer.max_epochs=2", "data.num_workers=0")
    assert (status == 1 and "run" in shown) or Path("run/bundle/config.json").exists()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["", "/logs"])
def test_tensorboards_thread_leaves_it_to_one_sentence_that_the_folder_is_gone(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    board = "{_target_:pytorch_lightning.loggers.TensorBoardLogger,save_dir:run,name:null,version:logs}"
    during(monkeypatch, 1, lambda: shutil.rmtree(f"run{what}"))
    status, shown = train("trainer.max_epochs=9", "data.num_workers=0", f"+logger.board={board}")
    assert status == 1
    assert re.fullmatch(
        r"error: \S*run/\S+: is gone; while the training ran, .* moved \S*run, .*again.*",
        shown.splitlines()[-1],
    )


def loaders() -> list[int]:
    return [int(process.pid or 0) for process in multiprocessing.active_children()]


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (signal.SIGKILL, "a loader process has ended unexpectedly"),
        (signal.SIGSTOP, "a loader process has given no batch for 8 s (data.timeout)"),
    ],
)
def test_a_lost_loader_is_noticed_and_the_same_command_goes_on(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, number: int, answer: str
) -> None:
    settings = ["trainer.max_epochs=3", "data.num_workers=1", "data.cache=false", "data.timeout=8"]
    settings += ["data.batch_seconds=0.6"]
    begun = time.monotonic()
    with monkeypatch.context() as patch:
        during(patch, 1, lambda: [os.kill(pid, number) for pid in loaders()])
        status, shown = train(*settings)
    assert status == 1 and answer in shown and "the same command again to resume" in shown
    assert not loaders(), "none is left, stopped or not"
    assert time.monotonic() - begun < 60
    status, shown = train(*settings)
    assert status == 0 and "going on from" in shown and Path("run/bundle/config.json").exists()

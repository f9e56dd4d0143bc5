"""Interruptions: a training that crashed, was killed or was asked to stop ends as if nothing had been."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from tones import TINY, command, fit, last, same_end
from warm import Server

from speechlstm.training import ranks
from speechlstm.training.callbacks.interruptions import LastCheckpoint, requeue
from speechlstm.training.module import TrainingModule
from speechlstm.types import SpeechlstmError

ROOT = Path(__file__).parents[2]
LIVELY = [
    "augment=noisy", "scheduler=one_cycle", "encoder.dropout=0.2", "data.batch_seconds=1",
    "~scheduler.start_factor", "~scheduler.total_iters",
]  # fmt: skip
EVEN = ["augment=noisy", "encoder.dropout=0.2", "data.batch_seconds=1", "scheduler=constant"]


@functools.cache
def in_peace(*settings: str) -> dict[str, object]:
    fit(*LIVELY, *settings, "out=whole")
    return last("whole")


class CrashError(Exception):
    pass


def at(
    patch: pytest.MonkeyPatch,
    step: str,
    epoch: int,
    batch: int,
    happens: Callable[[], None] | int | None = None,
) -> None:
    """Let something happen in a step of an epoch: a signal, or else a crash."""
    original = getattr(TrainingModule, step)

    def stumble(self: TrainingModule, data: object, index: int) -> object:
        if (self.current_epoch, index) == (epoch, batch):
            if happens is None:
                raise CrashError
            happens() if callable(happens) else signal.raise_signal(happens)
        return original(self, data, index)

    patch.setattr(TrainingModule, step, stumble)


# An epoch has three batches; `goes on` is the number of updates of the checkpoint that is left.
@pytest.mark.parametrize(
    ("settings", "stop", "step", "epoch", "batch", "goes_on"),
    [
        ([], None, "training_step", 2, 1, 6),  # from the end of the epoch before
        (["data.cache=false"], None, "training_step", 0, 1, None),
        (["callbacks.last.every_minutes=0"], None, "training_step", 2, 2, 8),  # from the batch before
        (["data.num_workers=1"], signal.SIGTERM, "training_step", 2, 0, 7),
        ([], signal.SIGINT, "training_step", 1, 2, 6),  # from before the validation
        (["data.num_workers=1"], signal.SIGUSR1, "validation_step", 1, 0, 6),
        (["trainer.check_val_every_n_epoch=2"], signal.SIGTERM, "training_step", 2, 2, 9),
        (["+trainer.val_check_interval=2"], signal.SIGTERM, "training_step", 2, 1, 8),
        (["+trainer.accumulate_grad_batches=2"], signal.SIGTERM, "training_step", 2, 0, 5),
    ],
)
def test_an_interrupted_training_ends_with_the_same_weights(
    here: Path, settings: list[str], stop: int | None, step: str, epoch: int, batch: int, goes_on: int | None
) -> None:
    """Order, speeds, masks, dropout, optimizer, schedule, averages: all are as they would be."""
    whole = in_peace(*(each for each in settings if "trainer" in each))  # the others change no weight
    with pytest.MonkeyPatch.context() as patch:
        at(patch, step, epoch, batch, stop)
        with pytest.raises((CrashError, SystemExit)) as stopped:
            fit(*LIVELY, *settings, "out=parts")
    assert not multiprocessing.active_children(), "the loaders have ended, or they would keep this process"
    if stop:
        assert stopped.value.code == {signal.SIGINT: 130}.get(stop, 143)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL, "handlers are as before"
    left = Path("parts/checkpoints/last.ckpt").exists()
    assert (last("parts")["global_step"] if left else None) == goes_on
    fit(*LIVELY, *settings, "out=parts")
    assert same_end(last("parts"), whole)


@pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path.:UserWarning")  # no longer `max_time`
@pytest.mark.parametrize(
    ("settings", "cut", "stands"),
    [
        (["+trainer.limit_train_batches=2"], "trainer.max_epochs=2", (2, 0)),
        ([], "+trainer.max_steps=7", (2, 1)),
        (["+trainer.val_check_interval=2"], "+trainer.max_steps=8", (2, 2)),  # before the validation
        (["trainer.check_val_every_n_epoch=2"], "+trainer.max_time=00:01:00:00", (1, 2)),
    ],
)
def test_a_training_that_is_given_more_goes_on_as_if_it_had_been_longer(
    here: Path, settings: list[str], cut: str, stands: tuple[int, int]
) -> None:
    """Lightning takes an epoch that it ends early for a whole one."""
    fit(*EVEN, *settings, "out=whole")
    with pytest.MonkeyPatch.context() as patch:

        def be_late(self: Timer, trainer: pl.Trainer) -> None:
            trainer.should_stop = trainer.global_step >= 5

        patch.setattr(Timer, "_check_time_remaining", be_late)
        fit(*EVEN, *settings, cut, "out=parts")
    place: Any = last("parts")["SpeechData"]
    assert (place["epoch"], place["batches"]) == stands
    fit(*EVEN, *settings, "out=parts")
    assert same_end(last("parts"), last("whole"))


@pytest.mark.parametrize(
    ("settings", "stop", "batch"),
    [
        (["+trainer.max_steps=100"], None, 1),
        (["+trainer.max_steps=10", "trainer.check_val_every_n_epoch=2"], signal.SIGTERM, 2),
        (["+trainer.limit_train_batches=2"], signal.SIGTERM, 0),
    ],
)
def test_a_training_of_so_many_updates_is_interrupted(
    here: Path, settings: list[str], stop: int | None, batch: int
) -> None:
    fit(*EVEN, *settings, "out=whole")
    with pytest.MonkeyPatch.context() as patch:
        at(patch, "training_step", 2, batch, stop)
        with pytest.raises((CrashError, SystemExit)):
            fit(*EVEN, *settings, "out=parts")
    fit(*EVEN, *settings, "out=parts")
    assert same_end(last("parts"), last("whole"))


def test_ctrl_c_twice_stops_at_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        pytest.fail("goes on")

    at(monkeypatch, "training_step", 1, 0, twice)
    with pytest.raises(SystemExit) as stop:
        fit("out=run")
    assert stop.value.code == 130 and last("run")["epoch"] == 1


def test_the_time_of_all_sessions_counts() -> None:
    callback = LastCheckpoint("checkpoints")
    callback.trainer = SimpleNamespace(global_step=3, callbacks=[])  # type: ignore[assignment]
    callback.load_state_dict({"seconds": 1000.0, "saved": [3, "epoch"]})
    assert 1000 <= callback.seconds < 1100
    assert callback.state_dict()["seconds"] >= 1000


def test_ranks_that_go_on_from_different_checkpoints_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when `out=` is a folder of each machine's own."""
    monkeypatch.setattr(ranks, "gather", lambda step: [step, 0])
    trainer = SimpleNamespace(global_step=12)
    with pytest.raises(SpeechlstmError, match="go on after 12, 0 updates; out= must be a folder that all"):
        LastCheckpoint("checkpoints").on_train_start(trainer, None)  # type: ignore[arg-type]


# SLURM


@pytest.mark.parametrize(
    ("job", "array", "asked", "said"),
    [
        ("17", None, "requeue 17\n", "SLURM will start job 17 again"),
        ("18", "16", "requeue 16_3\n", "SLURM will start job 16_3 again"),
        (None, None, "", ""),
    ],
)
def test_slurm_is_asked_to_start_the_job_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    job: str | None,
    array: str | None,
    asked: str,
    said: str,
) -> None:
    for name, value in (("JOB", job), ("ARRAY_JOB", array), ("ARRAY_TASK", array and "3")):
        if value:
            monkeypatch.setenv(f"SLURM_{name}_ID", value)
        else:
            monkeypatch.delenv(f"SLURM_{name}_ID", raising=False)
    log = tmp_path / "log"
    log.write_text("")
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    (tmp_path / "scontrol").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    requeue()
    assert log.read_text() == asked and said in capsys.readouterr().err
    if job:
        (tmp_path / "scontrol").write_text("#!/bin/sh\nexit 1\n")
        requeue()
        assert "cannot start job" in capsys.readouterr().err


# as a process


@pytest.fixture
def process(here: Path, warm: Server) -> Iterator[subprocess.Popen[str]]:
    arguments = [
        "-m",
        "speechlstm",
        "train",
        *TINY,
        "out=run",
        "trainer.max_epochs=10000",
        "data.num_workers=1",
    ]
    with warm.start(
        *arguments, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as running:
        yield running
        running.kill()


def test_a_stopped_training_does_not_look_finished(
    here: Path,
    process: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C, which the loader process gets, too; and while it runs nothing else trains there."""
    until = time.monotonic() + 900
    while not (here / "run/checkpoints/last.ckpt").exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    assert command(monkeypatch, "out=run") == 1
    assert f"run: process {process.pid} on " in capfd.readouterr().err
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 130, err
    assert "stopped by SIGINT after" in err and "run the same command again to resume" in err
    assert "Traceback" not in err and not (here / "run/bundle").exists()
    assert last(here / "run")["global_step"] > 0


@pytest.mark.slow
def test_killed_at_random_points_it_ends_the_same(tmp_path: Path) -> None:
    """The benchmark, which kills more often."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/kill_points.py"), "2", str(time.time_ns() % 1000)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills in " in done.stdout and "0 of which ended differently" in done.stdout

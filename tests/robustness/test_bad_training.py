"""Trainings that cannot begin, cannot go on, or lose what they need: a status, a sentence, and nothing spoiled."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tones import command, last, write_both

from speechlstm.training.data import UtteranceDataset
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch

QUICK = ["trainer.max_epochs=1", "data.num_workers=0"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_both(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that trains, and returns the status and the errors; no traceback is ever printed."""

    def call(*overrides: str) -> tuple[int, str]:
        capfd.readouterr()
        status = command(monkeypatch, "out=run", *overrides)
        shown = capfd.readouterr().err
        assert "Traceback" not in shown
        errors = [line for line in shown.splitlines() if line.startswith("error: ")]
        assert len(errors) == (status in (1, 2)), shown
        return status, shown

    return call


def during(patch: pytest.MonkeyPatch, epoch: int, happens: Callable[[], object]) -> None:
    """Let something happen before the first training step of an epoch."""
    step = TrainingModule.training_step

    def changed(self: TrainingModule, batch: Batch, index: int) -> object:
        if (self.current_epoch, index) == (epoch, 0):
            happens()
        return step(self, batch, index)

    patch.setattr(TrainingModule, "training_step", changed)


SETTINGS = [  # what is asked for, and what the answer names
    ("trainer.max_epochs=0", "trainer.max_epochs is 0, but must be 1 or more"),
    ("trainer.max_epochs=-5", "trainer.max_epochs is -5"),
    ("trainer.max_epochs=x", "trainer.max_epochs is 'x'"),
    ("trainer.max_epochs=1.5", "trainer.max_epochs is 1.5"),
    ("trainer.devices=0", "trainer.devices is 0, but must be 1 or more"),
    ("trainer.precision=bf16-true", "use bf16-mixed"),
    ("trainer.precision=16-mixed", "needs a GPU"),
    ("data.num_workers=-1", "data.num_workers is -1"),
    ("data.num_workers=many", "data.num_workers is 'many'"),
    ("data.num_workers=true", "data.num_workers is true"),
    ("data.num_workers=1.5", "data.num_workers is 1.5"),
    ("data.timeout=-2", "data.timeout is -2"),
    ("data.timeout=soon", "data.timeout is 'soon'"),
    ("data.batch_seconds=x", "data.batch_seconds is 'x'"),
    ("data.batch_seconds=-3", "data.batch_seconds is -3"),
    ("data.batch_seconds=0", "data.batch_seconds is 0"),
    ("data.batch_seconds=nan", "data.batch_seconds is nan"),
    ("data.min_seconds=x", "data.min_seconds is 'x'"),
    ("data.max_seconds=null", "data.max_seconds is null"),
    ("seed=-1", "seed is -1"),
    ("seed=x", "seed is 'x'"),
    ("seed=1e20", "seed is 1e+20"),
    ("seed=true", "seed is true"),
    ("optimizer.lr=x", "optimizer"),
    ("optimizer.lr=-1", "optimizer"),
    ("optimizer.lr=nan", "optimizer.lr is nan, but must be a finite number"),
    ("optimizer.lr=inf", "optimizer.lr is inf, but must be a finite number"),
    ("optimizer.betas=3", "optimizer"),
    ("optimizer.betas=[0.9,nan]", "optimizer.betas is nan, but must be a finite number"),
    ("+optimizer.eps=-inf", "optimizer.eps is -inf, but must be a finite number"),
    ("scheduler.start_factor=x", "scheduler"),
    ("scheduler.start_factor=nan", "scheduler.start_factor is nan, but must be a finite number"),
    ("scheduler.start_factor=2", "scheduler"),
    ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val is nan, but must be a finite number"),
    ("decoder=beam decoder.lm=gone.arpa", "gone.arpa"),
    ("freeze=5", "freeze is 5"),
    ("freeze=[layers.9]", "no part 'layers.9'"),
    ("callbacks.averaging.decay=x", "averaging.decay is 'x'"),
    ("callbacks.averaging.decay=1", "averaging.decay is 1"),
    ("callbacks.skipped.patience=0", "skipped.patience is 0"),
    ("callbacks.skipped.patience=x", "skipped.patience is 'x'"),
    ("callbacks.last.every_minutes=x", "last.every_minutes is 'x'"),
    ("callbacks.last.every_minutes=-1", "last.every_minutes is -1"),
    ("callbacks.best.monitor=val/wre", "val/wre"),
    ("init_from=nowhere", "nowhere: no such folder, and no installed model"),
    ("init_from=gone/best.ckpt", "gone/best.ckpt: no such file"),
    ("loss.intermediate=x", "loss.intermediate is 'x'"),
    ("loss.intermediate=2", "loss.intermediate is 2"),
    ("bundle.path=null", "bundle.path is null"),
    ("bundle.dtype=float8", "bundle.dtype is 'float8'"),
    ("data.train=[]", "data.train is []"),
    ("data.train=5", "5: cannot read the manifest"),
]


@pytest.mark.parametrize(("setting", "answer"), SETTINGS)
def test_a_setting_that_cannot_be_used_is_named_before_audio_is_read(
    run: Callable[..., Any], setting: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "monitor" not in setting:  # what there is to monitor shows in a validation
        monkeypatch.setattr(UtteranceDataset, "fill", lambda self: pytest.fail("audio is read"))
    status, shown = run(*QUICK, *setting.split())
    assert status in (1, 2) and answer in shown
    assert not Path("run").exists(), "a start that fails leaves nothing"


@pytest.mark.parametrize("rate", ["1e20", "1e30"])
@pytest.mark.parametrize("validation", [f"trainer.check_val_every_n_epoch={count}" for count in (1, 9)])
def test_a_training_that_diverges_names_its_learning_rate(
    run: Callable[..., Any], rate: str, validation: str
) -> None:
    settings = ["trainer.max_epochs=9", f"optimizer.lr={rate}", "scheduler.start_factor=1"]
    status, shown = run(*QUICK[1:], *settings, "callbacks.skipped.patience=3", validation)
    error = shown.splitlines()[-1]
    assert status == 1 and f"optimizer.lr is {float(rate):g}" in error and "lower it" in error


@pytest.mark.parametrize(
    "wrong",
    [
        "trainer.max_epochs=0",
        "data.train=empty.jsonl",
        "encoder.nothing=1",
        "bundle.path=.",
        "bundle.path=p/q/r",
    ],
)
@pytest.mark.parametrize("out", ["out=a/b/c", "out=mine", "out=mine/new", "out=."])
def test_a_start_that_fails_leaves_the_folders_as_they_were(
    run: Callable[..., Any], wrong: str, out: str
) -> None:
    Path("empty.jsonl").touch()
    Path("mine").mkdir()
    before = {*Path().rglob("*")}
    status, _ = run(*QUICK, "data.train=empty.jsonl", wrong, out)
    assert status in (1, 2) and {*Path().rglob("*")} == before


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_training_without_some_lines_says_so_at_its_end(run: Callable[..., Any], part: str) -> None:
    with Path(f"{part}.jsonl").open("a") as file:
        file.write("no JSON\n")
    status, shown = run(*QUICK)
    assert status == 3 and shown.count(f"left out: {part}.jsonl:") == 1
    assert shown.splitlines()[-1].startswith("of data.train and data.dev, 1 could not be read, named above")
    assert Path("run/bundle/config.json").exists()


def test_utterances_of_another_length_are_no_failure(run: Callable[..., Any]) -> None:
    longest = max(json.loads(line)["duration"] for line in Path("train.jsonl").read_text().splitlines())
    status, shown = run(*QUICK, f"data.max_seconds={longest - 0.01}")
    assert status == 0 and "train: left out " in shown and "could not be read" not in shown


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_says_so(run: Callable[..., Any]) -> None:
    for setting in ("trainer.accelerator=gpu", "trainer.accelerator=cuda"):
        status, shown = run(setting)
        assert status == 2 and "PyTorch sees no GPU on this machine; use trainer=cpu" in shown


# the folder


def test_a_log_that_cannot_be_written_is_named(run: Callable[..., Any]) -> None:
    Path("run/train.log").mkdir(parents=True)
    status, shown = run(*QUICK)
    assert status == 1 and "run/train.log: Is a directory; make room for it, or choose another out=" in shown
    assert not Path("run/bundle").exists()


def test_a_training_that_would_leave_nothing_is_refused(run: Callable[..., Any]) -> None:
    status, shown = run(*QUICK, "~callbacks")
    assert status == 2 and "no callback keeps a checkpoint" in shown
    assert not Path("run/csv").exists()


def test_files_of_others_in_the_folder_stay_as_they_are(run: Callable[..., Any]) -> None:
    """What would take the bundle's place is refused before the training, and the rest does not matter."""
    others = {Path("run/notes.txt"), Path("run/checkpoints/a.ckpt"), Path("run/bundle/README.md")}
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    status, shown = run(*QUICK)
    assert status == 2 and "run/bundle: holds something else than a bundle" in shown
    assert all(path.read_text() == "mine" for path in others)
    Path("run/bundle/README.md").unlink()
    assert run(*QUICK)[0] == 0 and Path("run/bundle/model.safetensors").exists()
    assert all(path.read_text() == "mine" for path in others if path.parent.name != "bundle")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(run: Callable[..., Any]) -> None:
    Path("run").mkdir()
    Path("run/train.log").touch()
    Path("run/train.log").chmod(0o444)
    Path("run").chmod(0o555)
    status, shown = run(*QUICK)
    assert status == 1 and "run" in shown and "Permission denied" in shown


def test_a_folder_that_goes_away_is_named_or_made_again(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    during(monkeypatch, 1, lambda: shutil.rmtree("run"))
    status, shown = run("trainer.max_epochs=2", "data.num_workers=0")
    assert (status == 1 and "run" in shown) or Path("run/bundle/config.json").exists()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("what", ["", "/logs"])
def test_tensorboards_thread_leaves_it_to_one_sentence_that_the_folder_is_gone(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    board = "{_target_:pytorch_lightning.loggers.TensorBoardLogger,save_dir:run,name:null,version:logs}"
    during(monkeypatch, 1, lambda: shutil.rmtree(f"run{what}"))
    status, shown = run("trainer.max_epochs=9", "data.num_workers=0", f"+logger.board={board}")
    assert status == 1
    assert re.fullmatch(
        r"error: \S*run/\S+: is gone; while the training ran, .* moved \S*run, .*again.*",
        shown.splitlines()[-1],
    )


# loader processes


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
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, number: int, answer: str
) -> None:
    settings = ["trainer.max_epochs=3", "data.num_workers=1", "data.cache=false", "data.timeout=8"]
    settings += ["data.batch_seconds=0.6"]
    begun = time.monotonic()
    with monkeypatch.context() as patch:
        during(patch, 1, lambda: [os.kill(pid, number) for pid in loaders()])
        status, shown = run(*settings)
    assert status == 1 and answer in shown and "the same command again to resume" in shown
    assert not loaders(), "none is left, stopped or not"
    assert time.monotonic() - begun < 60
    status, shown = run(*settings)
    assert status == 0 and "going on from" in shown and Path("run/bundle/config.json").exists()


# checkpoints


@pytest.fixture
def trained(here: Path, run: Callable[..., Any]) -> Path:
    assert run(*QUICK)[0] == 0
    shutil.rmtree("run/bundle")
    return Path("run/checkpoints")


def test_a_best_checkpoint_that_is_gone_is_replaced_by_the_last(
    trained: Path, run: Callable[..., Any]
) -> None:
    (trained / "best.ckpt").unlink()
    status, shown = run(*QUICK)
    assert status == 0 and "best.ckpt is gone; the bundle gets the weights of last.ckpt" in shown
    assert Path("run/bundle/config.json").exists()
    status, shown = run(*QUICK, "out=other", "init_from=run/checkpoints/best.ckpt")
    assert status == 1 and "no such file; there are: last.ckpt" in shown


def test_fewer_epochs_than_are_done_are_refused(trained: Path, run: Callable[..., Any]) -> None:
    assert run("trainer.max_epochs=4")[0] == 0
    status, shown = run("trainer.max_epochs=2")
    assert status == 2 and "epochs are done, but trainer.max_epochs is 2" in shown
    assert last("run")["epoch"] == 3


def damaged(path: Path, how: str) -> None:
    """Spoil a checkpoint."""
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        at = len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    elif how == "text":
        path.write_text("no checkpoint")
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", b"junk")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        torch.save(STRANGE[how], path)


STRANGE: dict[str, object] = {
    "number": 5,
    "list": [1, 2],
    "nothing in it": {},
    "state is a number": {"state_dict": 5, "settings": {}, "tokenizer": {"tokens": []}},
    "state is a text": {"state_dict": "x", "settings": {}, "tokenizer": {"tokens": []}},
    "tokenizer is a number": {"state_dict": {}, "settings": {}, "tokenizer": 5},
    "settings are a text": {"state_dict": {}, "settings": "x", "tokenizer": {"tokens": ["a"]}},
    "weights are no numbers": {
        "state_dict": {"acoustic.encoder.output.bias": "x"},
        "settings": {"features": {"name": "logmel"}, "encoder": {"name": "blstm"}},
        "tokenizer": {"tokens": ["a"]},
    },
}
WAYS = ["empty", "cut", "flipped", "text", "zip", *STRANGE]


@pytest.mark.parametrize("how", WAYS)
def test_a_damaged_checkpoint_is_named_at_both_doors(
    trained: Path, run: Callable[..., Any], how: str
) -> None:
    (trained / "previous.ckpt").unlink(missing_ok=True)
    damaged(trained / "last.ckpt", how)
    spoiled = (trained / "last.ckpt").read_bytes()
    status, shown = run("trainer.max_epochs=2", "data.num_workers=0")
    assert status == 1 and "last.ckpt" in shown
    assert (trained / "last.ckpt").read_bytes() == spoiled, "what is there stays"
    status, shown = run(*QUICK, "out=other", f"init_from={trained / 'last.ckpt'}")
    assert status == 1 and "last.ckpt" in shown and not Path("other").exists()


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    trained: Path, run: Callable[..., Any]
) -> None:
    assert run("trainer.max_epochs=2")[0] == 0
    damaged(trained / "last.ckpt", "cut")
    status, shown = run("trainer.max_epochs=3")
    assert status == 0 and "kept as last.damaged" in shown and last("run")["epoch"] == 2


# numbers and texts


def test_weights_that_are_not_finite_are_not_blamed_on_the_batch(
    trained: Path, run: Callable[..., Any]
) -> None:
    content = torch.load(trained / "last.ckpt", weights_only=True)
    content["state_dict"]["acoustic.encoder.output.bias"][0] = float("nan")
    torch.save(content, "nan.ckpt")
    status, shown = run(*QUICK, "out=other", "init_from=nan.ckpt")
    assert status == 1 and "nan.ckpt: " in shown and "encoder.output.bias has infinite numbers" in shown


def test_the_longest_text_is_scored_in_proportion(run: Callable[..., Any]) -> None:
    lines = [json.loads(line) for line in Path("dev.jsonl").read_text().splitlines()]
    lines[0]["text"] = "a b " * 249_000
    Path("dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun = time.process_time()
    assert run(*QUICK)[0] == 0
    assert time.process_time() - begun < 60

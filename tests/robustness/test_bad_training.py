"""Trainings that cannot begin, or have bad data or a rate too high: a status, a sentence, and nothing spoiled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from speechlstm.training.data import UtteranceDataset

QUICK = ["trainer.max_epochs=1", "data.num_workers=0"]


SETTINGS = [  # what is asked for, and what the answer names
    ("trainer.max_epochs=0", "trainer.max_epochs is 0, but must be 1 or more"),
    ("trainer.max_epochs=-5", "trainer.max_epochs is -5"),
    ("trainer.max_epochs=x", "trainer.max_epochs is 'x'"),
    ("trainer.max_epochs=1.5", "trainer.max_epochs is 1.5"),
    (
        "+trainer.max_time=00:00:10:00 +trainer.accumulate_grad_batches=2",
        "can end the training between two updates, where it cannot go on later; use trainer.max_steps",
    ),
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
    train: Callable[..., Any], setting: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "monitor" not in setting:  # what there is to monitor shows in a validation
        monkeypatch.setattr(UtteranceDataset, "fill", lambda self: pytest.fail("audio is read"))
    status, shown = train(*QUICK, *setting.split())
    assert status in (1, 2) and answer in shown
    assert not Path("run").exists(), "a start that fails leaves nothing"


@pytest.mark.parametrize("rate", ["1e20", "1e30"])
@pytest.mark.parametrize("validation", [f"trainer.check_val_every_n_epoch={count}" for count in (1, 9)])
def test_a_training_that_diverges_names_its_learning_rate(
    train: Callable[..., Any], rate: str, validation: str
) -> None:
    settings = ["trainer.max_epochs=9", f"optimizer.lr={rate}", "scheduler.start_factor=1"]
    status, shown = train(*QUICK[1:], *settings, "callbacks.skipped.patience=3", validation)
    error = shown.splitlines()[-1]
    assert status == 1 and f"optimizer.lr is {float(rate):g}" in error and "lower it" in error


@pytest.mark.parametrize(
    ("wrong", "out"),
    [
        ("trainer.max_epochs=0", "out=a/b/c"),
        ("trainer.max_epochs=0", "out=mine/new"),
        ("data.train=empty.jsonl", "out=mine/new"),
        ("data.train=empty.jsonl", "out=."),
        ("encoder.nothing=1", "out=a/b/c"),
        ("encoder.nothing=1", "out=."),
        ("bundle.path=.", "out=mine"),
        ("bundle.path=.", "out=."),
        ("bundle.path=p/q/r", "out=a/b/c"),
        ("bundle.path=p/q/r", "out=mine"),
    ],
)
def test_a_start_that_fails_leaves_the_folders_as_they_were(
    train: Callable[..., Any], wrong: str, out: str
) -> None:
    Path("empty.jsonl").touch()
    Path("mine").mkdir()
    before = {*Path().rglob("*")}
    status, _ = train(*QUICK, "data.train=empty.jsonl", wrong, out)
    assert status in (1, 2) and {*Path().rglob("*")} == before


@pytest.mark.parametrize("part", ["train", "dev"])
def test_a_training_without_some_lines_says_so_at_its_end(train: Callable[..., Any], part: str) -> None:
    with Path(f"{part}.jsonl").open("a") as file:
        file.write("no JSON\n")
    status, shown = train(*QUICK)
    assert status == 3 and shown.count(f"left out: {part}.jsonl:") == 1
    assert shown.splitlines()[-1].startswith("of data.train and data.dev, 1 could not be read, named above")
    assert Path("run/bundle/config.json").exists()


def test_utterances_of_another_length_are_no_failure(train: Callable[..., Any]) -> None:
    longest = max(json.loads(line)["duration"] for line in Path("train.jsonl").read_text().splitlines())
    status, shown = train(*QUICK, f"data.max_seconds={longest - 0.01}")
    assert status == 0 and "train: left out " in shown and "could not be read" not in shown


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu_says_so(train: Callable[..., Any]) -> None:
    for setting in ("trainer.accelerator=gpu", "trainer.accelerator=cuda"):
        status, shown = train(setting)
        assert status == 2 and "PyTorch sees no GPU on this machine; use trainer=cpu" in shown


def test_the_longest_text_is_scored_in_proportion(train: Callable[..., Any]) -> None:
    lines = [json.loads(line) for line in Path("dev.jsonl").read_text().splitlines()]
    lines[0]["text"] = "a b " * 249_000
    Path("dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun = time.process_time()
    assert train(*QUICK)[0] == 0
    assert time.process_time() - begun < 60

"""The command `train`: what it says and leaves behind, from the start to the end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tones import command, fit

from speechlstm import configs
from speechlstm.evaluation import metrics
from speechlstm.training import summary
from speechlstm.types import UsageError


def test_what_it_says_from_start_to_end(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tokens: 4 (") and "'a'" in lines[0]
    assert lines[1].startswith("train: 6 utterances, 0.0 minutes; dev: 2 utterances")
    assert re.fullmatch(r"model: 0\.\d+ million parameters; CPU, 32-true; 2 epochs of 1 batch", lines[2])
    epoch = r"epoch 2/2: update 2, loss \d\.\d{3}, learning rate \S+, \d+ s of audio/s, \d:\d\d an epoch; "
    epoch += r"WER \d+\.\d\d%, CER .*"
    assert re.fullmatch(epoch, lines[4])
    assert re.match(r"best epoch: [12] of 2, after 0:\d\d", lines[5]) and lines[6].startswith("dev: WER ")
    log = Path("run/train.log").read_text()
    assert all(line in log for line in lines if line.startswith(("tokens", "epoch", "dev")))


def test_a_good_model_earns_no_warning() -> None:
    half, none = metrics.corpus([("a", "a"), ("c", "d")]), metrics.corpus([("a", "")])
    assert summary.useless(half, 0.9) is None
    assert "word error rate is 100%. Try" in str(summary.useless(none, 0.9))
    assert "word error rate is 100%, and it recognizes next to nothing" in str(summary.useless(none, 1.0))


def test_a_start_that_fails_leaves_no_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(monkeypatch, "out=run", "data.batch_seconds=0.1") == 2
    assert not Path("run").exists()
    Path("run").mkdir()
    Path("run/mine.txt").touch()
    assert command(monkeypatch, "out=run", "data.batch_seconds=0.1") == 2
    assert Path("run/mine.txt").exists(), "what was there stays"


def test_fewer_epochs_than_between_two_validations_are_validated_at_the_end(here: Path) -> None:
    fit("out=run", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=9")
    assert torch.load("run/checkpoints/best.ckpt", weights_only=True)["epoch"] == 1


def test_two_trainings_do_not_write_one_bundle(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = "from pathlib import Path; from speechlstm.data.files import locked; import time\n"
    holder += "with locked(Path('.mine.training')): print('held', flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert command(monkeypatch, "out=run", "bundle.path=mine") == 1
        other.kill()
    assert ".mine.training: process" in capsys.readouterr().err and not Path("run").exists()


def test_the_model_card_and_the_bundle(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "name=toy", "bundle.dtype=float16", "trainer.max_epochs=2") == 0
    printed = capsys.readouterr().out
    assert "dev: WER " in printed and "speechlstm transcribe FILE bundle=run/bundle" in printed
    card = (here / "run/bundle/README.md").read_text()
    for fact in (
        "# toy\n",
        "| trained on | train.jsonl: 6 utterances, 0.0 minutes |",
        "| validated on | 2 utterances, 3 words |",
        "% interval",
        "greedy decoder",
        "| seed | 1 |",
        "| training | 2 epochs, ",
        "speechlstm train experiment=overfit data.dev=dev.jsonl",
    ):
        assert fact in card
    header = (here / "run/csv/version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "val/wer", "val/cer", "val/loss", "val/blank_rate"} <= set(header)
    config = json.loads((here / "run/bundle/config.json").read_text())
    assert config["data"]["train"] == "train.jsonl" and config["seed"] == 1


@pytest.mark.parametrize(
    ("overrides", "status", "message"),
    [
        (["encoder.hiden_size=9"], 2, "no setting 'encoder.hiden_size'; did you mean 'encoder.hidden_size'?"),
        (["data.train=gone.jsonl"], 1, "gone.jsonl: cannot read the manifest"),
        (["experiment=an5"], 2, "no experiment 'an5'; did you mean 'an4'?"),
        (["trainer.accelerator=abacus"], 2, "cannot build pytorch_lightning.Trainer: "),
        (["trainer.precision=7"], 2, "cannot build pytorch_lightning.Trainer: "),
        (["callbacks.best.monitor=val/wre"], 2, "the trainer refuses its settings: .*val/wre"),
        (["data.batch_seconds=0.3"], 2, "data.batch_seconds is 0.3, but the longest utterance has 0.6 s"),
        (
            ["features.sample_rate=16000"],
            2,
            "features.sample_rate is 16000, but sample_rate, of the audio, is 8000",
        ),
        (["bundle.dtype=float7"], 2, "bundle.dtype is 'float7', but must be one of float32, float16"),
        (["out=train.jsonl/run"], 2, "out=train.jsonl/run: train.jsonl is a file, but must be a folder"),
        (["bundle.path=."], 2, r"\.: holds something else than a bundle"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    overrides: list[str],
    status: int,
    message: str,
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1", *overrides) == status
    said = capfd.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in said
    with pytest.raises(UsageError, match=message):
        raise UsageError(errors[0])
    assert not (here / "run" / "bundle").exists()


def test_trainers_of_many_machines_take_their_size_from_what_started_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES")
    for name in names:
        monkeypatch.delenv(name, raising=False)

    def size(trainer: str) -> tuple[int, int]:
        cfg = configs.load("train", [f"trainer={trainer}"])
        return cfg.trainer.devices, cfg.trainer.num_nodes

    assert size("multinode") == size("slurm") == (1, 1)
    for name, value in zip(names, "4283", strict=True):
        monkeypatch.setenv(name, value)
    assert size("multinode") == (4, 2) and size("slurm") == (8, 3)

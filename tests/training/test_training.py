"""Training: an interrupted one goes on as if nothing had been, and what is wrong is said before and after."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tones import command, fit, load, write

from speechlstm import configs
from speechlstm.evaluation import metrics
from speechlstm.training import parts, summary
from speechlstm.training.module import TrainingModule
from speechlstm.types import ManifestError, SpeechlstmError, UsageError

# going on


def test_a_finished_training_is_only_exported_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 0
    before = (here / "run/bundle/model.safetensors").read_bytes()
    monkeypatch.setattr(TrainingModule, "training_step", lambda *_: pytest.fail("trains again"))
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 0
    assert "going on from " in capfd.readouterr().err
    assert (here / "run/bundle/model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "encoder.hidden_size=9",
            "of another model: encoder.hidden_size is 9, but was 8; use the old settings",
        ),
        (
            "features.num_mels=16",
            "of another model: features.num_mels is 16, but was 20; .*or another out=",
        ),
        ("tokenizer=words", "trained for 4 tokens, but .* 3 .*only there: .*only here: .* another out="),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    write(here, "train", ["aa b", "b"])
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    before = (here / "run/checkpoints/last.ckpt").read_bytes()
    capfd.readouterr()
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2", change) in (1, 2)
    said = capfd.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in said
    with pytest.raises(SpeechlstmError, match=message):
        raise SpeechlstmError(errors[0])
    assert (here / "run/checkpoints/last.ckpt").read_bytes() == before


def test_a_damaged_checkpoint_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = here / "run/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"PK\x03\x04 not really")
    assert command(monkeypatch, "out=run") == 1
    said = capfd.readouterr().err
    assert "last.ckpt: damaged checkpoint" in said and "delete it to start over" in said
    assert "Traceback" not in said


# what is left out


def test_unusable_training_utterances_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    utterances = write(here, "train", ["a b", "b", "", "a " * 200, "a"])
    (here / "train1.wav").unlink()
    bad = "b" * 40
    with (here / "train.jsonl").open("a") as manifest:
        line = {"audio_filepath": "train0.wav", "duration": 0.4, "text": bad, "id": "hasty"}
        manifest.write(json.dumps(line) + "\n")
    parts.prepare(load())
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 5 and shown[-1] == "  and 1 more; verbose=true names them all"
    _, data = parts.prepare(load("verbose=true"))
    assert [utterance.id for utterance in data.train_set.utterances] == ["train0", "train4"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "train: left out 4 of 6 utterances:"
    named = dict(line.strip().split(": ", 1) for line in said[1:])
    assert named.keys() == {"train1", "train2", "train3", "hasty"}
    assert "no file" in named["train1"] and "no text" in named["train2"]
    assert (
        named["train3"]
        == f"{utterances[3].duration:.2f} s long, outside 0.1 to 30 s (data.min_seconds, data.max_seconds)"
    )
    assert "10 encoder frames" in named["hasty"] or "11 encoder frames" in named["hasty"]


def test_dev_utterances_are_left_out_for_want_of_audio_only(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be spelled, or is too long to align, counts as wrong; leaving it out would flatter."""
    write(here, "dev", ["a x y", "", "a", "b"])
    (here / "dev3.wav").unlink()
    with (here / "dev.jsonl").open("a") as manifest:
        line = {"audio_filepath": "dev0.wav", "duration": 0.6, "text": "a" * 99, "id": "hasty"}
        manifest.write(json.dumps(line) + "\n")
    model, data = parts.prepare(load())
    assert [utterance.id for utterance in data.dev_set.utterances] == ["dev0", "dev1", "dev2", "hasty"]
    said = capsys.readouterr().err
    assert said.startswith("dev: left out 1 of 5 utterances:\n  dev3: no file") and said.count("\n") == 2
    score = summary.validate(model, data).score()
    assert score.words.length == 5 and model.validation.pairs == []


def test_words_that_training_never_had_are_scored(here: Path) -> None:
    write(here, "dev", ["a zebra", "b"])
    model, _ = fit("tokenizer=words", "trainer.max_epochs=1", "out=run")
    model, data = parts.prepare(load("tokenizer=words"))
    assert summary.validate(model, data).score().words.length == 3


def test_nothing_left_is_an_error(here: Path) -> None:
    for path in here.glob("train*.wav"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"no utterance of the train part can be used; .*validate"):
        parts.prepare(load())


# features of the whole training data


def test_global_normalization_is_of_the_training_part(here: Path) -> None:
    model, data = parts.prepare(load("features.normalize=global"))
    plain, _ = parts.prepare(load("features.normalize=none"))
    frames = []
    for index in range(len(data.train_set)):
        waveform = torch.from_numpy(data.train_set[index, 1.0, 0][0])[None]
        frames.append(plain.acoustic.features(waveform, torch.tensor([waveform.shape[1]]))[0][0])
    wanted = torch.cat(frames)
    torch.testing.assert_close(model.acoustic.features.mean, wanted.mean(0), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(model.acoustic.features.std, wanted.std(0, correction=0), atol=1e-3, rtol=1e-3)


def test_several_manifests_are_one_training_part(here: Path) -> None:
    cfg = load("data.train=[train.jsonl,dev.jsonl]")
    _, data = parts.prepare(cfg)
    assert len(data.train_set) == 8


# the command


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


def test_another_length_of_a_resumed_training_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    assert "planned" not in capsys.readouterr().err
    assert command(monkeypatch, "out=run", "trainer.max_epochs=3") == 0
    assert "planned with 1 update and now has 3" in capsys.readouterr().err


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


def test_a_full_disk_is_one_line_and_the_good_checkpoint_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    folder = here / "run/checkpoints"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capfd.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file can grow past this
    try:
        assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capfd.readouterr().err
    assert "error: " in said and ".ckpt: File too large" in said and "Traceback" not in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# devices


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

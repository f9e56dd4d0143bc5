"""Options of a training, each in one that takes a second: warm start, freezing, plateau, early stopping, noise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch

from speechlstm import configs
from speechlstm.training import parts
from speechlstm.training.fit import fit
from speechlstm.training.module import TrainingModule
from speechlstm.types import AudioError, Batch, UsageError

RATE = 8_000
NOISY = ["data.train=old.jsonl", "augment=noisy", "data.num_workers=1", "data.batch_seconds=0.6"]
NOISY += ["augment.waveform.noise.probability=1", "trainer.max_epochs=3"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with two manifests, each with an alphabet of its own."""
    rng = np.random.default_rng(0)
    for name, texts in {"old": ["a b", "b"], "new": ["b c", "c a"]}.items():
        lines = []
        for number, text in enumerate(texts):
            soundfile.write(tmp_path / f"{name}{number}.wav", 0.1 * rng.standard_normal(RATE // 2), RATE)
            lines.append({"audio_filepath": f"{name}{number}.wav", "duration": 0.5, "text": text})
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(out: str, *overrides: str) -> tuple[pl.Trainer, dict[str, object]]:
    """Train for a moment; return the trainer and the last checkpoint."""
    settings = [
        "experiment=overfit", f"sample_rate={RATE}", "features.num_mels=16", "encoder.hidden_size=6",
        "encoder.conv_channels=2", "trainer.accelerator=cpu", "trainer.check_val_every_n_epoch=1",
        "~logger.tensorboard", f"out={out}", "trainer.max_epochs=1", "data.num_workers=0",
    ]  # fmt: skip
    cfg = configs.load("train", [*settings, *overrides])
    torch.manual_seed(cfg.seed)
    made = parts.assemble(cfg, Path(out), overrides)
    fit(made.trainer, made.model, made.data, Path(out) / "checkpoints", made.last)
    return made.trainer, torch.load(Path(out) / "checkpoints/last.ckpt", weights_only=True)


def test_a_training_begins_with_a_checkpoint_and_goes_on_without_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("first", "data.train=old.jsonl")
    capsys.readouterr()
    start = torch.load("first/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    settings = [
        "data.train=new.jsonl",
        "init_from=first/checkpoints/best.ckpt",
        "freeze=[subsample,layers.0]",
    ]
    _, one = train("second", *settings)
    said = capsys.readouterr().err
    assert "weights copied, 4 of 5 tokens known" in said and "frozen: subsample, layers.0; " in said
    weights = one["state_dict"]
    for name, value in weights.items():
        if name.startswith(("acoustic.encoder.subsample.", "acoustic.encoder.layers.0.")):
            assert torch.equal(value, start[name]), name
    assert not torch.equal(
        weights["acoustic.encoder.layers.1.rnn.weight_ih_l0"],
        start["acoustic.encoder.layers.1.rnn.weight_ih_l0"],
    )
    shutil.rmtree("first")
    _, two = train("second", *settings[:2], "trainer.max_epochs=2")  # nothing is frozen any more
    said = capsys.readouterr().err
    assert "going on from second/checkpoints/last.ckpt" in said and "copied" not in said
    assert two["global_step"] == 2 * one["global_step"]
    assert not torch.equal(
        two["state_dict"]["acoustic.encoder.layers.0.rnn.weight_ih_l0"],
        start["acoustic.encoder.layers.0.rnn.weight_ih_l0"],
    )


def test_a_training_that_has_stopped_early_stays_stopped(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["data.train=old.jsonl", "callbacks=early_stopping", "callbacks.stopping.patience=2"]
    settings += ["trainer.max_epochs=50", "optimizer.lr=0.0", "callbacks.averaging=null"]  # nothing falls
    _, before = train("run", *settings)
    assert before["epoch"] == 2, "the first validation and two more"
    assert capsys.readouterr().out.count("epoch ") == 3
    _, after = train("run", *settings)
    assert "epoch " not in capsys.readouterr().out
    assert after["global_step"] == before["global_step"]


def test_a_crf_is_trained_and_its_best_weights_are_not_chosen_greedily(here: Path) -> None:
    crf = ["data.train=old.jsonl", "loss=ctc_crf"]
    with pytest.raises(
        UsageError, match="goes by val/wer, but this loss trains for a decoder with a language model"
    ):
        train("refused", *crf)
    trainer, last = train("crf", *crf, "callbacks.best.monitor=val/loss", "trainer.max_epochs=3")
    found = trainer.callback_metrics
    assert float(found["val/loss"]) > 0 and 0 < float(found["train/crf"]) < float(found["train/loss"])
    assert last["epoch"] == 2 and Path("crf/checkpoints/best.ckpt").exists()


def meddle(patch: pytest.MonkeyPatch, with_step: Callable[[int, int], None]) -> None:
    """Let something happen before each training step, given its epoch and number."""
    step = TrainingModule.training_step

    def meddled(self: TrainingModule, batch: Batch, index: int) -> object:
        with_step(self.current_epoch, index)
        return step(self, batch, index)

    patch.setattr(TrainingModule, "training_step", meddled)


def test_noise_that_is_gone_in_the_middle_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = here / "noise" / "fan.wav"
    noise.parent.mkdir()
    shutil.copy(here / "old0.wav", noise)
    meddle(monkeypatch, lambda epoch, index: noise.unlink(missing_ok=True))
    with pytest.raises(AudioError, match=r"^noise/fan\.wav: no such file"):
        train("run", *NOISY, "augment.waveform.noise.folder=noise")

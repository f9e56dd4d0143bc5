"""A training that takes a second: letters as tones, a network of eight units."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.cli import train
from speechlstm.training import parts
from speechlstm.training.fit import fit as train_model
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch, Utterance

RATE = 8000
TINY = [
    "experiment=overfit",
    "data.dev=dev.jsonl",
    "data.train=train.jsonl",
    f"sample_rate={RATE}",
    "features.num_mels=20",
    "encoder.hidden_size=8",
    "encoder.num_layers=1",
    "encoder.conv_channels=2",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=1",
    "logger=default",
    "~logger.tensorboard",
]


def tone(word: str) -> np.ndarray:
    """Return 0.2 s of the pitch that stands for a word's first letter."""
    pitch = 150 * 2 ** (ord(word[0]) - ord("a"))
    return 0.3 * np.sin(2 * np.pi * pitch * np.arange(RATE // 5) / RATE) * np.hanning(RATE // 5)


def write(folder: Path, name: str, texts: list[str]) -> list[Utterance]:
    """Write a manifest and its audio: a tone a word, 0.2 s each."""
    lines = []
    for index, text in enumerate(texts):
        audio = np.concatenate([tone(letter) for letter in text.split() or "a"])
        soundfile.write(folder / f"{name}{index}.wav", audio, RATE)
        line = {"audio_filepath": f"{name}{index}.wav", "duration": len(audio) / RATE, "text": text}
        lines.append(line)
    (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return parts.read(str(folder / f"{name}.jsonl"))


def write_both(folder: Path) -> None:
    """Write the manifests that `TINY` names: six utterances to learn from, two to validate on."""
    write(folder, "train", ["a b", "b", "c a b", "a", "b c", "c"])
    write(folder, "dev", ["a c", "b"])


def load(*overrides: str) -> DictConfig:
    """Compose the config."""
    return configs.load("train", [*TINY, *overrides])


def fit(*overrides: str) -> tuple[TrainingModule, pl.Trainer]:
    """Train in this process, without command or bundle."""
    cfg = load(*overrides)
    torch.manual_seed(cfg.seed)
    trainer, model, data, last = parts.assemble(cfg, Path(cfg.out), overrides)
    train_model(trainer, model, data, Path(cfg.out) / "checkpoints", last)
    return model, trainer


def command(monkeypatch: pytest.MonkeyPatch, *overrides: str) -> int:
    """Run `speechlstm train` in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", [train.__file__, *TINY, *overrides])
    try:
        train.main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def during(patch: pytest.MonkeyPatch, epoch: int, happens: Callable[[], object]) -> None:
    """Let something happen before the first training step of an epoch."""
    step = TrainingModule.training_step

    def changed(self: TrainingModule, batch: Batch, index: int) -> object:
        if (self.current_epoch, index) == (epoch, 0):
            happens()
        return step(self, batch, index)

    patch.setattr(TrainingModule, "training_step", changed)


def last(out: str | Path) -> dict[str, object]:
    """Return what the last checkpoint of a run holds."""
    return torch.load(Path(out) / "checkpoints" / "last.ckpt", weights_only=True)


def same(one: object, other: object) -> bool:
    """Return whether two nested things are equal in every bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return one == other


def same_end(one: dict[str, object], other: dict[str, object]) -> bool:
    """Return whether two last checkpoints agree in weights, averages, optimizer and schedule."""
    parts = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers")
    return one["global_step"] == other["global_step"] and all(same(one[part], other[part]) for part in parts)

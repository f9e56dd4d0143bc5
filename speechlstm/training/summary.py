"""The summary of a training at its start and end, and the model card of its bundle."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from speechlstm.evaluation import metrics
from speechlstm.training.callbacks.progress import clock
from speechlstm.training.data import SpeechData
from speechlstm.training.fit import Trained
from speechlstm.training.module import TrainingModule
from speechlstm.training.validation import Validation
from speechlstm.types import __version__, counted

_USELESS = 0.95  # word error rate from which on a model is of no use
_SILENT = 0.999  # share of blank frames above which it recognizes nothing


@torch.inference_mode()
def validate(model: TrainingModule, data: SpeechData) -> Validation:
    """Score the model on the dev part with its decoder."""
    model.eval()
    validation = Validation()
    for batch in data.val_dataloader():
        model.add(validation, batch.to(model.device))
    return validation


def beginning(trainer: pl.Trainer, model: TrainingModule, data: SpeechData) -> list[str]:
    """Return what is trained on what, and how, a line each."""
    tokens = list(model.tokenizer.tokens)[1:]
    shown = " ".join(map(repr, tokens[:40])) + (" ..." if len(tokens) > 40 else "")
    parts = (("train", data.train_set.utterances), ("dev", data.dev_set.utterances))
    hours = [
        f"{part}: {counted(len(utterances), 'utterance')}, {_length(sum(each.duration for each in utterances))}"
        for part, utterances in parts
    ]
    device = trainer.strategy.root_device
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    devices = f"{trainer.world_size} x {where}" if trainer.world_size > 1 else where
    most = trainer.max_epochs or 0
    epochs = counted(most, "epoch") if most >= 0 else "any number of epochs"
    updates = f"{epochs} of {counted(data.batches(trainer.world_size), 'batch')}"
    return [
        f"tokens: {len(tokens)} ({shown})",
        "; ".join(hours),
        f"model: {parameters(model) / 1e6:.2f} million parameters; {devices}, {trainer.precision}; {updates}",
    ]


def ending(cfg: DictConfig, trained: Trained, validation: Validation, out: Path) -> list[str]:
    """Return how good the model is, where everything lies, and how it is used, a line each."""
    score = validation.score()
    lines = [
        f"best epoch: {trained.epoch} of {trained.epochs}, after {clock(trained.seconds)}",
        f"dev: WER {_rate(score)}, CER {score.cer:.2%}",
        *(f"  reference   {pair[1]}\n  hypothesis  {pair[2]}" for pair in validation.pairs[:2]),
    ]
    if warning := useless(score, validation.blank_rate):
        lines.append(warning)
    return [
        *lines,
        f"checkpoints: {out / 'checkpoints'}",
        f"logs: {out} (curves: tensorboard --logdir {out})",
        f"bundle: {cfg.bundle.path}\n\n  speechlstm transcribe FILE bundle={cfg.bundle.path}",
    ]


def useless(score: metrics.Score, blank_rate: float) -> str | None:
    """Return the warning that a model is of no use, and what to try, if it is of none."""
    if score.wer < _USELESS and blank_rate <= _SILENT:
        return None
    silent = (
        ", and it recognizes next to nothing: almost all frames are blanks" if blank_rate > _SILENT else ""
    )
    return (
        f"warning: this model is not usable yet: its word error rate is {score.wer:.0%}{silent}. "
        "Try more epochs (trainer.max_epochs=), another learning rate (optimizer.lr=), smaller batches "
        "(data.batch_seconds=), or a trained model to start from (init_from=small). "
        "Run `speechlstm validate` on the manifests, in case audio and texts do not match."
    )


def parameters(model: TrainingModule) -> int:
    """Return how many numbers a model learns."""
    return sum(weights.numel() for weights in model.parameters())


def model_card(
    cfg: DictConfig, data: SpeechData, score: metrics.Score, command: str, trained: Trained, count: int
) -> str:
    """Return the bundle's README.md: data, command, seed, figures."""
    train, dev = data.train_set.utterances, data.dev_set.utterances
    length = _length(sum(utterance.duration for utterance in train))
    manifests = cfg.data.train if isinstance(cfg.data.train, str) else ", ".join(cfg.data.train)
    return f"""# {cfg.name}

A speech recognizer of speechlstm {__version__}: {count / 1e6:.1f} million parameters.

| | |
|---|---|
| trained on | {manifests}: {counted(len(train), "utterance")}, {length} |
| validated on | {counted(len(dev), "utterance")}, {counted(score.words.length, "word")} |
| word error rate | {_rate(score)}, {cfg.decoder.name} decoder |
| character error rate | {score.cer:.2%} |
| seed | {cfg.seed} |
| training | {counted(trained.epochs, "epoch")}, {trained.seconds / 60:.1f} minutes |

The validation utterances chose the best epoch, so their figure is slightly favorable.

```
{command}
```
"""


def _rate(score: metrics.Score) -> str:
    low, high = score.interval()
    return f"{score.wer:.2%} (95 % interval {low:.2%} to {high:.2%}, {counted(score.words.length, 'word')})"


def _length(seconds: float) -> str:
    return f"{seconds / 3600:.2f} hours" if seconds >= 360 else f"{seconds / 60:.1f} minutes"

"""Training progress: a bar on a terminal, lines in a log, and a line after each epoch."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from speechlstm.data import progress
from speechlstm.training.messages import say
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch


class UpdatesBar(Callback):
    """Has a bar of updates, which is gone when the training ends."""

    def __init__(self) -> None:
        self.bar = progress.Bar("", None, "update", 0)
        self.shown = ExitStack()  # closes the bar

    def show(self, trainer: pl.Trainer, task: str, total: int | None) -> None:
        """Begin the bar; that of a training that is resumed begins within."""
        self.bar = self.shown.enter_context(
            progress.bar(task, total, "update", trainer.is_global_zero, trainer.global_step)
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove the bar."""
        self.shown.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar, so that a message has a line of its own."""
        self.shown.close()


class Progress(UpdatesBar):
    """Shows epoch, updates, loss, learning rate, seconds of audio a second, and the time that is left."""

    def __init__(self) -> None:
        super().__init__()
        self.validated = False  # in this epoch
        self.audio = self.loss = 0.0  # seconds of audio, and loss summed over tokens, of this epoch
        self.tokens = 0
        self.begun = time.monotonic()  # this epoch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the bar."""
        assert isinstance(pl_module, TrainingModule)
        planned = pl_module.updates()
        self.show(trainer, _epoch(trainer), int(planned) if planned < float("inf") else None)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count."""
        self.begun, self.validated = time.monotonic(), False
        self.audio, self.loss, self.tokens = 0.0, 0.0, 0
        self.bar.task = _epoch(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        tokens = int(batch.target_lengths.sum())
        assert isinstance(pl_module, TrainingModule)
        samples = int(batch.lengths.sum()) * trainer.world_size  # the ranks' batches are alike
        self.audio += samples / pl_module.acoustic.sample_rate
        self.loss, self.tokens = self.loss + float(outputs["per_token"]) * tokens, self.tokens + tokens
        self.bar.note = self._figures(trainer)
        self.bar.update(trainer.global_step - self.bar.n)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say on the bar that the model is validated."""
        self.bar.task = f"{_epoch(trainer)}, validating"
        self.bar.update(0)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember that this epoch has figures of the dev part."""
        self.validated = not trainer.sanity_checking
        self.bar.task = _epoch(trainer)
        self.bar.update(0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of an epoch."""
        if not self.tokens:
            return  # resumed after its last batch
        dev = ""
        if self.validated:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            dev = f"; WER {metrics['val/wer']:.2%}, CER {metrics['val/cer']:.2%}"
            if "val/loss" in metrics:
                dev += f", dev loss {metrics['val/loss']:.3f}"
            dev += f", blanks {metrics['val/blank_rate']:.0%}"
        figures = f"update {trainer.global_step}, {self._figures(trainer)}"
        took = clock(time.monotonic() - self.begun)
        say(f"{_epoch(trainer)}: {figures}, {took} an epoch{dev}", file=sys.stdout)

    def _figures(self, trainer: pl.Trainer) -> str:
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        speed = self.audio / max(time.monotonic() - self.begun, 1e-3)
        return (
            f"loss {self.loss / max(self.tokens, 1):.3f}, learning rate {rate:.1e}, {speed:.0f} s of audio/s"
        )


def clock(seconds: float) -> str:
    """Return a time as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _epoch(trainer: pl.Trainer) -> str:
    last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{last}"

"""How a training goes: a bar on a terminal, and a line after each epoch."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from tqdm import tqdm

from speechlstm.training.messages import say
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch


class Progress(Callback):
    """Shows epoch, update, loss, learning rate, seconds of audio a second, and the time that is left."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.validated = False  # in this epoch
        self.audio = self.loss = 0.0  # seconds of audio, and loss summed over tokens, of this epoch
        self.tokens = 0
        self.batches = 0  # of this session
        self.begun = self.epoch_begun = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of this session."""
        self.begun, self.batches = time.monotonic(), 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Begin the bar of an epoch, on a terminal; one that is resumed begins within."""
        if self.bar is not None:
            return
        self.epoch_begun, self.validated = time.monotonic(), False
        self.audio, self.loss, self.tokens = 0.0, 0.0, 0
        self.bar = tqdm(
            total=int(trainer.num_training_batches),
            desc=_epoch(trainer),
            initial=batch_idx,
            leave=False,
            dynamic_ncols=True,
            disable=None if trainer.is_global_zero else True,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}",
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        tokens = int(batch.target_lengths.sum())
        assert isinstance(pl_module, TrainingModule)
        samples = int(batch.lengths.sum()) * trainer.world_size  # the ranks' batches are alike
        self.audio += samples / pl_module.acoustic.sample_rate
        self.loss, self.tokens = self.loss + float(outputs["per_token"]) * tokens, self.tokens + tokens
        self.batches += 1
        self.bar.set_postfix_str(self._figures(trainer), refresh=False)
        self.bar.update()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say on the bar that the model is validated."""
        if self.bar is not None:
            self.bar.set_description(f"{_epoch(trainer)}, validating")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember that this epoch has figures of the dev part."""
        self.validated = not trainer.sanity_checking
        if self.bar is not None:
            self.bar.set_description(_epoch(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line of an epoch."""
        if self.bar is None:
            return  # resumed after its last batch
        self.bar.close()
        self.bar = None
        figures, dev = self._figures(trainer), ""
        if self.validated:
            found = {name: float(value) for name, value in trainer.callback_metrics.items()}
            dev = f"; WER {found['val/wer']:.2%}, CER {found['val/cer']:.2%}"
            if "val/loss" in found:
                dev += f", dev loss {found['val/loss']:.3f}"
            dev += f", blanks {found['val/blank_rate']:.0%}"
        took = clock(time.monotonic() - self.epoch_begun)
        say(f"{_epoch(trainer)}: {figures}, {took} an epoch{dev}", file=sys.stdout)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar, so that a message has a line of its own."""
        if self.bar is not None:
            self.bar.close()

    def _figures(self, trainer: pl.Trainer) -> str:
        now = time.monotonic()
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        speed = self.audio / max(now - self.epoch_begun, 1e-3)
        figures = (
            f"step {trainer.global_step}, loss {self.loss / max(self.tokens, 1):.3f}, learning rate {rate:.1e}, "
            f"{speed:.0f} s of audio/s"
        )
        planned = float(trainer.estimated_stepping_batches) * trainer.accumulate_grad_batches
        missing = planned - trainer.fit_loop.epoch_loop.total_batch_idx - 1
        if not 0 <= missing < float("inf"):
            return figures
        return f"{figures}, {clock((now - self.begun) / max(self.batches, 1) * missing)} left"


def clock(seconds: float) -> str:
    """Return a time as `1:02:03` or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _epoch(trainer: pl.Trainer) -> str:
    last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{last}"

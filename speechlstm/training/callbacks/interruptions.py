"""Stopping and resuming: `last.ckpt` is saved after each epoch, every few minutes, and on a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, WeightAveraging

from speechlstm.data.console import handle_signals
from speechlstm.training import ranks
from speechlstm.training.checkpoints import LAST
from speechlstm.training.messages import say
from speechlstm.types import SpeechlstmError, counted

# SLURM sends the last, by --signal=USR1@120, before the end.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
Place = Literal["batch", "validation", "epoch"]


class Interruption(Exception):  # noqa: N818  nothing has gone wrong
    """A signal has ended the training; the same command goes on."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after {counted(step, 'update')}")
        self.number = number

    @property
    def exit_status(self) -> int:
        """130 after Ctrl-C, 129 when the terminal is closed, 143 (terminated) after a request from a system."""
        return 128 + (signal.SIGTERM if self.number == signal.SIGUSR1 else self.number)


class LastCheckpoint(Checkpoint):
    """Keeps the checkpoint from which the same command goes on as if nothing had been.

    It is written when an epoch with its validation is over, every few minutes between two batches, and within one
    update when a signal comes; in a validation, then, the validation is begun again. While updates are being skipped,
    because of a loss or gradient that is not finite, none is written: the weights may be lost already.
    """

    def __init__(self, dirpath: str, every_minutes: float = 5.0) -> None:
        self.path = Path(dirpath) / LAST
        self.every_minutes = every_minutes
        self.received = 0  # signal that has come
        self.place: Place | None = None  # where in the loops the checkpoint is being written
        self.saved: tuple[int, Place] = (0, "epoch")  # updates, and place, of the last checkpoint
        self.cut = False  # whether the training ends within this epoch
        self.before = 0.0  # seconds of the sessions before this one
        self.begun = self.written = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the training has taken, in all sessions that led here."""
        return self.before + time.monotonic() - self.begun

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Start the clock."""
        self.trainer = trainer
        self.begun = self.written = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take signals, in place of Lightning, which restores all handlers at the end.

        Lightning's own would talk to the other ranks in the middle of whatever they are saying.

        Raises:
            SpeechlstmError: not all ranks go on from the same checkpoint.
        """
        updates = ranks.gather(trainer.global_step)
        if len(set(updates)) > 1:
            raise SpeechlstmError(
                f"the ranks go on after {', '.join(map(str, updates))} updates; "
                "out= must be a folder that all machines share"
            )
        loop, epochs = trainer.fit_loop, trainer.fit_loop.epoch_progress.current
        if epochs.ready == epochs.processed:  # type: ignore[attr-defined]
            # With `max_steps`, Lightning goes on with the epoch that has ended, and leaves the next one out.
            loop._restarting = loop.epoch_loop.restarting = False
            loop.update_restart_stage()
        if threading.current_thread() is threading.main_thread():
            handle_signals(self._receive, SIGNALS)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write between two updates, if it is time; before a validation or an epoch's end their own hooks do."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return
        loop, stops = trainer.fit_loop, trainer.should_stop
        trainer.should_stop = False  # or Lightning would validate in any case, which is not repeated
        validates = loop.epoch_loop._should_check_val_fx(loop._data_fetcher)  # type: ignore[arg-type]
        trainer.should_stop = stops
        # Lightning will take an epoch that ends here for a whole one; so its place is kept while it is known.
        over = trainer.global_step == trainer.max_steps or (stops and loop._can_stop_early)
        self.cut = over and not trainer.is_last_batch
        self._act("batch", always=self.cut, postponed=trainer.is_last_batch or validates)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write before a validation, if it is time."""
        if not trainer.sanity_checking:
            self._act("validation", always=self.cut and self.saved[0] < trainer.global_step)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Break a validation off when a signal asks."""
        if not trainer.sanity_checking and (stop := ranks.largest(self.received)):
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):
                    # The weights being trained come back.
                    callback.on_validation_epoch_end(trainer, pl_module)
            self._write("validation")
            raise Interruption(stop, trainer.global_step)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write when an epoch is over, with its validation and all that follows from that."""
        self._act("epoch", always=trainer.current_epoch > 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write after the last epoch, before averaged weights take the place of the trained ones."""
        # Lightning takes an epoch that was resumed in its middle for one that has no figures, and leaves out
        # the schedule that follows them.
        trainer.fit_loop._restarting = False
        epochs = trainer.current_epoch + 1
        over = trainer.should_stop or epochs == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if over:
            self._act(self.saved[1] if self.cut else "epoch", always=True)

    def state_dict(self) -> dict[str, Any]:
        """Return how long the training has taken, and where it stands."""
        return {"seconds": self.seconds, "saved": [self.trainer.global_step, self.place]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting; a training that had stopped early stays stopped."""
        self.before, self.begun = state_dict["seconds"], time.monotonic()
        self.saved = (state_dict["saved"][0], state_dict["saved"][1])
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
                self.trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Describe the place in the training so that Lightning's loops go on from it.

        Between two updates they do so as they are. Right after an epoch they must read that it has ended, and before
        a validation that it has begun and got nowhere.
        """
        progress = checkpoint["loops"]["fit_loop"]
        if self.place == "epoch":
            for count in progress["epoch_progress"].values():
                count.update(
                    ready=count["processed"], started=count["processed"], completed=count["processed"]
                )
        elif self.place == "validation":
            for key in ("total", "current"):
                count = progress["epoch_loop.batch_progress"][key]
                count.update(completed=count["processed"])
                begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
                progress["epoch_loop.val_loop.batch_progress"][key].update(begun)

    def _receive(self, number: int, frame: Any) -> None:
        if number == self.received == signal.SIGINT:  # Ctrl-C again: now
            raise KeyboardInterrupt
        self.received = number
        name = signal.Signals(number).name
        say(f"{name}: stopping after this batch, with a checkpoint")

    def _act(self, place: Place, always: bool = False, postponed: bool = False) -> None:
        """Write the checkpoint if it is time for it, and stop if a signal has come; all ranks do the same."""
        late = self.trainer.is_global_zero and time.monotonic() - self.written > 60 * self.every_minutes
        stop, due = divmod(ranks.largest(2 * self.received + late), 2)
        if postponed or not (stop or due or always):
            return
        self._write(place)
        if stop:
            raise Interruption(stop, self.trainer.global_step)

    def _write(self, place: Place) -> None:
        model = self.trainer.lightning_module
        if self.saved == (self.trainer.global_step, place) or int(model.skipped):  # type: ignore[arg-type]
            return
        if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
            return
        self.place = place
        self.trainer.save_checkpoint(self.path, weights_only=False)
        self.place, self.saved = None, (self.trainer.global_step, place)
        self.written = time.monotonic()


def requeue() -> None:
    """Tell SLURM to start this job again, where there is SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if not job:
        return
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
        say(f"SLURM will start job {job} again")
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"SLURM cannot start job {job} again: {error}")

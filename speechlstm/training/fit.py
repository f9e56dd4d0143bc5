"""The training run: resuming after an interruption, warm start, and the best weights at the end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from speechlstm.data.console import stopped
from speechlstm.model.settings import flat
from speechlstm.training.callbacks.interruptions import Interruption, LastCheckpoint, requeue
from speechlstm.training.checkpoints import LAST
from speechlstm.training.data import SpeechData
from speechlstm.training.loggers import writers_without_traces
from speechlstm.training.messages import say
from speechlstm.training.module import TrainingModule
from speechlstm.types import AudioError, SpeechlstmError, UsageError


class Trained(NamedTuple):
    """What a training has come to."""

    epoch: int  # whose weights were the best, counted from 1
    epochs: int  # passes over the training data
    seconds: float  # in all sessions that led here


def fit(
    trainer: pl.Trainer, model: TrainingModule, data: SpeechData, folder: Path, last: Path | None
) -> Trained:
    """Train until the last epoch, and load the best weights.

    Raises:
        SpeechlstmError: another rank has failed, updates were skipped in a row, or the training's folder is gone.
        UsageError: settings that cannot be used here.
        SystemExit: a signal has stopped the training; the checkpoint is written.
    """
    try:
        with writers_without_traces():
            run(trainer, model, data, last)
    except AudioError as error:  # from a loader process it comes with that process's traceback
        raise AudioError(str(error).strip().splitlines()[-1].rpartition("AudioError: ")[2]) from error
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        for process in multiprocessing.active_children():
            process.kill()  # one that is stopped does not end when asked to, and would keep this process
            process.join()
        raise SpeechlstmError(lost_loader(str(error), data.timeout)) from error
    except FileNotFoundError as error:
        path = Path(os.fsdecode(error.filename or ""))
        if folder.parent.resolve() not in path.resolve().parents:
            raise
        raise SpeechlstmError(
            f"{path}: is gone; while the training ran, something has removed or moved {folder.parent}, or what is in "
            "it; run the same command again, which goes on from the last checkpoint if there still is one"
        ) from error
    except MisconfigurationException as error:
        raise UsageError(f"the trainer refuses its settings: {error}") from error
    finally:
        trainer.fit_loop.teardown()  # ends the loader processes, which Lightning forgets in a validation
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    keepers = [each for each in callbacks if isinstance(each, ModelCheckpoint) and each.monitor]
    best = Path(keepers[0].best_model_path if keepers and keepers[0].best_model_path else folder / LAST)
    if not best.exists() and best.name != LAST and (folder / LAST).exists():
        say(f"warning: {best} is gone; the bundle gets the weights of {LAST} instead")
        best = folder / LAST
    if not best.exists():
        raise SpeechlstmError(
            f"no checkpoint was written to {folder}, or it is gone; there is nothing to export"
        )
    epoch = 0
    if trainer.is_global_zero:  # the only one that exports
        checkpoint = trainer.strategy.load_checkpoint(best, weights_only=True)
        model.load_state_dict(checkpoint["state_dict"])
        epoch = int(checkpoint["epoch"]) + 1
    seconds = max((each.seconds for each in callbacks if isinstance(each, LastCheckpoint)), default=0.0)
    return Trained(epoch, trainer.current_epoch, seconds)


def lost_loader(reason: str, timeout: float) -> str:
    """Return what has happened to a process that loads the data, from what PyTorch says of it."""
    if "timed out" in reason:
        return (
            f"a loader process has given no batch for {timeout:g} s (data.timeout): it is stopped, or its disk is; "
            "run the same command again to resume from the last checkpoint"
        )
    return (
        "a loader process has ended unexpectedly: killed, or out of memory (data.cache=false takes less, "
        "data.num_workers=0 needs none); run the same command again to resume from the last checkpoint"
    )


def run(
    trainer: pl.Trainer, model: pl.LightningModule, data: pl.LightningDataModule | None, last: Path | None
) -> None:
    """Train from a checkpoint or from the beginning, until the last epoch or a signal.

    Raises:
        SystemExit: a signal has stopped the training; the checkpoint is written.
    """
    try:
        _fit(trainer, model, data, last)
    except Interruption as stop:
        say(f"{stop}; run the same command again to resume")
        if stop.number == signal.SIGUSR1 and trainer.is_global_zero:
            requeue()
        sys.exit(stop.exit_status)
    except SIGTERMException:  # before the first batch
        sys.exit(128 + signal.SIGTERM)
    except SystemExit:  # Lightning's answer to Ctrl-C, with a status as if something had failed
        sys.exit(stopped() or 128 + signal.SIGINT)


def _fit(
    trainer: pl.Trainer, model: pl.LightningModule, data: pl.LightningDataModule | None, last: Path | None
) -> None:
    with warnings.catch_warnings():
        for reason in (
            # Not true: the checkpoint has the place in the epoch (`SpeechData.state_dict`).
            ".*your dataloader is not resumable",
            # It is not empty because the same command goes on.
            "Checkpoint directory .* exists and is not empty",
            # Not needed: the error rates are of all ranks already (`TrainingModule.on_validation_epoch_end`).
            "It is recommended to use .*sync_dist=True",
            # Known: more processes would load no faster than one, and small trainings log seldom.
            ".*does not have many workers",
            "The number of training batches .* is smaller than the logging interval",
        ):
            warnings.filterwarnings("ignore", reason)
        trainer.fit(model, data, ckpt_path=str(last) if last else None, weights_only=True)


def check_checkpoint(
    checkpoint: Mapping[str, Any], model: TrainingModule, settings: Mapping[str, Any]
) -> None:
    """See whether a training can go on from a checkpoint.

    Raises:
        UsageError: it is of another model; the differences are listed.
    """
    model.check_tokens(checkpoint)
    there = {name: tuple(weights.shape) for name, weights in checkpoint["state_dict"].items()}
    here = {name: tuple(weights.shape) for name, weights in model.state_dict().items()}
    if there == here:
        return
    before, now = (flat(each) for each in (checkpoint["settings"], settings))
    differences = [
        f"{key} is {now.get(key)}, but was {before.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ] or [
        f"{name} is of shape {here.get(name)}, but was {there.get(name)}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    more = f" and {len(differences) - 8} more" if len(differences) > 8 else ""
    raise UsageError(
        f"the checkpoint is of another model: {'; '.join(differences[:8])}{more}; "
        "use the old settings, or another out="
    )

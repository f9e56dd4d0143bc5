"""What a training could use: the peak learning rate by a range test, and the largest batch by trying."""

from __future__ import annotations

import functools
import gc
import math
import resource
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from speechlstm.configs import build
from speechlstm.training.data import SpeechData, collate
from speechlstm.training.module import TrainingModule
from speechlstm.training.sampler import BucketSampler, Key
from speechlstm.transcription.devices import check_precision
from speechlstm.types import SpeechlstmError, UsageError

_MOMENTUM = 0.9  # of the loss that is smoothed over the updates
_DIVERGED = 4.0  # times the lowest loss
_GROWTH = 1.25  # from one size of batch to the next


class _RangeTest(pl.Callback):
    """Keeps rate and smoothed loss of each update, and ends the training when the loss has grown."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.rate = self.mean = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["per_token"])
        self.mean = _MOMENTUM * self.mean + (1 - _MOMENTUM) * loss
        smoothed = self.mean / (1 - _MOMENTUM ** (len(self.points) + 1))
        if not math.isfinite(loss):
            trainer.should_stop = True
            return
        self.points.append((self.rate, smoothed))
        trainer.should_stop = smoothed > _DIVERGED * min(point[1] for point in self.points)


def range_test(
    cfg: DictConfig, model: TrainingModule, data: SpeechData, lowest: float, highest: float, steps: int
) -> list[tuple[float, float]]:
    """Train while the learning rate grows by the same factor each update.

    Smith: Cyclical learning rates for training neural networks, WACV 2017, section 3.3. Lightning's own test takes
    the loss that it differentiates, which here is a sum over the batch's tokens and so grows with the batch.

    Args:
        cfg: the training's settings.
        model: what is trained; its weights are spoiled.
        data: what is learned from.
        lowest: first rate.
        highest: last rate.
        steps: updates, the test ends earlier if the loss grows fourfold.

    Returns:
        `(rate, loss)` of each update; the loss per token in nats, smoothed exponentially.

    Raises:
        SpeechlstmError: not even the first losses are finite.
    """
    growth = (highest / lowest) ** (1 / (steps - 1))
    optimizer: Any = model.optimizer
    model.optimizer = functools.partial(optimizer, lr=lowest)
    model.scheduler = functools.partial(_growing, growth=growth)
    test = _RangeTest()
    _trainer(cfg, max_steps=steps, callbacks=[test]).fit(model, data)
    if len(test.points) < 2:
        raise SpeechlstmError(
            f"the loss is not finite even at a learning rate of {lowest:g}; try a lower one"
        )
    return test.points


def suggestion(points: Sequence[tuple[float, float]]) -> float:
    """Return a tenth of the rate at which the loss is lowest: at that one itself it is about to grow."""
    return min(points, key=lambda point: point[1])[0] / 10


def _growing(optimizer: Optimizer, total_steps: int, growth: float) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: growth**step)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What the heaviest batches of a size took.

    Attributes:
        seconds: `data.batch_seconds`.
        memory: most GB that the process (on a GPU: torch on it) had; infinite if there were not so many.
        fits: whether that is within the limit.
    """

    seconds: float
    memory: float
    fits: bool


def smallest(data: SpeechData) -> float:
    """Return the least `data.batch_seconds`: the longest utterance, played at the slowest speed."""
    longest = max(each.duration for each in data.train_set.utterances)
    return longest / (data.speed.low if data.speed else 1.0)


def batch_sizes(
    cfg: DictConfig, model: TrainingModule, data: SpeechData, memory: float | None
) -> Iterator[BatchSize]:
    """Take a training step with ever larger batches, until one does not fit or holds all the data.

    Of each size the batch with most audio, padding included, and the one with the longest utterances (what grows with
    the square of the length weighs there). Forward, backward and update are the trainer's own, in its precision.
    On a CPU it is the process's memory that counts, with the cached audio in it.

    Args:
        cfg: the training's settings.
        model: what is trained; its weights are spoiled.
        data: what is learned from.
        memory: GB that may be taken; None on a GPU: all there is.

    Yields:
        each size that was tried, in growing order.

    Raises:
        UsageError: on a CPU, where taking too much ends other processes, no limit is given.
    """
    durations = [each.duration for each in data.train_set.utterances]
    seconds = smallest(data)
    before: list[list[Key]] = []
    trainer = _trainer(cfg, max_steps=1)
    on_gpu = trainer.strategy.root_device.type == "cuda"
    if memory is None and not on_gpu:
        raise UsageError("memory is not set: on a CPU say how many GB a training may take, as in memory=8")
    while True:
        sampler = BucketSampler(durations, seconds, True, data.speed, data.seed)
        batches = sampler.batches(0)
        heaviest = _heaviest(batches, durations)
        if heaviest != before:
            used = _step(cfg, model, data, heaviest, on_gpu)
            fits = used <= (math.inf if memory is None else memory) and used < math.inf
            yield BatchSize(seconds, used, fits)
            if not fits:
                return
        if len(batches) == 1:
            return
        before, seconds = heaviest, seconds * _GROWTH


def _heaviest(batches: list[list[Key]], durations: Sequence[float]) -> list[list[Key]]:
    def weight(batch: list[Key], power: int) -> float:
        return len(batch) * max(durations[index] / speed for index, speed, _ in batch) ** power

    by_audio, by_square = (max(batches, key=lambda batch: weight(batch, power)) for power in (1, 2))
    return [by_audio] if by_audio == by_square else [by_audio, by_square]


def _step(
    cfg: DictConfig, model: TrainingModule, data: SpeechData, batches: list[list[Key]], gpu: bool
) -> float:
    """Train on the batches and return the most GB in use, infinite when there was not enough."""
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    loader: DataLoader[Any] = DataLoader(data.train_set, batch_sampler=batches, collate_fn=collate)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*but have no `val_dataloader`")  # as it should be
            _trainer(cfg, max_steps=len(batches)).fit(model, loader)
    except torch.cuda.OutOfMemoryError:
        return math.inf
    finally:
        gc.collect()
    if gpu:
        return torch.cuda.max_memory_reserved() / 1e9
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what the kernel counts in
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _trainer(cfg: DictConfig, max_steps: int, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """Return the training's trainer on one device, which writes nothing and does not validate."""
    trainer: pl.Trainer = build(
        cfg.trainer, max_steps=max_steps, max_epochs=-1, callbacks=list(callbacks), devices=1, num_nodes=1,
        strategy="auto", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, num_sanity_val_steps=0, accumulate_grad_batches=1,
    )  # fmt: skip
    check_precision(str(cfg.trainer.precision), trainer.strategy.root_device)
    return trainer

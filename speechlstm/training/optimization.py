"""Optimizers and learning-rate schedules of PyTorch, made from their settings."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from speechlstm.model.settings import shown
from speechlstm.types import UsageError

LENGTHS = ("total_steps", "T_max")  # what PyTorch's schedules call the updates of a training


def make_optimizer(make: Callable[[Any], Optimizer], weights: Sequence[nn.Parameter]) -> Optimizer:
    """Return the optimizer of weights.

    Raises:
        UsageError: its settings are of the wrong kind, or out of range.
    """
    _check_numbers(make, "optimizer")
    try:
        return make(weights)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a setting under optimizer. does not fit: {error}") from error


def make_schedule(make: Callable[..., LRScheduler], optimizer: Optimizer, steps: float) -> LRScheduler:
    """Return the learning-rate schedule of a training of so many updates, infinity if it has no end.

    A schedule that has need of the updates of the whole training has a parameter `total_steps` or `T_max`, as PyTorch's
    have.

    Raises:
        UsageError: its settings are of the wrong kind, or out of range, or it needs an end and there is none.
    """
    _check_numbers(make, "scheduler")
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # there is a setting that it lacks; the call tells which
        parameters = MappingProxyType({})
    lengths = [name for name in LENGTHS if name in parameters]
    if lengths and steps == math.inf:
        raise UsageError(
            "this schedule goes by the number of updates, but the training has no end: set trainer.max_epochs or "
            "trainer.max_steps (trainer.max_time can end it before), or use scheduler=constant"
        )
    try:
        return make(optimizer, **dict.fromkeys(lengths, steps))
    except (TypeError, ValueError, ArithmeticError) as error:  # the last: no end, or a rise of one update
        raise UsageError(f"a setting under scheduler. does not fit: {error}") from error


def retrace(schedule: Any) -> None:
    """Give a schedule whose length has changed the rate that it would have, had it been so long from the beginning.

    PyTorch's cosine makes each rate of the one before: after a training has ended at zero, all would be zero.
    """
    if not any(hasattr(schedule, name) for name in LENGTHS):
        return
    done, schedule.last_epoch = schedule.last_epoch, 0
    for group in schedule.optimizer.param_groups:
        group["lr"] = group["initial_lr"]
    for _ in range(done):
        schedule.step()


def _check_numbers(make: Callable[..., Any], group: str) -> None:
    """Raise a UsageError for what is no number where a part of PyTorch has one as default: it would compare the two."""
    while isinstance(make, partial) and isinstance(make.func, partial):  # as Hydra makes them
        make = make.func
    if not isinstance(make, partial):
        return
    usual = inspect.signature(make.func).parameters
    for name, value in make.keywords.items():
        default = usual[name].default if name in usual else None
        wanted = ""
        if isinstance(default, int | float) and isinstance(value, str):
            wanted = "a number"
        elif isinstance(default, tuple) and not _are_numbers(value, len(default)):
            wanted = f"a list of {len(default)} numbers"
        if wanted:
            raise UsageError(f"{group}.{name} is {shown(value)}, but must be {wanted}")


def _are_numbers(values: Any, count: int) -> bool:
    """Return whether these are so many numbers."""
    return (
        isinstance(values, Sequence)
        and len(values) == count
        and all(isinstance(each, int | float) for each in values)
    )

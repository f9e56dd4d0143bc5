"""Learning-rate schedules: each multiplies the optimizer's rate, the peak, by a factor of the step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from speechlstm.types import UsageError


def one_cycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.2, final: float = 0.0) -> LambdaLR:
    """Rise linearly to the optimizer's rate, then fall along a cosine (after Smith and Topin 2018).

    Args:
        optimizer: its `lr` is the peak.
        total_steps: updates of the whole training.
        warmup: share of the steps in which the rate rises.
        final: factor at the end.
    """

    def factor(step: int) -> float:
        done = min(step / max(total_steps, 1), 1.0)
        if warmup > 0 and done <= warmup:
            return 0.04 + 0.96 * done / warmup
        return final + (1 - final) * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, total_steps: int, warmup_steps: int = 0) -> LambdaLR:
    """Keep the optimizer's rate, after `warmup_steps` updates in which it rises linearly."""
    return LambdaLR(optimizer, lambda step: _rise(step, warmup_steps))


def cosine(
    optimizer: Optimizer, total_steps: int, warmup_steps: int = 0, cycles: int = 1, final: float = 0.0
) -> LambdaLR:
    """Fall along a cosine, once or several times from the peak on.

    Loshchilov and Hutter: SGDR, stochastic gradient descent with warm restarts, ICLR 2017. What begins with trained
    weights needs no long rise; `one_cycle` is for what begins with none.

    Args:
        optimizer: its `lr` is the peak.
        total_steps: updates of the whole training.
        warmup_steps: updates before the first fall, in which the rate rises linearly.
        cycles: falls, all equally long.
        final: factor at the end of each.

    Raises:
        UsageError: there is no cycle.
    """
    if cycles < 1:
        raise UsageError(f"scheduler.cycles is {cycles}, but must be 1 or more")

    def factor(step: int) -> float:
        if step < warmup_steps:
            return _rise(step, warmup_steps)
        done = cycles * (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        place = done % 1 if done < cycles else 1.0
        return final + (1 - final) * (1 + math.cos(math.pi * place)) / 2

    return LambdaLR(optimizer, factor)


def noam(optimizer: Optimizer, total_steps: int, warmup_steps: int = 1000) -> LambdaLR:
    """Rise linearly, then fall with the root of the step, whatever the length of the training.

    Vaswani et al.: Attention is all you need, NIPS 2017, equation 3, scaled so that its peak is the optimizer's `lr`.

    Args:
        optimizer: its `lr` is the peak.
        total_steps: not used; the fall does not end.
        warmup_steps: updates in which the rate rises.
    """
    top = max(warmup_steps, 1)
    return LambdaLR(optimizer, lambda step: min((step + 1) / top, math.sqrt(top / (step + 1))))


def plateau(
    optimizer: Optimizer, total_steps: int, factor: float = 0.5, patience: int = 3, final: float = 0.0
) -> ReduceLROnPlateau:
    """Lower the rate each time the validation loss has not fallen for some validations.

    The loss rather than the error rate, which stays at 100 % as long as a CTC network still says nothing.

    Args:
        optimizer: its `lr` is the first rate.
        total_steps: not used.
        factor: of each lowering, below 1.
        patience: validations without a fall that are borne.
        final: least factor.

    Raises:
        UsageError: the factor does not lower anything.
    """
    if not 0 < factor < 1:
        raise UsageError(f"scheduler.factor is {factor}, but must lie between 0 and 1")
    least = [final * group["lr"] for group in optimizer.param_groups]
    return ReduceLROnPlateau(optimizer, factor=factor, patience=patience, min_lr=least)


def _rise(step: int, warmup_steps: int) -> float:
    """Return the factor of a linear rise that is over after so many steps."""
    return min(1.0, (step + 1) / (warmup_steps + 1))

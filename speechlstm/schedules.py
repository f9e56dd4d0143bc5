"""Learning-rate schedules: each multiplies the optimizer's rate by a factor of the step."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


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
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (warmup_steps + 1)))

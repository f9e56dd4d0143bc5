"""Averages of the weights, which are validated and kept: a running mean, or the mean of the last checkpoints."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from speechlstm.types import UsageError


def averaging(decay: float, last: int | None = None) -> WeightAveraging:
    """Return the callback that averages the weights.

    Args:
        decay: of the running mean, per update.
        last: average the weights of so many validations instead; null keeps the running mean.
    """
    return RunningMean(decay) if last is None else CheckpointAveraging(last)


class RunningMean(WeightAveraging):
    """Averages the weights exponentially over the updates (Polyak and Juditsky 1992).

    Lightning's own `EMAWeightAveraging` does the same weight by weight, each in three passes over memory, which takes
    several times as long; here it is one pass over all.

    Args:
        decay: share of the mean that an update leaves as it was.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UsageError(f"callbacks.averaging.decay is {decay!r}, but must be 0 or more and below 1")
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]


class CheckpointAveraging(WeightAveraging):
    """Validates and keeps the mean of the weights of the last validations, in place of the weights being trained.

    As in Vaswani et al., "Attention is all you need" (2017), section 6.1, where the last checkpoints are averaged
    when the training is over. Here it is done for each validation, so that the best checkpoint is the best mean. The
    training itself goes on from its own weights. All weights that are averaged are in each checkpoint, which gets as
    many times larger.

    Args:
        last: how many validations' weights make a mean; at first there are fewer.

    Raises:
        UsageError: `last` is less than 1.
    """

    def __init__(self, last: int = 5) -> None:
        if last < 1:
            raise UsageError(f"{last} checkpoints have no mean; last must be 1 or more")
        super().__init__()
        self.checkpoints: deque[dict[str, Tensor]] = deque(maxlen=last)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Never average after an update or epoch: only validations count."""
        return False

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the mean in the place of the weights, which are added to it unless this validation is begun again."""
        if not trainer.sanity_checking and trainer.global_step > self._latest_update_step:
            assert self._average_model is not None
            weights = {name: value.to("cpu", copy=True) for name, value in pl_module.state_dict().items()}
            self.checkpoints.append(weights)
            self._average_model.module.load_state_dict(mean(self.checkpoints))
            self._latest_update_step = trainer.global_step
        super().on_validation_epoch_start(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return what the next means are made of."""
        return super().state_dict() | {"checkpoints": list(self.checkpoints)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the weights of the validations before."""
        super().load_state_dict(state_dict)
        self.checkpoints.extend(state_dict["checkpoints"])


def mean(checkpoints: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each weight; what is counted and not learnt is the last one's."""
    return {
        name: torch.stack([each[name] for each in checkpoints]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in checkpoints[-1].items()
    }

"""A running mean of the weights, which is validated and kept in place of the last ones."""

from __future__ import annotations

from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from speechlstm.types import UsageError


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

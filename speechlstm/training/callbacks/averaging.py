"""A running average of the weights, which is validated and saved instead of the latest weights."""

from __future__ import annotations

from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class RunningMean(WeightAveraging):
    """Averages the weights exponentially over the updates (Polyak and Juditsky 1992).

    Lightning's own `EMAWeightAveraging` does the same weight by weight, each in three passes over memory, which takes
    several times as long; here it is one pass over all.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

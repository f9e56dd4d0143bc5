"""The running mean of the weights is Lightning's."""

from __future__ import annotations

import copy

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging
from torch import nn

from speechlstm.training.callbacks.averaging import RunningMean


class Trainer:
    """Counts updates, as Lightning's trainer does."""

    global_step = 0


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("count", torch.tensor(0))


def averaged(callback: WeightAveraging, model: Module, updates: int) -> list[torch.Tensor]:
    """Change the weights so many times and return the mean that the callback keeps."""
    torch.manual_seed(0)
    trainer = Trainer()
    callback.setup(trainer, model, "fit")
    for _ in range(updates):
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights))
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, model, None, None, 0)
    callback.on_train_end(trainer, model)
    return [each.detach() for each in (*model.parameters(), *model.buffers())]


def test_the_mean_is_that_of_lightning() -> None:
    model = Module()
    ours = averaged(RunningMean(0.9), copy.deepcopy(model), 20)
    theirs = averaged(EMAWeightAveraging(decay=0.9), copy.deepcopy(model), 20)
    last = averaged(RunningMean(0.0), copy.deepcopy(model), 20)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.allclose(ours[0], last[0], atol=0.1), "and not the last weights"

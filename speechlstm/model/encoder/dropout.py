"""What makes a recurrent layer uncertain of itself in training, against learning a small corpus by heart."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Drops random units, as `nn.Dropout`, in a third of its time on the CPU.

    PyTorch draws a number for each unit there, one after the other in one thread; here 64 random bits decide about
    four units. Does nothing in evaluation mode.

    Args:
        probability: of dropping a unit, to 1 in 65,536; those that stay are scaled by 1 / (1 - probability).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor to one of the same shape, `(batch, ..., units)`."""
        return self.drop(x) if self.training and self.probability else x

    def drop(self, x: Tensor) -> Tensor:
        """Drop units of a tensor, whatever the mode."""
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        dropped = min(round(self.probability * 2**16), 2**16 - 1)  # of 65,536 equally likely values
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - 2**15
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - dropped))


class VariationalDropout(Dropout):
    """Drops the same units in all frames of an utterance, others in each utterance.

    Gal and Ghahramani: A theoretically grounded application of dropout in recurrent neural networks, NIPS 2016. A
    recurrent layer averages over dropout that changes from frame to frame; this it has to do without for good.
    Does nothing in evaluation mode.

    Args:
        probability: of dropping a unit; those that stay are scaled by 1 / (1 - probability).
    """

    def drop(self, x: Tensor) -> Tensor:
        """Drop the same units in all frames, whatever the mode."""
        mask = x.new_ones(x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1])
        return x * F.dropout(mask, self.probability)


def perturbed(weight: Tensor, noise: float, drop: float) -> Tensor:
    """Return a weight matrix as one training batch uses it; gradients go to the weights themselves.

    Args:
        weight: any shape.
        noise: standard deviation of what is added to each weight: Graves, Mohamed and Hinton, Speech recognition with
            deep recurrent neural networks, ICASSP 2013 (0.075 there, drawn once per training sequence).
        drop: probability that a weight counts as zero, the others scaled by 1 / (1 - drop): DropConnect between hidden
            states, Merity, Keskar and Socher, Regularizing and optimizing LSTM language models, ICLR 2018.
    """
    if noise:
        weight = weight + noise * torch.randn_like(weight)
    return F.dropout(weight, drop) if drop else weight

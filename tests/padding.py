"""What the encoders' tests share: utterances of different lengths in one batch, and weights that show padding."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

FEATURES = 10
Network = TypeVar("Network", bound=nn.Module)


def as_if_trained(network: Network) -> Network:
    """Give a network biases: after the convolutions they make padding differ from zero."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "bias" in name:
                weight.add_(torch.randn_like(weight) * 0.3)
    return network


def pad(utterances: list[Tensor], filler: float = 0.0, extra: int = 0) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(utterance) for utterance in utterances])
    batch = torch.full((len(utterances), max(1, int(lengths.max())) + extra, FEATURES), filler)
    for row, utterance in zip(batch, utterances, strict=True):
        row[: len(utterance)] = utterance
    return batch, lengths


def randoms(lengths: list[int], seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, FEATURES, generator=generator) for length in lengths]

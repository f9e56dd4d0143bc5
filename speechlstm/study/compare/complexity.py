"""What a longer sequence costs a network."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from speechlstm.study.compare.networks import SequenceNetwork, matched

SHORT, LONG = 128, 512  # steps
_BATCH, _REPEATS = 16, 7


def complexity(kind: str, parameters: int) -> dict[str, Any]:
    """Measure how the time of a training step grows from `SHORT` to `LONG` steps, and count its multiplications.

    Returns:
        plain JSON: `network`; `parameters`, as asked for; `growth`, the sorted ratios of the times of alternating runs;
        `short_products` and `long_products`, multiplications per step in sequences of these lengths.
    """
    torch.manual_seed(0)
    network = matched(kind, 2, 1, parameters)
    growth = []
    for repeat in range(_REPEATS + 1):
        short, long = (_seconds(network, steps) for steps in (SHORT, LONG))
        if repeat:  # the first run compiles kernels
            growth.append(long / short)
    counts = {"short_products": products(network, SHORT), "long_products": products(network, LONG)}
    return {"network": kind, "parameters": parameters, "growth": sorted(growth)} | counts


def products(network: SequenceNetwork, steps: int) -> int:
    """Return how many multiplications a step needs, on average over a sequence.

    Each weight of a matrix is used once per step. Attention multiplies the width twice for each visible step, in each
    layer: once for its weight, once for its value.
    """
    weights = sum(weight.numel() for weight in network.parameters() if weight.dim() == 2)
    layers = sum(isinstance(module, nn.MultiheadAttention) for module in network.modules())
    return weights + round(layers * 2 * network.width * (steps + 1) / 2)


def _seconds(network: SequenceNetwork, steps: int) -> float:
    begin = time.perf_counter()
    network(torch.zeros(_BATCH, steps, 2)).sum().backward()
    return time.perf_counter() - begin

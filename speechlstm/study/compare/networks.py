"""The networks that are compared, each sized to have the same number of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from speechlstm.model.encoder import RecurrentLayer
from speechlstm.model.encoder.lookahead import ForwardLayer
from speechlstm.types import UsageError

NETWORKS = ("rnn", "gru", "lstm", "transformer")
TITLES = {"rnn": "plain RNN", "gru": "GRU", "lstm": "LSTM", "transformer": "Transformer"}
_HEADS, _LAYERS = 2, 2  # of the Transformer


class SequenceNetwork(nn.Module):
    """Reads a sequence and returns an output at each step, from the steps so far.

    The recurrent ones are one layer of this package's encoders, see `remember` for their biases. The Transformer
    (Vaswani et al.: Attention is all you need, 2017) has two layers with normalization before each module, two heads,
    and sinusoidal positions; no step sees a later one.
    """

    def __init__(self, kind: str, input_size: int, output_size: int, width: int, memory: int = 2) -> None:
        super().__init__()
        self.kind, self.width = kind, width
        if kind == "transformer":
            block = nn.TransformerEncoderLayer(
                width, _HEADS, 4 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            self.enter: nn.Module = nn.Linear(input_size, width)
            self.core: nn.Module = nn.TransformerEncoder(
                block, _LAYERS, norm=nn.LayerNorm(width), enable_nested_tensor=False
            )
        elif kind in NETWORKS:
            self.enter = nn.Identity()
            layer = ForwardLayer(kind, input_size, width, None, 0.0, layer_norm=False, residual=False)
            remember(layer, memory)
            self.core = layer
        else:
            raise UsageError(f"no network {kind!r}; there are: {', '.join(NETWORKS)}")
        self.output = nn.Linear(width, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, steps, input_size)` to `(batch, steps, output_size)`."""
        if self.kind != "transformer":
            return self.output(self.core(x))  # type: ignore[no-any-return]
        steps = x.shape[1]
        later = torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)
        entered = self.enter(x) + positions(steps, self.width).to(x)
        return self.output(self.core(entered, mask=later, is_causal=True))  # type: ignore[no-any-return]

    @property
    def parameter_count(self) -> int:
        """The number of weights."""
        return sum(weight.numel() for weight in self.parameters())


@torch.no_grad()
def remember(layer: RecurrentLayer, memory: int) -> None:
    """Set the biases of the gates of an LSTM or GRU so that its units remember for 1 to `memory` (2 or more) steps.

    Tallec and Ollivier: Can recurrent neural networks warp time?, ICLR 2018. The LSTM of 1997 had no forget gate and
    kept everything.
    """
    size = layer.rnn.hidden_size
    keep = torch.empty(size).uniform_(1.0, max(memory - 1.0, 1.0)).log()
    _, _, bias, _ = layer.weights("")
    if layer.cell == "lstm":  # rows: input, forget, candidate, output
        bias[:size], bias[size : 2 * size] = -keep, keep
    elif layer.cell == "gru":  # rows: reset, update, candidate; the update gate keeps and writes
        bias[size : 2 * size] = keep


def positions(steps: int, width: int) -> Tensor:
    """Return sines and cosines of each position, `(steps, width)`, as in section 3.5 of the Transformer's paper."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(steps).unsqueeze(1) * rate
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width]


def matched(
    kind: str, input_size: int, output_size: int, parameters: int, memory: int = 2
) -> SequenceNetwork:
    """Return the `SequenceNetwork` of a kind whose number of parameters is nearest to a given one."""
    step = 2 * _HEADS if kind == "transformer" else 1  # heads of an even width, for sines and cosines

    def count(units: int) -> int:
        return SequenceNetwork(kind, input_size, output_size, units * step).parameter_count

    units = nearest(count, parameters)
    return SequenceNetwork(kind, input_size, output_size, units * step, memory)


def nearest(count: Callable[[int], int], parameters: int) -> int:
    """Return the size, 1 or more, for which a rising `count(size)` is nearest to `parameters`."""
    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if count(middle) >= parameters else (middle, high)
    return min((low, high), key=lambda size: abs(count(size) - parameters))

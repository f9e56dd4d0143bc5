"""Recurrent cells as the literature writes them, one equation a line, every gate returned.

Trained networks run in PyTorch's own kernels, which return only hidden states. `from_torch` makes the cell of such a
network, and `run` returns the same hidden states and every gate.

Notation: sigma is the logistic function, * the product of numbers in the same place, x_t the input of step t, h the
hidden state, c the cell state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from speechlstm.types import UsageError


class LSTMGates(NamedTuple):
    """What an LSTM computes in a step, `(batch, units)` each, or in all steps, `(batch, steps, units)` each.

    Attributes:
        forget: f, the share of each unit's memory that is kept, in (0, 1).
        input: i, the share of each candidate value that is written, in (0, 1).
        candidate: g, the values that could be written, in (-1, 1).
        cell: c, the memory after the step.
        output: o, the share of the memory that is output, in (0, 1).
        hidden: h, the output to the next step and the next layer.
    """

    forget: Tensor
    input: Tensor
    candidate: Tensor
    cell: Tensor
    output: Tensor
    hidden: Tensor


class GRUGates(NamedTuple):
    """What a GRU computes in a step, `(batch, units)` each, or in all steps, `(batch, steps, units)` each.

    Attributes:
        reset: r, the share of the state that the candidate sees, in (0, 1).
        update: z, the share of the state that is kept, in (0, 1).
        candidate: n, the values that take the place of what is not kept, in (-1, 1).
        hidden: h, the state, all of which is output.
    """

    reset: Tensor
    update: Tensor
    candidate: Tensor
    hidden: Tensor


class RNNGates(NamedTuple):
    """The state of a plain RNN, which has no gates: `(batch, units)`, or `(batch, steps, units)`.

    Attributes:
        hidden: h, in (-1, 1).
    """

    hidden: Tensor


Gates = LSTMGates | GRUGates | RNNGates


class Affine(nn.Module):
    """W x + U h + b: what every gate is before its nonlinearity."""

    def __init__(self, input_size: int, hidden_size: int, units: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(units)  # as PyTorch initializes its recurrent layers
        self.W = nn.Parameter(torch.empty(units, input_size).uniform_(-bound, bound))
        self.U = nn.Parameter(torch.empty(units, hidden_size).uniform_(-bound, bound))
        self.b = nn.Parameter(torch.empty(units).uniform_(-bound, bound))

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Map `(batch, input_size)` and `(batch, hidden_size)` to `(batch, units)`."""
        return x @ self.W.T + h @ self.U.T + self.b


class LSTMCell(nn.Module):
    """Long short-term memory.

        f_t = sigma(W_f x_t + U_f h_{t-1} + b_f)
        i_t = sigma(W_i x_t + U_i h_{t-1} + b_i)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = sigma(W_o x_t + U_o h_{t-1} + b_o)
        h_t = o_t * tanh(c_t)

    Where f_t is 1 and i_t is 0, the memory does not change, nor does the gradient on its way back: the constant error
    carousel. Hochreiter and Schmidhuber: Long short-term memory, Neural Computation 9(8), 1997. The forget gate: Gers,
    Schmidhuber and Cummins: Learning to forget, Neural Computation 12(10), 2000.

    With peepholes the gates see the memory, each unit its own: + p_f * c_{t-1} in f_t, + p_i * c_{t-1} in i_t, and
    + p_o * c_t in o_t, inside sigma. Gers, Schraudolph and Schmidhuber: Learning precise timing with LSTM recurrent
    networks, JMLR 3, 2002.

    With a projection, the output has fewer numbers than units: h_t = R (o_t * tanh(c_t)). Sak, Senior and Beaufays:
    Long short-term memory recurrent neural network architectures for large scale acoustic modeling, Interspeech 2014.

    Args:
        input_size: of x_t.
        hidden_size: memory units.
        projection_size: of h_t; None: as many as units, without a projection.
        peepholes: let the gates see the memory.
    """

    def __init__(
        self, input_size: int, hidden_size: int, projection_size: int | None = None, peepholes: bool = False
    ) -> None:
        super().__init__()
        self.hidden_size, self.shown_size = hidden_size, projection_size or hidden_size
        sizes = (input_size, self.shown_size, hidden_size)
        self.forget, self.input, self.candidate, self.output = (Affine(*sizes) for _ in range(4))
        self.peepholes = nn.ParameterDict()
        for gate in ("forget", "input", "output") if peepholes else ():
            self.peepholes[gate] = nn.Parameter(torch.empty(hidden_size).uniform_(-0.1, 0.1))
        bound = 1 / math.sqrt(hidden_size)
        shape = (self.shown_size, hidden_size)
        self.R = nn.Parameter(torch.empty(shape).uniform_(-bound, bound)) if projection_size else None

    def start(self, x: Tensor) -> LSTMGates:
        """Return the state before the first step of inputs `(batch, ...)`: zeros."""
        units, shown = x.new_zeros(len(x), self.hidden_size), x.new_zeros(len(x), self.shown_size)
        return LSTMGates(units, units, units, units, units, shown)

    def forward(self, x: Tensor, before: LSTMGates) -> LSTMGates:
        """Take one step from `(batch, input_size)` and the gates of the step before; return its gates."""
        h, c = before.hidden, before.cell
        f = torch.sigmoid(self.forget(x, h) + self._peep("forget", c))
        i = torch.sigmoid(self.input(x, h) + self._peep("input", c))
        g = torch.tanh(self.candidate(x, h))
        c = f * c + i * g
        o = torch.sigmoid(self.output(x, h) + self._peep("output", c))
        h = o * torch.tanh(c)
        return LSTMGates(f, i, g, c, o, h if self.R is None else h @ self.R.T)

    def _peep(self, gate: str, c: Tensor) -> Tensor | float:
        return self.peepholes[gate] * c if gate in self.peepholes else 0.0


class GRUCell(nn.Module):
    """Gated recurrent unit.

        r_t = sigma(W_r x_t + U_r h_{t-1} + b_r)
        z_t = sigma(W_z x_t + U_z h_{t-1} + b_z)
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + d_n))
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Cho et al.: Learning phrase representations using RNN encoder-decoder, EMNLP 2014, in the variant of cuDNN and
    PyTorch: the reset gate acts after the product with U_n, not before it, so that n_t has two biases.

    Args:
        input_size: of x_t.
        hidden_size: units.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.reset, self.update, self.candidate = (
            Affine(input_size, hidden_size, hidden_size) for _ in range(3)
        )
        self.d = nn.Parameter(torch.zeros(hidden_size))

    def start(self, x: Tensor) -> GRUGates:
        """Return the state before the first step of inputs `(batch, ...)`: zeros."""
        units = x.new_zeros(len(x), self.hidden_size)
        return GRUGates(units, units, units, units)

    def forward(self, x: Tensor, before: GRUGates) -> GRUGates:
        """Take one step from `(batch, input_size)` and the gates of the step before; return its gates."""
        h, new = before.hidden, self.candidate
        r = torch.sigmoid(self.reset(x, h))
        z = torch.sigmoid(self.update(x, h))
        n = torch.tanh(x @ new.W.T + new.b + r * (h @ new.U.T + self.d))
        return GRUGates(r, z, n, (1 - z) * n + z * h)


class RNNCell(nn.Module):
    """Plain recurrent network: h_t = tanh(W x_t + U h_{t-1} + b). Elman: Finding structure in time, 1990.

    The gradient on its way back is multiplied by U and by the slope of tanh in each step, so it vanishes or explodes:
    Hochreiter's diploma thesis, 1991; Bengio, Simard and Frasconi, IEEE Transactions on Neural Networks 5(2), 1994.

    Args:
        input_size: of x_t.
        hidden_size: units.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden = Affine(input_size, hidden_size, hidden_size)

    def start(self, x: Tensor) -> RNNGates:
        """Return the state before the first step of inputs `(batch, ...)`: zeros."""
        return RNNGates(x.new_zeros(len(x), self.hidden_size))

    def forward(self, x: Tensor, before: RNNGates) -> RNNGates:
        """Take one step from `(batch, input_size)` and the gates of the step before; return its gates."""
        return RNNGates(torch.tanh(self.hidden(x, before.hidden)))


Cell = LSTMCell | GRUCell | RNNCell


def run(cell: Cell, x: Tensor) -> Gates:
    """Let a cell take all steps of `(batch, steps, input_size)`; return its gates, `(batch, steps, units)` each."""
    step = cell.start(x)
    steps = []
    for now in x.unbind(1):
        step = cell(now, step)
        steps.append(step)
    if not steps:  # keep the shapes of an empty sequence
        return type(step)(*(part.unsqueeze(1)[:, :0] for part in step))
    return type(step)(*(torch.stack(parts, 1) for parts in zip(*steps, strict=True)))


def from_torch(network: nn.RNNBase, layer: int = 0, reverse: bool = False) -> Cell:
    """Make the cell of one layer and direction of PyTorch's `nn.LSTM`, `nn.GRU` or `nn.RNN`, with its weights.

    Args:
        network: of one layer or more, with or without biases and projection.
        layer: counted from 0.
        reverse: whether to take the backward direction, which reads a sequence from its end.

    Raises:
        UsageError: an `nn.RNN` with another nonlinearity than tanh, or no such layer or direction.

    Examples:
        >>> network = nn.LSTM(input_size=3, hidden_size=4, batch_first=True)
        >>> x = torch.randn(1, 10, 3)
        >>> gates = run(from_torch(network), x)
        >>> gates.forget.shape, torch.allclose(gates.hidden, network(x)[0], atol=1e-6)
        (torch.Size([1, 10, 4]), True)
    """
    suffix = f"_l{layer}" + "_reverse" * reverse
    if not hasattr(network, f"weight_ih{suffix}"):
        ways = "both directions" if network.bidirectional else "one direction"
        raise UsageError(f"no weights {suffix[1:]}: the network has {network.num_layers} layers of {ways}")
    weight_x, weight_h = (getattr(network, f"weight_{kind}{suffix}").detach() for kind in ("ih", "hh"))
    zeros = weight_x.new_zeros(len(weight_x))
    bias_x, bias_h = (
        getattr(network, f"bias_{kind}{suffix}").detach() if network.bias else zeros for kind in ("ih", "hh")
    )
    sizes = (weight_x.shape[1], network.hidden_size)
    with torch.no_grad():
        cell: Cell
        if network.mode == "LSTM":
            cell = LSTMCell(*sizes, network.proj_size or None).to(weight_x)
            gates = [cell.input, cell.forget, cell.candidate, cell.output]  # the order of PyTorch's rows
            if cell.R is not None:
                cell.R.copy_(cast(Tensor, getattr(network, f"weight_hr{suffix}")))
        elif network.mode == "GRU":
            cell = GRUCell(*sizes).to(weight_x)
            gates = [cell.reset, cell.update, cell.candidate]
            cell.d.copy_(bias_h[-network.hidden_size :])
            bias_h = torch.cat((bias_h[: -network.hidden_size], zeros[: network.hidden_size]))
        elif network.mode == "RNN_TANH":
            cell = RNNCell(*sizes).to(weight_x)
            gates = [cell.hidden]
        else:
            raise UsageError(f"an RNN of kind {network.mode} has no cell here; there are LSTM, GRU, RNN_TANH")
        _fill(gates, weight_x, weight_h, bias_x + bias_h)
    return cell


def _fill(gates: Sequence[Affine], weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> None:
    """Give each gate its rows of the stacked weights."""
    count = len(gates)
    for gate, *parts in zip(
        gates, weight_x.chunk(count), weight_h.chunk(count), bias.chunk(count), strict=True
    ):
        for weight, part in zip((gate.W, gate.U, gate.b), parts, strict=True):
            weight.copy_(part)

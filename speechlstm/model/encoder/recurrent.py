"""Stacked bidirectional recurrent layers.

Padding never changes a result and costs little. On the CPU, the backward direction runs as a forward layer over each
sequence reversed within its own length, which keeps PyTorch on its fast padded kernel (packing the sequences, as
is usual, leaves it and takes twice as long). On CUDA, cuDNN's packed kernel is the fast one and is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechlstm.model.encoder.dropout import Dropout
from speechlstm.model.encoder.stack import Stack
from speechlstm.model.settings import Layers, Share, Size

Cell = Literal["lstm", "gru", "rnn"]
_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_initializes: ContextVar[bool] = ContextVar("initializes", default=True)


@contextlib.contextmanager
def weights_follow() -> Iterator[None]:
    """Leave layers that are made in this context without their initialization, since their weights are loaded next.

    Random orthogonal matrices would take longer than loading the weights, and without memory (`device="meta"`) they
    make PyTorch import its compiler.
    """
    token = _initializes.set(False)
    try:
        yield
    finally:
        _initializes.reset(token)


class RecurrentLayer(nn.Module):
    """One bidirectional recurrent layer with its normalization, projection, dropout and residual path.

    Initialization: orthogonal recurrence, one matrix a gate (Saxe 2014); Xavier input weights (Glorot 2010); forget
    gate bias 1, so that the cell remembers until it learns to forget (Gers 2000; Jozefowicz 2015). The arguments are
    those of `Encoder`.
    """

    bidirectional = True

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        projection_size: int | None,
        dropout: float,
        layer_norm: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.cell, self.residual = cell, residual
        self.norm = nn.LayerNorm(input_size) if layer_norm else nn.Identity()
        self.rnn = _CELLS[cell](input_size, hidden_size, batch_first=True, bidirectional=self.bidirectional)
        states = 2 * hidden_size if self.bidirectional else hidden_size
        self.project = nn.Linear(states, projection_size) if projection_size else nn.Identity()
        self.dropout = Dropout(dropout)
        if _initializes.get():
            self._initialize()

    def _initialize(self) -> None:
        size = self.rnn.hidden_size
        for name, weight in self.rnn.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
                if self.cell == "lstm" and "bias_ih" in name:  # gates: input, forget, candidate, output
                    nn.init.ones_(weight[size : 2 * size])
            else:
                for gate in torch.split(weight, size):
                    (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape; what lies past the lengths has no influence."""
        change: Tensor = self.dropout(self.project(self.recur(self.norm(x), *context)))
        return x + change if self.residual else change

    def recur(self, x: Tensor, lengths: Tensor, reverse: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to hidden states `(batch, frames, 2 * hidden_size)`.

        `lengths` are frames, `(batch,)`, and `reverse` row numbers from `reversal`.
        """
        if x.device.type != "cpu":
            packed = pack_padded_sequence(
                x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
            )
            output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
            return output
        forward, _ = self.run(x, self.weights(""))
        backward, _ = self.run(take(x, reverse), self.weights("_reverse"))
        return torch.cat((forward, take(backward, reverse)), dim=-1)

    def weights(self, suffix: str) -> list[Tensor]:
        """Return the weights of one direction, `""` or `"_reverse"`."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self.rnn, f"{name}_l0{suffix}") for name in names]

    def run(
        self, x: Tensor, weights: list[Tensor], state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run one direction over `(batch, frames, width)` from a state or from zeros; return outputs, last state."""
        if state is None:
            state = (x.new_zeros(1, len(x), self.rnn.hidden_size),) * (2 if self.cell == "lstm" else 1)
        # with biases, one layer, no dropout, one direction, batch first
        options = (True, 1, 0.0, self.training, False, True)
        if self.cell == "lstm":
            output, *last = torch.lstm(x, state, weights, *options)
        else:
            run: Callable[..., Any] = torch.gru if self.cell == "gru" else torch.rnn_tanh
            output, *last = run(x, *state, weights, *options)
        return output, tuple(last)


class Encoder(Stack):
    """A stack of bidirectional recurrent layers that ends in log-probabilities of tokens.

    Each layer is `x + dropout(project(rnn(layer_norm(x))))` (pre-norm residual). Without the normalization and the
    residual path a CTC network of this depth sits on the all-blank plateau for many epochs. Cells: LSTM (Hochreiter and
    Schmidhuber 1997, forget gate of Gers 2000), GRU (Cho 2014), or tanh (Elman 1990).
    """

    layer = RecurrentLayer  # what it is a stack of; siblings have others

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        cell: Cell = "lstm",
        hidden_size: Size = 320,
        num_layers: Layers = 4,
        subsampling: Literal[1, 2, 4] = 4,
        conv_channels: Size = 32,
        projection_size: Size | None = None,
        dropout: Share = 0.3,
        layer_norm: bool = True,
        residual: bool = True,
        intermediate: Sequence[Layers] = (),
    ) -> None:
        width = projection_size or (2 if self.layer.bidirectional else 1) * hidden_size
        layers = (
            self.layer(cell, width, hidden_size, projection_size, dropout, layer_norm, residual)
            for _ in range(num_layers)
        )
        super().__init__(
            num_features, vocab_size, width, layers, subsampling, conv_channels, layer_norm, intermediate
        )

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the frames, their lengths, and the rows that reverse each utterance."""
        return x, lengths, reversal(lengths, x.shape[1])


def reversal(lengths: Tensor, frames: int) -> Tensor:
    """Return row numbers `(batch * frames,)` that reverse each sequence within its length and leave padding alone."""
    time = torch.arange(frames, device=lengths.device)
    last = lengths.unsqueeze(1) - 1
    source = torch.where(time <= last, last - time, time)
    return (source + frames * torch.arange(len(lengths), device=lengths.device).unsqueeze(1)).flatten()


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Reorder the frames of `(batch, frames, features)` by row numbers from `reversal`."""
    return x.flatten(0, 1).index_select(0, rows).view_as(x)

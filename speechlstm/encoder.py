"""The acoustic model: convolutional subsampling, stacked bidirectional recurrent layers, log-softmax.

Padding never changes a result, and costs little: on the CPU the backward direction runs as a forward layer over each
sequence reversed within its own length, which keeps PyTorch on its fast padded kernel (packing the sequences, as is
usual, falls off it and takes twice as long); on CUDA the packed kernel of cuDNN is the fast one and is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechlstm.errors import UsageError

Cell = Literal["lstm", "gru", "rnn"]
_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Encoder(nn.Module):
    """A stack of bidirectional recurrent layers that ends in log-probabilities of tokens.

    Each layer is `x + dropout(project(rnn(layer_norm(x))))` (pre-norm residual). Without the normalisation and the
    residual path a CTC network of this depth sits on the all-blank plateau for many epochs.

    Args:
        num_features: size of an input frame.
        vocab_size: number of tokens, the blank included.
        cell: `"lstm"` (Hochreiter and Schmidhuber 1997, forget gate of Gers 2000), `"gru"` (Cho 2014) or `"rnn"`
            (Elman 1990, tanh).
        hidden_size: units of each direction.
        num_layers: recurrent layers.
        subsampling: encoder frames are this many feature frames apart: 1, 2 or 4.
        conv_channels: channels of the two subsampling convolutions.
        projection_size: size between the layers; null keeps both directions side by side (2 x hidden_size).
        dropout: probability of dropping an output of a layer.
        layer_norm: normalise each layer's input.
        residual: add each layer's input to its output.
    """

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        cell: Cell = "lstm",
        hidden_size: int = 320,
        num_layers: int = 4,
        subsampling: int = 4,
        conv_channels: int = 32,
        projection_size: int | None = None,
        dropout: float = 0.3,
        layer_norm: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if cell not in _CELLS:
            raise UsageError(f"encoder.cell is {cell!r}; there are: {', '.join(_CELLS)}")
        width = 2 * hidden_size if projection_size is None else projection_size
        if min(hidden_size, num_layers, conv_channels, num_features, width) < 1 or vocab_size < 2:
            raise UsageError(
                "encoder: hidden_size, num_layers, conv_channels and projection_size must be 1 or more"
            )
        if not 0 <= dropout < 1:
            raise UsageError(f"encoder.dropout is {dropout}, but must be a probability below 1")
        self.subsampling = subsampling
        self.subsample = Subsampling(num_features, width, conv_channels, subsampling)
        self.layers = nn.ModuleList(
            RecurrentLayer(cell, width, hidden_size, projection_size, dropout, layer_norm, residual)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width) if layer_norm else nn.Identity()
        self.output = nn.Linear(width, vocab_size)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return how many encoder frames come out of so many feature frames: ceil(frames / subsampling)."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, frames, features)` to log-probabilities `(batch, ceil(frames / subsampling), vocab)`.

        What lies past a length is ignored, whatever it is; an utterance of length 0 has no frames and disturbs none.

        Returns:
            natural logarithms in float32 that sum to one in each frame, zeros past the lengths; and the lengths.
        """
        x, lengths = self.subsample(features, lengths)
        reverse = reversal(lengths, x.shape[1])
        for layer in self.layers:
            x = layer(x, lengths, reverse)
        log_probs = F.log_softmax(self.output(self.norm(x)).float(), dim=-1)
        return log_probs.masked_fill(beyond(lengths, x.shape[1]), 0.0), lengths


class Subsampling(nn.Module):
    """Two 3x3 convolutions over time and frequency, then a linear map to the width of the stack.

    Frames past the length are zeroed before each convolution, so an utterance sees the same zeros beyond its end
    whether it stands alone or in a padded batch.
    """

    def __init__(self, num_features: int, width: int, channels: int, subsampling: int) -> None:
        super().__init__()
        if subsampling not in (1, 2, 4):
            raise UsageError(f"encoder.subsampling is {subsampling}, but must be 1, 2 or 4")
        self.strides = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[subsampling]
        first, second = ((stride, 2) for stride in self.strides)
        self.conv1 = nn.Conv2d(1, channels, 3, first, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, second, padding=1)
        self.linear = nn.Linear(channels * math.ceil(math.ceil(num_features / 2) / 2), width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, frames, features)` to `(batch, ceil(frames / subsampling), width)`."""
        x = features.unsqueeze(1)
        for conv, stride in zip((self.conv1, self.conv2), self.strides, strict=True):
            x = x.masked_fill(beyond(lengths, x.shape[2]).unsqueeze(1), 0.0)
            x = F.relu(conv(x))
            lengths = (lengths + stride - 1) // stride
        # batch x channels x frames x bands -> batch x frames x (channels * bands)
        x = self.linear(x.transpose(1, 2).flatten(2))
        return x.masked_fill(beyond(lengths, x.shape[1]), 0.0), lengths


class RecurrentLayer(nn.Module):
    """One bidirectional recurrent layer with its normalisation, projection, dropout and residual path.

    Initialisation: orthogonal recurrence, one matrix a gate (Saxe 2014); Xavier input weights (Glorot 2010); forget
    gate bias 1, so that the cell remembers until it learns to forget (Gers 2000; Jozefowicz 2015).
    """

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
        self.rnn = _CELLS[cell](input_size, hidden_size, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden_size, projection_size) if projection_size else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self) -> None:
        size = self.rnn.hidden_size
        for name, weight in self.rnn.named_parameters():
            if "bias" in name:
                nn.init.zeros_(weight)
                if (
                    self.cell == "lstm" and "bias_ih" in name
                ):  # gates in the order input, forget, candidate, output
                    nn.init.ones_(weight[size : 2 * size])
            else:
                for gate in torch.split(weight, size):
                    (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)

    def forward(self, x: Tensor, lengths: Tensor, reverse: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape; what lies past the lengths has no influence."""
        normed = self.norm(x)
        if x.device.type == "cpu":
            forward = self._direction(normed, "")
            backward = take(self._direction(take(normed, reverse), "_reverse"), reverse)
            output = torch.cat((forward, backward), dim=-1)
        else:
            packed = pack_padded_sequence(
                normed, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
            )
            output, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        change: Tensor = self.dropout(self.project(output))
        return x + change if self.residual else change

    def _direction(self, x: Tensor, suffix: str) -> Tensor:
        names = (f"{kind}_l0{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        weights = [getattr(self.rnn, name) for name in names]
        state = x.new_zeros(1, len(x), self.rnn.hidden_size)
        # with biases, one layer, no dropout, one direction, batch first
        options = (True, 1, 0.0, self.training, False, True)
        if self.cell == "lstm":
            return torch.lstm(x, (state, state), weights, *options)[0]
        run = torch.gru if self.cell == "gru" else torch.rnn_tanh
        return run(x, state, weights, *options)[0]


def beyond(lengths: Tensor, frames: int) -> Tensor:
    """Return `(batch, frames, 1)`: true where a frame lies past the end of its utterance."""
    return (torch.arange(frames, device=lengths.device) >= lengths.unsqueeze(1)).unsqueeze(-1)


def reversal(lengths: Tensor, frames: int) -> Tensor:
    """Return row numbers `(batch * frames,)` that reverse each sequence within its length and leave padding alone."""
    time = torch.arange(frames, device=lengths.device)
    last = lengths.unsqueeze(1) - 1
    source = torch.where(time <= last, last - time, time)
    return (source + frames * torch.arange(len(lengths), device=lengths.device).unsqueeze(1)).flatten()


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Reorder the frames of `(batch, frames, features)` by row numbers from `reversal`."""
    return x.flatten(0, 1).index_select(0, rows).view_as(x)

"""Stacked bidirectional minLSTM layers (Feng et al. 2024): an LSTM without a loop over the frames."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlstm.model.encoder import Stack, reversal, take
from speechlstm.model.settings import Layers, Share, Size

CHUNK = 128  # frames scanned at once: over longer stretches the sums of logarithms lose digits
REST = 0.5  # g(0), the state before the first frame and where the candidate is 0


class MinLSTMEncoder(Stack):
    """A stack of bidirectional minLSTM layers that ends in log-probabilities of tokens.

    Each layer is `x + dropout(project(minlstm(layer_norm(x)) - 0.5))`, much as in the encoder `blstm`. Gates and
    candidate are functions of the input alone, so the states of all frames follow from a scan in place of a loop.

    Feng, Tung, Ahmed, Bengio and Hajimirsadeghi: Were RNNs all we needed?, 2024 (arXiv 2410.01201).

    Args:
        num_features: size of an input frame.
        vocab_size: number of tokens, the blank included.
        hidden_size: units of each direction.
        num_layers: recurrent layers.
        subsampling: encoder frames are this many feature frames apart: 1, 2 or 4.
        conv_channels: channels of the two subsampling convolutions.
        dropout: probability of dropping an output of a layer.
    """

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        hidden_size: Size = 320,
        num_layers: Layers = 4,
        subsampling: Literal[1, 2, 4] = 4,
        conv_channels: Size = 32,
        dropout: Share = 0.3,
    ) -> None:
        width = 2 * hidden_size
        layers = (MinLSTMLayer(width, hidden_size, dropout) for _ in range(num_layers))
        super().__init__(num_features, vocab_size, width, layers, subsampling, conv_channels)
        # All tokens begin equally probable. Of few tokens, CTC otherwise favors whichever happens to lead, and the
        # network learns to do without blanks, from which it does not recover.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the frames, and the rows that reverse each utterance within its length."""
        return x, reversal(lengths, x.shape[1])


class MinLSTMLayer(nn.Module):
    """One bidirectional minLSTM layer with its normalization, projection, dropout and residual path.

    Args:
        width: size of a frame.
        hidden_size: units of each direction.
        dropout: probability of dropping an output.
    """

    def __init__(self, width: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.forth, self.back = MinLSTM(width, hidden_size), MinLSTM(width, hidden_size)
        self.project = nn.Linear(2 * hidden_size, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, reverse: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape; `reverse` are row numbers from `reversal`."""
        normed = self.norm(x)
        # The backward direction runs forward over each utterance reversed within its own length, so that neither
        # direction meets the padding before the last frame.
        back = take(self.back(take(normed, reverse)), reverse)
        states = torch.cat((self.forth(normed), back), dim=-1) - REST
        change: Tensor = self.dropout(self.project(states))
        return x + change


class MinLSTM(nn.Module):
    """One direction of a minLSTM, section 3.2 and appendix B.2.2 of the paper.

    `f = sigmoid(W_f x)`, `i = sigmoid(W_i x)`, both divided by their sum; `h_t = f_t h_{t-1} + i_t g(W_h x)` from
    `h_0 = g(0)`, where `g(x) = x + 0.5` above zero and `sigmoid(x)` below, so that all of it is positive and has a
    logarithm. The forget gate's bias begins at 1, as in an LSTM.

    Args:
        input_size: size of a frame.
        hidden_size: units.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_size, 3 * hidden_size)  # forget, input, candidate
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        nn.init.ones_(self.linear.bias[:hidden_size])

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, frames, input_size)` to states `(batch, frames, hidden_size)`."""
        with torch.autocast(x.device.type, enabled=False):  # sums of logarithms need their digits
            linear = F.linear(x.float(), self.linear.weight.float(), self.linear.bias.float())
            forget, enter, candidate = linear.chunk(3, dim=-1)
            ratio = F.softplus(-forget) - F.softplus(-enter)  # log(i / f)
            log_kept, log_entering = -F.softplus(ratio), -F.softplus(-ratio)
            log_candidate = torch.where(
                candidate >= 0, (F.relu(candidate) + 0.5).log(), -F.softplus(-candidate)
            )
            return scan(log_kept, log_entering + log_candidate).to(x.dtype)


def scan(log_kept: Tensor, log_new: Tensor) -> Tensor:
    """Return `h_t = kept_t * h_{t-1} + new_t` of all frames, from `h_0 = 0.5`, by sums in the log domain.

    Heinsen: Efficient parallelization of a ubiquitous sequential computation, 2023 (arXiv 2311.06281).

    Args:
        log_kept: `(batch, frames, units)` natural logarithm of the share that stays.
        log_new: `(batch, frames, units)` natural logarithm of what comes in.
    """
    states = []
    before = log_new.new_full((len(log_new), log_new.shape[2]), math.log(REST))  # logarithm of the last state
    for kept, new in zip(log_kept.split(CHUNK, dim=1), log_new.split(CHUNK, dim=1), strict=True):
        decay = kept.cumsum(dim=1)
        fresh = decay + (new - decay).logcumsumexp(dim=1)
        state = torch.logaddexp(fresh, decay + before.unsqueeze(1))
        states.append(state)
        before = state[:, -1]
    return torch.cat(states, dim=1).exp() if states else log_new

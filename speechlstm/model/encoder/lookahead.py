"""Unidirectional recurrent layers, and a convolution over the next few frames above them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlstm.model.encoder.recurrent import Encoder, RecurrentLayer
from speechlstm.model.encoder.stack import Stack, beyond
from speechlstm.model.encoder.stream import Carried, EncoderStream
from speechlstm.model.settings import Frames


class ForwardLayer(RecurrentLayer):
    """One recurrent layer that depends on the past alone."""

    bidirectional = False

    def recur(  # type: ignore[override]  # nothing is reversed
        self, x: Tensor, lengths: Tensor | None = None, carried: Carried | None = None
    ) -> Tensor:
        """Map `(batch, frames, width)` to hidden states `(batch, frames, hidden_size)`."""
        states, state = self.run(x, self.weights(""), carried.states.get(self) if carried else None)
        if carried:
            carried.states[self] = state
        return states


class LookaheadEncoder(Encoder):
    """Unidirectional layers and a row convolution, which depend on no more than `lookahead` future frames.

    Amodei et al.: Deep Speech 2: End-to-end speech recognition in English and Mandarin, ICML 2016, section 3.6 of the
    long version.
    """

    layer = ForwardLayer
    enter = Stack.enter  # nothing is reversed

    def __init__(self, num_features: int, vocab_size: int, lookahead: Frames = 20, **options: Any) -> None:
        super().__init__(num_features, vocab_size, **options)
        self.layers.append(RowConvolution(self.output.in_features, lookahead))

    def stream(self) -> EncoderStream:
        """Begin an utterance that comes in pieces: each frame is computed once its look-ahead is there."""
        return EncoderStream(self, self._carry_on)

    def _carry_on(self, x: Tensor, carried: Carried) -> tuple[Tensor, int]:
        frames = x.shape[1]
        *recurrent, convolution = self.layers
        for layer in recurrent if frames else ():
            x = layer(x, carried.lengths(x), carried)
        return convolution(x, carried.lengths(x), carried), frames


class RowConvolution(nn.Module):
    """Adds to each unit a weighted sum of its own present and next frames, zeros being past the end."""

    def __init__(self, width: int, lookahead: int) -> None:
        super().__init__()
        self.lookahead = lookahead
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, lookahead + 1, groups=width, bias=False)

    def forward(self, x: Tensor, lengths: Tensor, carried: Carried | None = None) -> Tensor:
        """Map `(batch, frames, width)` to the same shape; of a piece of an utterance, what has its next frames."""
        if carried:
            x = torch.cat((*carried.states.get(self, ()), x), dim=1)
            frames = x.shape[1] if carried.last else max(0, x.shape[1] - self.lookahead)
            carried.states[self] = (x[:, frames:],)
            return self.forward(x, carried.lengths(x))[:, :frames] if frames else x[:, :0]
        normed = self.norm(x).masked_fill(beyond(lengths, x.shape[1]), 0.0).transpose(1, 2)
        change: Tensor = self.conv(F.pad(normed, (0, self.lookahead)))
        return x + change.transpose(1, 2)

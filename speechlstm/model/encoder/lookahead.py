"""Unidirectional recurrent layers, and a convolution over the next few frames above them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from speechlstm.model.encoder.recurrent import Encoder, RecurrentLayer
from speechlstm.model.encoder.stack import Stack, beyond
from speechlstm.model.settings import Frames


class ForwardLayer(RecurrentLayer):
    """One recurrent layer that depends on the past alone."""

    bidirectional = False

    def recur(self, x: Tensor, *context: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to hidden states `(batch, frames, hidden_size)`."""
        return self.run(x, self.weights(""))[0]


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


class RowConvolution(nn.Module):
    """Adds to each unit a weighted sum of its own present and next frames, zeros being past the end."""

    def __init__(self, width: int, lookahead: int) -> None:
        super().__init__()
        self.lookahead = lookahead
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, lookahead + 1, groups=width, bias=False)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map `(batch, frames, width)` to the same shape."""
        normed = self.norm(x).masked_fill(beyond(lengths, x.shape[1]), 0.0).transpose(1, 2)
        change: Tensor = self.conv(F.pad(normed, (0, self.lookahead)))
        return x + change.transpose(1, 2)

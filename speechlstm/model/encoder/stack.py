"""The common frame of all encoders: convolutional subsampling, a stack of layers, log-softmax."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlstm.types import UsageError


class Stack(nn.Module):
    """Maps features to log-probabilities of tokens through a stack of layers; a subclass says which layers.

    With `intermediate` the output layer is trained on the outputs of lower layers as well, each with a CTC loss of its
    own: Lee and Watanabe, Intermediate loss regularization for CTC-based speech recognition, ICASSP 2021.
    """

    def __init__(
        self,
        num_features: int,
        vocab_size: int,
        width: int,
        layers: Iterable[nn.Module],
        subsampling: int,
        conv_channels: int,
        layer_norm: bool = True,
        intermediate: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.subsampling = subsampling
        self.subsample = Subsampling(num_features, width, conv_channels, subsampling)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(width) if layer_norm else nn.Identity()
        self.output = nn.Linear(width, vocab_size)
        self.intermediate = frozenset(intermediate)
        if any(not 1 <= number < len(self.layers) for number in self.intermediate):
            raise UsageError(
                f"encoder.intermediate is {list(intermediate)}, but must be a list of numbers of layers, "
                f"from 1 to {len(self.layers) - 1}"
            )

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return how many encoder frames come out of so many feature frames: ceil(frames / subsampling)."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Map `(batch, frames, features)` to log-probabilities `(batch, ceil(frames / subsampling), vocab)`.

        What lies past a length is ignored, whatever it is; an utterance of length 0 has no frames and disturbs none.

        Returns:
            natural logarithms in float32 that sum to one in each frame, zeros past the lengths; the lengths; and in
            training, for each layer of `intermediate` from the lowest, what the first would be after that layer.
        """
        x, lengths = self.subsample(features, lengths)
        frames = x.shape[1]
        x, *context = self.enter(x, lengths)
        outputs = []
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, *context)
            if number == len(self.layers) or (number in self.intermediate and self.training):
                outputs.append(self.log_probs(x))
        past = beyond(lengths, frames)
        *middle, log_probs = (self.leave(each, frames).masked_fill(past, 0.0) for each in outputs)
        return log_probs, lengths, *middle

    def enter(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Return the frames as the layers take them, and the layers' further arguments."""
        return x, lengths

    def leave(self, x: Tensor, frames: int) -> Tensor:
        """Return the output of a layer as `(batch, frames, size)` again."""
        return x

    def log_probs(self, x: Tensor) -> Tensor:
        """Map outputs of a layer, `(..., width)`, to log-probabilities `(..., vocab)`."""
        return F.log_softmax(self.output(self.norm(x)).float(), dim=-1)


class Subsampling(nn.Module):
    """Two 3x3 convolutions over time and frequency, then a linear map to the width of the stack.

    Frames past the length are zeroed before each convolution, so an utterance sees the same zeros beyond its end
    whether it stands alone or in a padded batch.
    """

    def __init__(self, num_features: int, width: int, channels: int, subsampling: int) -> None:
        super().__init__()
        self.strides = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[subsampling]
        first, second = ((stride, 2) for stride in self.strides)
        self.conv1 = nn.Conv2d(1, channels, 3, first, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, second, padding=1)
        self.linear = nn.Linear(channels * math.ceil(math.ceil(num_features / 2) / 2), width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, frames, features)` to `(batch, ceil(frames / subsampling), width)`."""
        first, second = self.strides
        # Channels in the last place of memory, although it is one so far, keep the convolutions on faster kernels.
        x = features.masked_fill(beyond(lengths, features.shape[1]), 0.0).unsqueeze(-1).movedim(-1, 1)
        x = F.relu(self.conv1(x))
        lengths = (lengths + first - 1) // first
        # A product, which is faster than masked_fill, does where nothing can be infinite.
        x = F.relu(self.conv2(x * ~beyond(lengths, x.shape[2]).unsqueeze(1)))
        lengths = (lengths + second - 1) // second
        # batch x channels x frames x bands -> batch x frames x (channels * bands)
        x = self.linear(x.transpose(1, 2).flatten(2))
        return x.masked_fill(beyond(lengths, x.shape[1]), 0.0), lengths


def beyond(lengths: Tensor, frames: int) -> Tensor:
    """Return `(batch, frames, 1)`: true where a frame lies past the end of its utterance."""
    return (torch.arange(frames, device=lengths.device) >= lengths.unsqueeze(1)).unsqueeze(-1)

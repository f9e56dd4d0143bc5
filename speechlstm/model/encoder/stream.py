"""Encoders that run over an utterance in pieces, as it is spoken, with the result of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from speechlstm.model.encoder.stack import Stack

EDGE = 3  # feature frames on each side that the convolutions of a frame need, with any subsampling


@dataclass(slots=True)
class Carried:
    """What layers carry from one piece of an utterance to the next.

    Attributes:
        states: of each layer that has one.
        last: whether the piece is the last, after which there are zeros.
    """

    states: dict[nn.Module, tuple[Tensor, ...]] = field(default_factory=dict)
    last: bool = False

    @staticmethod
    def lengths(x: Tensor) -> Tensor:
        """Return the lengths of `(1, frames, ...)`, all of whose frames count."""
        return torch.tensor([x.shape[1]], device=x.device)


class EncoderStream:
    """One utterance on its way through an encoder: the pieces' outputs, joined, are those of the whole.

    Args:
        encoder: in evaluation mode.
        layers: maps all frames before the layers that have not been used up, `(1, frames, width)`, to the next
            outputs `(1, outputs, width)`, and says how many frames it has used up.
    """

    def __init__(self, encoder: Stack, layers: Callable[[Tensor, Carried], tuple[Tensor, int]]) -> None:
        self.encoder, self.layers, self.carried = encoder, layers, Carried()
        self._features: Tensor | None = None  # the last ones, with the context of the next convolution
        self._context = 0  # encoder frames at their start that have been computed before
        self._frames: Tensor | None = None  # subsampled, not used up by the layers

    def accept(self, features: Tensor, last: bool = False) -> Tensor:
        """Take the next frames.

        Args:
            features: `(frames, num_features)`.
            last: whether they end the utterance.

        Returns:
            the log-probabilities that they complete, `(outputs, vocab)`; there may be none.
        """
        self.carried.last = last
        frames = self._subsample(features, last)
        if self._frames is not None:
            frames = torch.cat((self._frames, frames), dim=1)
        outputs, used = self.layers(frames, self.carried)
        self._frames = frames[:, used:]
        return self.encoder.log_probs(outputs)[0]

    def _subsample(self, features: Tensor, last: bool) -> Tensor:
        if self._features is not None:
            features = torch.cat((self._features, features))
        step, count = self.encoder.subsampling, len(features)
        # Frame t is computed from the features from step * t - EDGE to step * t + EDGE.
        ready = -(-count // step) if last else max(0, (count - 1 - EDGE) // step + 1)
        keep = max(0, ready - EDGE)  # the frames before the next one are computed again, for its context
        self._features, before, self._context = features[keep * step :], self._context, ready - keep
        if ready == before:
            return features.new_zeros(1, 0, self.encoder.output.in_features)
        x: Tensor = self.encoder.subsample(features[None], self.carried.lengths(features[None]))[0]
        return x[:, before:ready]

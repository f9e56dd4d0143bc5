"""SpecAugment masks in the features, and vocal tract perturbation as a shift in frequency."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Sets random stripes of the features to zero, their mean after normalization, and lends other voices.

    Stripes: Park et al.: SpecAugment, Interspeech 2019, with time masks in proportion to each utterance's
    length as in their SpecAugment on large scale datasets, ICASSP 2020. No time warping, which they found to
    matter least. Voices: Jaitly and Hinton: Vocal tract length perturbation improves speech recognition,
    ICML workshop 2013; a shorter vocal tract stretches the frequencies, which on the mel scale above 1 kHz
    is a shift, here of the upper three quarters of the features, and falls to nothing at the lowest.
    Draws from torch's global generator of the features' device. Does nothing in evaluation mode.
    """

    def __init__(
        self,
        time_masks: int = 4,
        time_width: float = 0.05,
        freq_masks: int = 2,
        freq_width: int = 15,
        freq_shift: float = 4.0,
    ) -> None:
        super().__init__()
        self.time_masks, self.time_width = time_masks, time_width
        self.freq_masks, self.freq_width, self.freq_shift = freq_masks, freq_width, freq_shift

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Mask a batch.

        Features are `(batch, frames, num_features)`, lengths `(batch,)` frames.

        Returns:
            a changed copy of the features.
        """
        if not self.training:
            return features
        _, frames, size = features.shape
        if self.freq_shift:
            features = _shifted(features, self.freq_shift)
        sizes = torch.full_like(lengths, size)
        widths = sizes.clamp(max=self.freq_width)
        masked = _stripes(self.time_masks, (lengths * self.time_width).long(), lengths, frames)[..., None]
        masked = masked | _stripes(self.freq_masks, widths, sizes, size)[:, None]
        return features.masked_fill(masked, 0.0)


def _shifted(features: Tensor, most: float) -> Tensor:
    """Shift each utterance of `(batch, frames, features)` along the features by up to `most`, either way."""
    batch, frames, size = features.shape
    shift = most * (2 * torch.rand(batch, 1, device=features.device) - 1)
    place = torch.arange(size, device=features.device, dtype=features.dtype)
    source = (place + shift * (4 * place / size).clamp(max=1)).clamp(0, size - 1)
    below = source.floor()
    share = (source - below).unsqueeze(1)

    def at(index: Tensor) -> Tensor:
        return features.gather(2, index.long().unsqueeze(1).expand(batch, frames, size))

    return at(below) * (1 - share) + at((below + 1).clamp(max=size - 1)) * share


def _stripes(count: int, widths: Tensor, extents: Tensor, size: int) -> Tensor:
    """Draw `count` stripes per row, each 0 to `widths` wide and inside `extents`.

    Returns:
        `(batch, size)` bool, true inside a stripe.
    """
    draw = torch.rand(2, len(widths), count, 1, device=widths.device)
    width = (draw[0] * (widths[:, None, None] + 1)).long()
    start = (draw[1] * (extents[:, None, None] - width + 1)).long()
    place = torch.arange(size, device=widths.device)
    return ((place >= start) & (place < start + width)).any(dim=1)

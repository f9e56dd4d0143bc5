"""Per-channel energy normalization: mel energies relative to their own recent past."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlstm.model.features.base import Features, Normalize, speech_frames
from speechlstm.model.features.logmel import LogMel
from speechlstm.model.settings import Bands, Positive, Rate, Window, Within

_BLOCK = 128  # frames that `smooth` takes at once


class Pcen(LogMel):
    """Mel energies, each divided by its smoothed past and compressed by a root (Wang et al. 2017).

    The same numbers as `librosa.pcen` on a recording that is speech throughout. The smoother starts at the mean of the
    speech (see `speech_frames`) and stands still between stretches of it. A burst after silence would otherwise be
    divided by almost nothing.
    """

    least_deviation = Features.least_deviation  # these are no logarithms

    def __init__(
        self,
        sample_rate: Rate,
        num_mels: Bands = 80,
        window: Window = 0.025,
        hop: Window = 0.01,
        low_freq: float = 0.0,
        high_freq: float | None = None,
        gain: Annotated[float, Within(0, 1)] = 0.98,
        bias: Positive = 2.0,
        power: Annotated[float, Within(0.01, 1)] = 0.5,
        time_constant: Annotated[float, Within(0.01, 60)] = 0.4,
        eps: Positive = 1e-9,
        normalize: Normalize = "utterance",
    ) -> None:
        super().__init__(sample_rate, num_mels, window, hop, low_freq, high_freq, normalize=normalize)
        self.gain, self.bias, self.power, self.eps = gain, bias, power, eps
        frames = time_constant / self.frame_shift
        self.share = (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)  # of a new frame, as librosa has it

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        energies = self.energies(waveforms)
        speech = speech_frames(self.levels(waveforms), frames)
        count = speech.sum(dim=1)
        start = energies.masked_fill(~speech, 0.0).sum(dim=1) / count
        first = (
            speech.byte().argsort(dim=1, descending=True, stable=True).expand_as(energies)
        )  # speech, then the rest
        smoothed = smooth(energies.gather(1, first), start, self.share)
        latest = (speech.cumsum(dim=1) - 1).clamp(min=0).expand_as(energies)
        level = smoothed.gather(1, latest) + self.eps
        compressed = (energies * level.pow(-self.gain) + self.bias).pow(self.power)
        return compressed - float(self.bias**self.power)


def smooth(energies: Tensor, start: Tensor, share: float) -> Tensor:
    """Return `y[t] = share * x[t] + (1 - share) * y[t - 1]` for `(batch, frames, bands)`, exactly, without a loop.

    Blocks of frames are smoothed each by itself, and the end of each reaches all later ones. All terms are positive, so
    nothing cancels, however far the energy falls.

    Args:
        energies: at least one frame.
        start: `(batch, bands)`, the value before the first frame.
        share: of a new frame in the sum, above 0 and at most 1.
    """
    batch, frames, bands = energies.shape
    blocks = F.pad(energies, (0, 0, 0, -frames % _BLOCK)).reshape(batch, -1, _BLOCK, bands)
    place = torch.arange(_BLOCK, device=energies.device)
    own = torch.einsum("ts,bnsf->bntf", share * _decay(place[:, None] - place, share), blocks)
    ends = torch.cat([start[:, None], own[:, :, -1]], dim=1)
    number = torch.arange(ends.shape[1], device=energies.device)
    before = torch.einsum("nm,bmf->bnf", _decay(_BLOCK * (number[:, None] - number), share), ends)[:, :-1]
    carried = _decay(place + 1, share)[:, None] * before[:, :, None]
    return (own + carried).reshape(batch, -1, bands)[:, :frames]


def _decay(age: Tensor, share: float) -> Tensor:
    """Return what is left of a value some frames later; nothing before its time."""
    left = torch.pow(1.0 - share, age.clamp(min=0).double()).float()
    return left.masked_fill(age < 0, 0.0)

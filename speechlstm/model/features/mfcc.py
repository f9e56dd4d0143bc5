"""Mel-frequency cepstral coefficients: log-mel, decorrelated."""

from __future__ import annotations

from typing import Annotated

import torch
import torchaudio.functional as AF
from torch import Tensor

from speechlstm.model.features.base import Features, Normalize
from speechlstm.model.features.logmel import LogMel
from speechlstm.model.settings import Bands, Positive, Rate, Window, Within
from speechlstm.types import UsageError

CONTEXT = 2  # frames on each side that a difference is taken over


class Mfcc(Features):
    """Mel-frequency cepstral coefficients with their first and second differences over time."""

    dct: Tensor

    def __init__(
        self,
        sample_rate: Rate,
        num_coefficients: Annotated[int, Within(1, 512)] = 13,
        deltas: bool = True,
        num_mels: Bands = 40,
        window: Window = 0.025,
        hop: Window = 0.01,
        low_freq: float = 0.0,
        high_freq: float | None = None,
        floor: Positive = 1e-10,
        normalize: Normalize = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_coefficients * (3 if deltas else 1), normalize)
        if num_coefficients > num_mels:
            raise UsageError(
                f"features.num_coefficients is {num_coefficients}, more than the {num_mels} mel bands"
            )
        self.deltas, self.reach = deltas, 2 * CONTEXT if deltas else 0
        self.log_mel = LogMel(
            sample_rate, num_mels, window, hop, low_freq, high_freq, floor, normalize="none"
        )
        self._constant("dct", AF.create_dct(num_coefficients, num_mels, norm="ortho"))

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        cepstra = self.log_mel.compute(waveforms, frames) @ self.dct.float()
        if not self.deltas:
            return cepstra
        first = differences(cepstra, frames)
        return torch.cat([cepstra, first, differences(first, frames)], dim=-1)


def differences(features: Tensor, frames: Tensor) -> Tensor:
    """Fit a line to `CONTEXT` frames on each side, return its slope; the end frames repeat beyond the ends.

    Features are `(batch, frames, num_features)`, `frames` `(batch,)` those of each utterance, whose last one is what
    repeats, not the padding.
    """
    time = torch.arange(features.shape[1], device=features.device).expand(len(features), -1)
    last = (frames - 1)[:, None]

    def at(shift: int) -> Tensor:
        index = (time + shift).clamp(min=0).minimum(last)
        return features.gather(1, index[..., None].expand_as(features))

    steps = range(1, CONTEXT + 1)
    slope = torch.stack([step * (at(step) - at(-step)) for step in steps]).sum(dim=0)
    return slope / (2 * sum(step * step for step in steps))

"""The power spectrum, without mel bands."""

from __future__ import annotations

from torch import Tensor

from speechlstm.model.features.base import Features, Normalize
from speechlstm.model.settings import Positive, Rate, Window


class Spectrogram(Features):
    """Natural logarithm of the power spectrum, one number per FFT bin from 0 Hz to half the sample rate."""

    def __init__(
        self,
        sample_rate: Rate,
        window: Window = 0.02,
        hop: Window = 0.01,
        floor: Positive = 1e-8,
        normalize: Normalize = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, round(window * sample_rate) // 2 + 1, normalize)
        self.floor = floor

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        return self._power(self._frames(waveforms), self.window_length).clamp(min=self.floor).log()

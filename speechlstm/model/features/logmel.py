"""Log-mel: the features that most recognizers use."""

from __future__ import annotations

import torchaudio.functional as AF
from torch import Tensor

from speechlstm.model.features.base import LOG_DEVIATION, Features, Normalize, check_band
from speechlstm.model.settings import Bands, Positive, Rate, Window

_MIN_FFT = 512  # zero padding to this keeps the narrow low mel filters from falling between two bins at 8 kHz


class LogMel(Features):
    """Natural logarithm of mel-band energies (Slaney's scale and normalization, as librosa's default).

    The default floor is just under the rounding noise of 16-bit audio.
    """

    mel: Tensor
    least_deviation = LOG_DEVIATION

    def __init__(
        self,
        sample_rate: Rate,
        num_mels: Bands = 80,
        window: Window = 0.025,
        hop: Window = 0.01,
        low_freq: float = 0.0,
        high_freq: float | None = None,
        floor: Positive = 1e-10,
        normalize: Normalize = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_mels, normalize)
        top = sample_rate / 2 if high_freq is None else high_freq
        check_band(sample_rate, low_freq, top)
        self.floor = floor
        self.fft_size = max(_MIN_FFT, 1 << (self.window_length - 1).bit_length())
        bins = self.fft_size // 2 + 1
        mel = AF.melscale_fbanks(
            bins, low_freq, top, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
        self._constant("mel", mel)

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        return self.energies(waveforms).clamp(min=self.floor).log()

    def energies(self, waveforms: Tensor) -> Tensor:
        """Turn `(batch, samples)`, zero past each length, into mel energies `(batch, frames, num_mels)`."""
        return self._power(self._frames(waveforms), self.fft_size) @ self.mel.float()

"""Kaldi's filterbank, for models that were trained on it."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from speechlstm.model.features.base import LOG_DEVIATION, Features, Normalize, check_band
from speechlstm.model.settings import Bands, Positive, Rate, Window, Within


class KaldiFbank(Features):
    """Log mel energies as Kaldi's `compute-fbank-feats` gives them without dither.

    The same numbers as `torchaudio.compliance.kaldi.fbank`, but batched.

    Frames are cut where they fit whole (Kaldi's `snip_edges`): `1 + (N - window) // hop` of them. An
    utterance shorter than a window is filled up with zeros to one frame, where Kaldi has none.
    """

    mel: Tensor
    least_deviation = LOG_DEVIATION

    def __init__(
        self,
        sample_rate: Rate,
        num_mels: Bands = 80,
        window: Window = 0.025,
        hop: Window = 0.01,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        preemphasis: Annotated[float, Within(0, 1)] = 0.97,
        scale: Positive = 1.0,
        normalize: Normalize = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_mels, normalize)
        top = high_freq if high_freq > 0 else sample_rate / 2 + high_freq
        check_band(sample_rate, low_freq, top)
        self.preemphasis, self.scale = preemphasis, scale
        self.fft_size = 1 << (self.window_length - 1).bit_length()
        self._constant("window", torch.hann_window(self.window_length, periodic=False).pow(0.85))  # "povey"
        mel, _ = kaldi.get_mel_banks(num_mels, self.fft_size, sample_rate, low_freq, top, 100.0, -500.0, 1.0)
        self._constant("mel", F.pad(mel, (0, 1)).T)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Turn numbers of samples into numbers of frames."""
        whole = torch.div(lengths - self.window_length, self.hop_length, rounding_mode="floor")
        return (1 + whole).clamp(min=1)

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        cut = self._frames(waveforms * self.scale)
        cut = cut - self.preemphasis * torch.cat([cut[..., :1], cut[..., :-1]], dim=-1)
        power = self._power(cut, self.fft_size)
        return (power @ self.mel.float()).clamp(min=torch.finfo(torch.float32).eps).log()

    def _padded(self, waveforms: Tensor) -> Tensor:
        return F.pad(waveforms, (0, max(0, self.window_length - waveforms.shape[1])))

"""Waveforms to features: log-mel, MFCC, Kaldi filterbank, spectrogram.

All of them run batched and in float32 on the waveform's device, are differentiable, and ignore padding: what
lies past an utterance's length changes nothing, and their output is zero there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
import torchaudio.functional as AF
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance import kaldi

from speechlstm.errors import UsageError

NORMALIZE = ("utterance", "global", "none")
_MIN_FFT = 512  # zero padding to this keeps the narrow low mel filters from falling between two bins at 8 kHz


class Features(nn.Module, ABC):
    """What every feature extractor does: framing, masking, normalising. Subclasses compute the values.

    Frame t is centred at sample t * hop, with zeros before the start and after the end, so an utterance of N
    samples has `1 + N // hop` frames and even an empty one has a frame.

    Args:
        sample_rate: samples per second of the waveforms, in Hz.
        window: length of a frame in seconds.
        hop: seconds from one frame to the next.
        num_features: numbers per frame.
        normalize: "utterance" gives each utterance mean 0 and deviation 1 in every feature, "global" does so
            with figures of the whole training data (see `estimate`), "none" leaves the values alone.

    Attributes:
        num_features: numbers per frame.
        frame_shift: seconds from one frame to the next.
        sample_rate: Hz.
        mean: `(num_features,)`, only with normalize="global", then part of the state; `std` likewise.
    """

    mean: Tensor
    std: Tensor
    window: Tensor

    def __init__(
        self, sample_rate: int, window: float, hop: float, num_features: int, normalize: str
    ) -> None:
        super().__init__()
        self.window_length, self.hop_length = round(window * sample_rate), round(hop * sample_rate)
        if sample_rate < 1 or not 1 <= self.hop_length <= self.window_length:
            raise UsageError(
                f"features at {sample_rate} Hz with a window of {window} s and a hop of {hop} s; "
                "the hop must be at least one sample and no longer than the window"
            )
        if normalize not in NORMALIZE:
            raise UsageError(f"features.normalize is {normalize!r}, but can be {', '.join(NORMALIZE)}")
        self.sample_rate, self.num_features, self.normalize = sample_rate, num_features, normalize
        self.frame_shift = self.hop_length / sample_rate
        self.estimated = normalize != "global"
        self._constant("window", torch.hann_window(self.window_length))
        if normalize == "global":
            self.register_buffer("mean", torch.zeros(num_features))
            self.register_buffer("std", torch.ones(num_features))

    @abstractmethod
    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """Turn `(batch, samples)`, zero past each length, into `(batch, frames, num_features)`.

        Args:
            waveforms: float32.
            frames: `(batch,)` int64, the number of frames of each utterance.
        """

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Turn numbers of samples into numbers of frames."""
        return 1 + torch.div(lengths, self.hop_length, rounding_mode="floor")

    def num_frames(self, samples: int) -> int:
        """Return how many frames an utterance of `samples` samples has."""
        return int(self.frame_lengths(torch.tensor(samples)))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features of a padded batch.

        Args:
            waveforms: `(batch, samples)`.
            lengths: `(batch,)` int64, samples of each utterance.

        Returns:
            `(batch, frames, num_features)` float32, zero past each length, and `(batch,)` int64 frames.

        Raises:
            UsageError: normalize is "global" and nothing was estimated or loaded.
        """
        if not self.estimated:
            raise UsageError(
                "features.normalize=global needs `estimate` on training data, or a trained bundle"
            )
        features, frames, mask = self._unnormalized(waveforms, lengths)
        if self.normalize == "utterance":
            features = normalize_utterances(features, frames, mask)
        elif self.normalize == "global":
            features = (features - self.mean.float()) / self.std.float()
        return features.masked_fill(~mask, 0.0), frames

    @torch.no_grad()
    def estimate(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the global mean and deviation from `(waveforms, lengths)` batches, in one pass.

        Raises:
            UsageError: normalize is not "global", or there are no batches.
        """
        if self.normalize != "global":
            raise UsageError(
                f"features.normalize is {self.normalize!r}; only 'global' has figures to estimate"
            )
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        for waveforms, lengths in batches:  # Chan, Golub and LeVeque 1983: merging means and sums of squares
            features, _, mask = self._unnormalized(waveforms, lengths)
            values = features[mask[..., 0]].double().cpu()
            new, delta = len(values), values.mean(dim=0) - mean
            squares = squares + (values - values.mean(dim=0)).square().sum(dim=0)
            squares = squares + delta.square() * count * new / (count + new)
            count, mean = count + new, mean + delta * new / (count + new)
        if not count:
            raise UsageError("features.normalize=global: no audio to estimate mean and deviation from")
        self.mean.copy_(mean)
        self.std.copy_((squares / count).sqrt().clamp(min=1e-3))
        self.estimated = True

    def _unnormalized(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(waveforms.device.type, enabled=False):
            beyond = torch.arange(waveforms.shape[1], device=waveforms.device) >= lengths[:, None]
            frames = self.frame_lengths(lengths)
            features = self.compute(waveforms.float().masked_fill(beyond, 0.0), frames)
        mask = torch.arange(features.shape[1], device=features.device) < frames[:, None]
        return features, frames, mask[..., None]

    def _frames(self, waveforms: Tensor) -> Tensor:
        """Cut centred frames: `(batch, samples)` to `(batch, frames, window_length)`, a view."""
        half = self.window_length // 2
        return F.pad(waveforms, (self.window_length - half, half)).unfold(
            1, self.window_length, self.hop_length
        )

    def _power(self, frames: Tensor, fft_size: int) -> Tensor:
        """Return the power spectrum `(batch, frames, fft_size // 2 + 1)` of windowed frames."""
        spectrum = torch.fft.rfft(frames * self.window.float(), n=fft_size)
        return torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)

    def _constant(self, name: str, value: Tensor) -> None:
        """Keep a tensor that moves with the module and is no part of its state."""
        self.register_buffer(name, value.float(), persistent=False)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.estimated = True


def normalize_utterances(features: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
    """Give every feature of every utterance mean 0 and deviation 1 over the utterance's own frames.

    Args:
        features: `(batch, frames, num_features)`.
        frames: `(batch,)`, frames of each utterance, at least 1.
        mask: `(batch, frames, 1)`, true inside each utterance.
    """
    # Relative to the first frame, so that a constant feature (digital silence) becomes exactly 0.
    features = (features - features[:, :1]).masked_fill(~mask, 0.0)
    count = frames[:, None, None]
    centred = (features - features.sum(dim=1, keepdim=True) / count).masked_fill(~mask, 0.0)
    variance = centred.square().sum(dim=1, keepdim=True) / count
    return centred * (variance + 1e-3).rsqrt()  # a floor far below speech, far above rounding


class LogMel(Features):
    """Natural logarithm of mel-band energies (Slaney's scale and normalisation, as librosa's default).

    Args:
        sample_rate, window, hop, normalize: see `Features`.
        num_mels: mel bands.
        low_freq, high_freq: edges of the lowest and the highest band, in Hz; None is half the sample rate.
        floor: energies below it count as this; just under the rounding noise of 16-bit audio.
    """

    mel: Tensor

    def __init__(
        self,
        sample_rate: int,
        num_mels: int = 80,
        window: float = 0.025,
        hop: float = 0.01,
        low_freq: float = 0.0,
        high_freq: float | None = None,
        floor: float = 1e-10,
        normalize: str = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_mels, normalize)
        top = sample_rate / 2 if high_freq is None else high_freq
        _check_band(sample_rate, num_mels, low_freq, top)
        self.floor = floor
        self.fft_size = max(_MIN_FFT, 1 << (self.window_length - 1).bit_length())
        bins = self.fft_size // 2 + 1
        mel = AF.melscale_fbanks(
            bins, low_freq, top, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
        self._constant("mel", mel)

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        power = self._power(self._frames(waveforms), self.fft_size)
        return (power @ self.mel.float()).clamp(min=self.floor).log()


class Mfcc(Features):
    """Mel-frequency cepstral coefficients with their first and second differences over time.

    Args:
        sample_rate, window, hop, normalize: see `Features`.
        num_coefficients: cepstral coefficients; `deltas` makes it three times as many numbers per frame.
        deltas: whether the differences follow the coefficients.
        num_mels: mel bands the coefficients are made of.
        low_freq, high_freq, floor: see `LogMel`.
    """

    dct: Tensor

    def __init__(
        self,
        sample_rate: int,
        num_coefficients: int = 13,
        deltas: bool = True,
        num_mels: int = 40,
        window: float = 0.025,
        hop: float = 0.01,
        low_freq: float = 0.0,
        high_freq: float | None = None,
        floor: float = 1e-10,
        normalize: str = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_coefficients * (3 if deltas else 1), normalize)
        if not 1 <= num_coefficients <= num_mels:
            raise UsageError(
                f"{num_coefficients} coefficients of {num_mels} mel bands; must be 1 to {num_mels}"
            )
        self.deltas = deltas
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


def differences(features: Tensor, frames: Tensor, context: int = 2) -> Tensor:
    """Fit a line to `context` frames on each side, return its slope; the end frames repeat beyond the ends.

    Args:
        features: `(batch, frames, num_features)`.
        frames: `(batch,)`, frames of each utterance: its last one is what repeats, not the padding.
        context: frames on each side.
    """
    time = torch.arange(features.shape[1], device=features.device).expand(len(features), -1)
    last = (frames - 1)[:, None]

    def at(shift: int) -> Tensor:
        index = (time + shift).clamp(min=0).minimum(last)
        return features.gather(1, index[..., None].expand_as(features))

    steps = range(1, context + 1)
    slope = torch.stack([step * (at(step) - at(-step)) for step in steps]).sum(dim=0)
    return slope / (2 * sum(step * step for step in steps))


class KaldiFbank(Features):
    """Log mel energies as Kaldi's `compute-fbank-feats` gives them without dither.

    The same numbers as `torchaudio.compliance.kaldi.fbank`, but batched.

    Frames are cut where they fit whole (Kaldi's `snip_edges`): `1 + (N - window) // hop` of them. An
    utterance shorter than a window is filled up with zeros to one frame, where Kaldi has none.

    Args:
        sample_rate, window, hop, normalize: see `Features`.
        num_mels: mel bands.
        low_freq, high_freq: edges of the lowest and the highest band, in Hz; a `high_freq` of 0 and below
            counts from half the sample rate.
        preemphasis: share of the sample before that is subtracted from each.
        scale: factor for the waveforms; 32768 gives the numbers of programs that read samples as integers.
    """

    mel: Tensor

    def __init__(
        self,
        sample_rate: int,
        num_mels: int = 80,
        window: float = 0.025,
        hop: float = 0.01,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        preemphasis: float = 0.97,
        scale: float = 1.0,
        normalize: str = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, num_mels, normalize)
        top = high_freq if high_freq > 0 else sample_rate / 2 + high_freq
        _check_band(sample_rate, num_mels, low_freq, top)
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
        missing = max(0, self.window_length - waveforms.shape[1])
        cut = F.pad(waveforms * self.scale, (0, missing)).unfold(1, self.window_length, self.hop_length)
        cut = cut - cut.mean(dim=-1, keepdim=True)
        cut = cut - self.preemphasis * torch.cat([cut[..., :1], cut[..., :-1]], dim=-1)
        power = self._power(cut, self.fft_size)
        return (power @ self.mel.float()).clamp(min=torch.finfo(torch.float32).eps).log()


class Spectrogram(Features):
    """Natural logarithm of the power spectrum, one number per FFT bin from 0 Hz to half the sample rate.

    Args:
        sample_rate, window, hop, normalize: see `Features`.
        window: length of a frame in seconds; `window * sample_rate // 2 + 1` numbers per frame.
        floor: powers below it count as this.
    """

    def __init__(
        self,
        sample_rate: int,
        window: float = 0.02,
        hop: float = 0.01,
        floor: float = 1e-8,
        normalize: str = "utterance",
    ) -> None:
        super().__init__(sample_rate, window, hop, round(window * sample_rate) // 2 + 1, normalize)
        self.floor = floor

    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """See `Features.compute`."""
        return self._power(self._frames(waveforms), self.window_length).clamp(min=self.floor).log()


def _check_band(sample_rate: int, num_mels: int, low_freq: float, high_freq: float) -> None:
    if not 0 <= low_freq < high_freq <= sample_rate / 2 or num_mels < 4:
        raise UsageError(
            f"{num_mels} mel bands from {low_freq} to {high_freq} Hz at {sample_rate} Hz; "
            "must be at least 4, between 0 and half the sample rate"
        )

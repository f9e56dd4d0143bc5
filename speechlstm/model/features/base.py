"""The common base of feature extractors: framing, masking, normalizing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlstm.types import UsageError

Normalize = Literal["utterance", "global", "none"]
SPEECH_RANGE = 30.0  # dB below the loudest frame to which speech reaches
ZEROS = 100.0  # dB below the loudest frame, where nothing but digital zeros is
ABOVE_NOISE = 10.0  # dB by which it stands out from the quietest tenth of the frames
MARGIN = 30  # frames before and after loud ones that count as speech, too
LOWEST = -3.0  # least value of a normalized feature
NOTHING = -190.0  # dB; no frame of an utterance that is more than digital zeros is quieter
LOG_DEVIATION = 1.0  # of the log of a mel band: in speech it is 2 to 4, in noise up to 1
PREEMPHASIS = 0.97
_LONGEST = 32768  # samples of a window


class Features(nn.Module, ABC):
    """What every feature extractor does: framing, masking, normalizing. Subclasses compute the values.

    Frame t is centered at sample t * hop, with zeros before the start and after the end, so an utterance of N
    samples has `1 + N // hop` frames and even an empty one has a frame. The mean of each frame is subtracted, so
    that a constant offset, which cheap sound cards add, has no effect.

    `normalize="utterance"` gives the speech of each utterance mean 0 and deviation 1 in every feature (see
    `speech_frames` and `scale`), "global" does so with figures of the whole training data (see `estimate`), "none"
    leaves the values alone. `window` and `hop` are seconds.

    Attributes:
        num_features: numbers per frame.
        frame_shift: seconds from one frame to the next.
        sample_rate: Hz.
        reach: frames on each side whose windows a frame depends on, besides its own.
        least_deviation: features that vary less, because nobody speaks, are divided by this all the same.
        mean: `(num_features,)`, only with normalize="global", then part of the state; `std` likewise.
    """

    mean: Tensor
    std: Tensor
    window: Tensor
    reach = 0
    least_deviation = 0.0

    def __init__(
        self, sample_rate: int, window: float, hop: float, num_features: int, normalize: Normalize
    ) -> None:
        super().__init__()
        self.window_length, self.hop_length = round(window * sample_rate), round(hop * sample_rate)
        if not 1 <= self.hop_length <= self.window_length <= _LONGEST:
            raise UsageError(
                f"features at {sample_rate} Hz with a window of {window} s and a hop of {hop} s; the hop must be at "
                f"least one sample and no longer than the window, and that no more than {_LONGEST} samples"
            )
        self.sample_rate, self.num_features, self.normalize = sample_rate, num_features, normalize
        self.frame_shift = self.hop_length / sample_rate
        self.estimated = normalize != "global"
        self._constant("window", torch.hann_window(self.window_length))
        if normalize == "global":
            self.register_buffer("mean", torch.zeros(num_features))
            self.register_buffer("std", torch.ones(num_features))

    @abstractmethod
    def compute(self, waveforms: Tensor, frames: Tensor) -> Tensor:
        """Turn `(batch, samples)` float32, zero past each length, into `(batch, frames, num_features)`.

        `frames` is `(batch,)` int64, the number of frames of each utterance.
        """

    def levels(self, waveforms: Tensor) -> Tensor:
        """Return the power of each frame about its mean in dB, `(batch, frames)`, low hum weakened by pre-emphasis.

        Waveforms are `(batch, samples)` float32, zero past each length.
        """
        with torch.no_grad(), torch.autocast(waveforms.device.type, enabled=False):
            padded = self._padded(waveforms)
            emphasized = F.pad(padded[:, 1:] - PREEMPHASIS * padded[:, :-1], (1, 0))
            moments = torch.stack((emphasized, emphasized.square()), dim=1)
            mean, power = F.avg_pool1d(moments, self.window_length, self.hop_length).unbind(dim=1)
            return 10 * (power - mean.square()).clamp(min=1e-20).log10()

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
        waveforms = _within(waveforms, lengths)
        features, frames, mask = self.unnormalized(waveforms, lengths)
        if self.normalize == "utterance":
            levels = self.levels(waveforms)
            speech = speech_frames(levels, frames)
            features = scale(features, *speech_statistics(features, speech, levels), self.least_deviation)
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
            features, _, mask = self.unnormalized(_within(waveforms, lengths), lengths)
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

    def unnormalized(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `compute` gives, the frames of each utterance, and a mask `(batch, frames, 1)` of them.

        Waveforms are `(batch, samples)` float32, zero past each length.
        """
        frames = self.frame_lengths(lengths)
        with torch.autocast(waveforms.device.type, enabled=False):
            features = self.compute(waveforms, frames)
        mask = torch.arange(features.shape[1], device=features.device) < frames[:, None]
        return features, frames, mask[..., None]

    def _frames(self, waveforms: Tensor) -> Tensor:
        """Cut centered frames: `(batch, samples)` to `(batch, frames, window_length)`, each with mean 0."""
        frames = self._padded(waveforms).unfold(1, self.window_length, self.hop_length)
        return frames - frames.mean(dim=-1, keepdim=True)

    def _padded(self, waveforms: Tensor) -> Tensor:
        """Put the zeros around `(batch, samples)` that the first and the last frame need."""
        half = self.window_length // 2
        return F.pad(waveforms, (self.window_length - half, half))

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


def _within(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Return `(batch, samples)` in float32 with zeros past each length."""
    beyond = torch.arange(waveforms.shape[1], device=waveforms.device) >= lengths[:, None]
    return waveforms.float().masked_fill(beyond, 0.0)


def speech_frames(levels: Tensor, frames: Tensor) -> Tensor:
    """Return `(batch, frames, 1)`: true in the frames of an utterance that have speech in them, or are near to it.

    Speech is what lies within `SPEECH_RANGE` of the loudest frame, and stands out from the utterance's noise. Silence
    around the speech then has no part in the statistics of the utterance, however long it is, nor have digital zeros.
    An utterance of nothing but digital zeros is all speech.
    Levels are `(batch, frames)` in dB, `frames` `(batch,)` those of each utterance.
    """
    within = torch.arange(levels.shape[1], device=levels.device) < frames[:, None]
    loudest = levels.masked_fill(~within, -math.inf).amax(dim=1, keepdim=True)
    sounding = within & (levels >= loudest - 2 * SPEECH_RANGE)
    noise = levels.masked_fill(~sounding, math.nan).nanquantile(0.1, dim=1, keepdim=True)
    threshold = (noise + ABOVE_NOISE).minimum(loudest - SPEECH_RANGE / 2).maximum(loudest - SPEECH_RANGE)
    loud = (levels >= threshold) & sounding
    near = F.max_pool1d(loud.float().unsqueeze(1), 2 * MARGIN + 1, stride=1, padding=MARGIN).squeeze(1) > 0
    return (near & within & (levels >= loudest - ZEROS)).unsqueeze(-1)


def speech_statistics(features: Tensor, speech: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of every feature, `(batch, 1, num_features)` each, over the frames of speech.

    The mean of nothing but digital zeros is infinite, so that `scale` makes them as quiet as can be.
    """
    # Relative to one frame of the speech, so that a constant feature (digital silence) becomes exactly 0.
    first = speech.to(torch.uint8).argmax(dim=1, keepdim=True)
    origin = features.gather(1, first.expand(-1, -1, features.shape[2]))
    count = speech.sum(dim=1, keepdim=True)
    mean = (features - origin).masked_fill(~speech, 0.0).sum(dim=1, keepdim=True) / count
    variance = (features - origin - mean).masked_fill(~speech, 0.0).square().sum(dim=1, keepdim=True) / count
    something = (speech & (levels > NOTHING).unsqueeze(-1)).any(dim=1, keepdim=True)
    return (origin + mean).masked_fill(~something, math.inf), variance


def scale(features: Tensor, mean: Tensor, variance: Tensor, least: float) -> Tensor:
    """Give features mean 0 and deviation 1, or less where the deviation is below `least`.

    Nothing falls below `LOWEST`: how deep silence lies under the speech carries no information about the words.
    """
    # the floor is far below speech and far above rounding
    return ((features - mean) * (variance + 1e-3).clamp(min=least**2).rsqrt()).clamp(min=LOWEST)


def check_band(sample_rate: int, low_freq: float, high_freq: float) -> None:
    """Raise a UsageError if the edges of the mel bands, in Hz, are in disorder or above half the sample rate."""
    if not 0 <= low_freq < high_freq <= sample_rate / 2:
        raise UsageError(
            f"features.low_freq is {low_freq} and features.high_freq {high_freq} Hz, but must be in order, "
            f"between 0 and half the sample rate of {sample_rate} Hz"
        )

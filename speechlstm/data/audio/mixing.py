"""Blocks of a file become blocks of one channel at one rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.data.audio.files import Block
from speechlstm.data.audio.losses import GAP, Losses
from speechlstm.types import AudioError, counted

MAX_PEAK = 64.0  # full scale is 1; integers stored as floats reach 32767
_CANCELED = (
    0.1  # of the power that channels have together if they are independent: below, they cancel each other
)


def limited(blocks: Iterable[Block], seconds: float | None) -> Iterator[Block]:
    """Yield blocks up to a length; None: all."""
    if seconds is None:
        yield from blocks
        return
    for data, rate in blocks:
        wanted = max(1, round(seconds * rate))
        yield data[:wanted], rate
        seconds -= len(data) / rate
        if len(data) >= wanted:
            return


def too_loud(samples: NDArray[np.float32]) -> str:
    """Return what is wrong with samples `(samples,)` that are beyond all measure, or nothing."""
    peak = _peak(samples) if len(samples) else 0.0
    if peak <= MAX_PEAK:
        return ""
    return f"reaches {peak:g}, but full scale is 1; divide by 32768 if it was 16-bit audio"


def _is_finite(samples: NDArray[np.float32]) -> bool:
    return not len(samples) or bool(np.isfinite(_peak(samples)))


def _peak(samples: NDArray[np.float32]) -> float:
    return max(float(samples.max()), -float(samples.min()))


class Mixer:
    """Turns blocks of `(samples, channels)` into one channel.

    Args:
        losses: of the recording; learns of values that are no sound.
        channel: which channel to take; None mixes them.
        begin: where the recording is read from, in seconds.

    Attributes:
        read: seconds that have gone through.
        finite: whether any value was; of damaged floats, none may be.
        canceled: seconds at which channels first canceled each other, and the channel that was taken instead.
        broken: seconds at which a channel first had values that are not finite while others were, and that channel.
    """

    def __init__(self, losses: Losses, channel: int | None, begin: float) -> None:
        self.losses, self.channel, self.begin = losses, channel, begin
        self.read = 0.0
        self.finite = False
        self.canceled: tuple[float, int] | None = None
        self.broken: tuple[float, int] | None = None

    def __call__(self, data: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Return the channel, `(samples,)`.

        Raises:
            AudioError: there is no such channel, or values are beyond all measure.
        """
        name, channels = self.losses.name, data.shape[1]
        if self.channel is not None and self.channel >= channels:
            raise AudioError(
                f"{name}: no channel {self.channel}; it has {counted(channels, 'channel')}, counted from 0"
            )
        mono = self._mix(data) if self.channel is None and channels > 1 else data[:, self.channel or 0]
        if self.channel is None and channels > 1 and not _is_finite(mono):
            mono = self._mix(self._of_the_others(data, rate))
        if not _is_finite(mono):
            mono = self._without_nonsense(mono, rate)
        else:
            self.finite = True
        if fault := too_loud(mono):
            raise AudioError(f"{name}: {fault}")
        self.read += len(data) / rate
        return mono

    def messages(self) -> list[str]:
        """Return a line if channels canceled each other, and one if one of them is broken."""
        lines: list[str] = []
        if self.canceled is not None:
            start, channel = self.canceled
            lines.append(f"channels cancel each other at {start:.1f} s; channel {channel} was taken there")
        if self.broken is not None:
            lines.append(f"{self._broken(*self.broken)}; the others were taken there")
        return lines

    def _mix(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        channels = data.shape[1]
        mono: NDArray[np.float32] = data @ np.full(channels, 1 / channels, np.float32)
        powers = np.einsum("ij,ij->j", data, data)
        if float(mono @ mono) * channels**2 < _CANCELED * float(powers.sum()):
            loudest = int(powers.argmax())
            self.canceled = self.canceled or (self.begin + self.read, loudest)
            return data[:, loudest]
        return mono

    def _of_the_others(self, data: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Return samples with what is not finite in one channel replaced by the mean of those that are.

        Raises:
            AudioError: losses are not allowed.
        """
        good = np.isfinite(data)
        mended = ~good & good.any(axis=1, keepdims=True)
        if not mended.any():
            return data
        first = int(mended.any(axis=1).argmax())
        found = self.begin + self.read + first / rate, int(mended[first].argmax())
        if self.losses.strict:
            wanted = "convert it again, or set strict_audio=false to use the others"
            raise AudioError(f"{self.losses.name}: {self._broken(*found)}; {wanted}")
        self.broken = self.broken or found
        sums, counts = np.where(good, data, 0).sum(axis=1, keepdims=True), good.sum(axis=1, keepdims=True)
        means = (sums / np.maximum(counts, 1)).astype(np.float32)
        return np.where(mended, means, data)

    def _broken(self, start: float, channel: int) -> str:
        return f"channel {channel} has values that are not finite (NaN or infinity) at {start:.1f} s"

    def _without_nonsense(self, mono: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        wrong = np.flatnonzero(~np.isfinite(mono))
        self.finite = self.finite or len(wrong) < len(mono)
        for part in np.split(wrong, np.flatnonzero(np.diff(wrong) > GAP * rate) + 1):
            start, length = self.begin + self.read + part[0] / rate, (part[-1] - part[0] + 1) / rate
            self.losses.add(start, length, "values that are not finite (NaN or infinity)")
        return np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)


def resampled(blocks: Iterable[tuple[NDArray[np.float32], int]], rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield blocks `(samples,)` at one rate (soxr, high quality), as if each stretch of one rate had been one block."""
    stream, before = None, rate
    for mono, given in blocks:
        if given != before and stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
            stream = None
        if given == rate:
            yield np.ascontiguousarray(mono, np.float32)
        else:
            stream = stream or soxr.ResampleStream(given, rate, 1, dtype="float32", quality="HQ")
            yield stream.resample_chunk(np.ascontiguousarray(mono, np.float32))
        before = given
    if stream is not None:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

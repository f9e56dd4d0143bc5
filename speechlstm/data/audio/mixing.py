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
    """

    def __init__(self, losses: Losses, channel: int | None, begin: float) -> None:
        self.losses, self.channel, self.begin = losses, channel, begin
        self.read = 0.0
        self.finite = False
        self.canceled: tuple[float, int] | None = None

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
        if len(mono) and not np.isfinite(_peak(mono)):
            mono = self._without_nonsense(mono, rate)
        else:
            self.finite = True
        if fault := too_loud(mono):
            raise AudioError(f"{name}: {fault}")
        self.read += len(data) / rate
        return mono

    def messages(self) -> list[str]:
        """Return a line if channels canceled each other."""
        if self.canceled is None:
            return []
        return [
            f"channels cancel each other at {self.canceled[0]:.1f} s; channel {self.canceled[1]} was taken there"
        ]

    def _mix(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        channels = data.shape[1]
        mono: NDArray[np.float32] = data @ np.full(channels, 1 / channels, np.float32)
        powers = np.einsum("ij,ij->j", data, data)
        if float(mono @ mono) * channels**2 < _CANCELED * float(powers.sum()):
            loudest = int(powers.argmax())
            self.canceled = self.canceled or (self.begin + self.read, loudest)
            return data[:, loudest]
        return mono

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

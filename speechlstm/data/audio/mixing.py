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
# Channels cancel each other below this share of the power that they have together if they are independent.
_CANCELED = 0.1
_PIECE = 0.25  # seconds, from the recording's start, that are mixed in one way: longer loses words
_FADE = 0.01  # seconds in which one mix becomes another
_AUDIBLE = 1e-3  # root mean square above which it is worth telling that channels cancel each other: -60 dB
_PAUSE = 1.0  # seconds between two stretches that are told as one
_MOST = 10  # stretches that are told


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
        canceled: stretches in which channels canceled each other, in seconds, and the channel that was taken instead.
        broken: seconds at which a channel first had values that are not finite while others were, and that channel.
    """

    def __init__(self, losses: Losses, channel: int | None, begin: float) -> None:
        self.losses, self.channel, self.begin = losses, channel, begin
        self.read = 0.0
        self.finite = False
        self.canceled: list[tuple[float, float, int]] = []
        self.broken: tuple[float, int] | None = None
        self._mixed = 0  # channels of the last piece that was mixed
        self._taken: int | None = None  # the one that was taken there instead of the mean

    def all(self, blocks: Iterable[Block]) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield one channel of all blocks, and its rate.

        Where channels are mixed, blocks are cut anew so that they hold whole pieces, whatever the reader's blocks are.

        Raises:
            AudioError: as below.
        """
        rest: Block | None = None
        for data, rate in blocks:
            if rest is not None and (rest[1], rest[0].shape[1]) == (rate, data.shape[1]):
                data = np.concatenate([rest[0], data])
            elif rest is not None:
                yield self(*rest), rest[1]
            end = len(data)
            if self.channel is None and data.shape[1] > 1:
                first, length = self._next(0, rate), round(_PIECE * rate)
                end = 0 if end < first else end - (end - first) % length
            if end:
                yield self(data[:end], rate), rate
            rest = (data[end:], rate) if end < len(data) else None
        if rest is not None:
            yield self(*rest), rest[1]

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
        mono = self._mix(data, rate) if self.channel is None and channels > 1 else data[:, self.channel or 0]
        if not _is_finite(mono):
            mono = self._without_nonsense(mono, rate)
        else:
            self.finite = True
        if fault := too_loud(mono):
            raise AudioError(f"{name}: {fault}")
        self.read += len(data) / rate
        return mono

    def messages(self) -> list[str]:
        """Return a line for each stretch in which channels canceled each other, and one if one of them is broken."""
        lines = [
            f"channels cancel each other from {start:.1f} to {end:.1f} s; channel {channel} was taken there"
            for start, end, channel in self.canceled[:_MOST]
        ]
        if rest := len(self.canceled) - len(lines):
            lines.append(f"channels cancel each other in {counted(rest, 'more stretch')}")
        if self.broken is not None:
            lines.append(f"{self._broken(*self.broken)}; the others were taken there")
        return lines

    def _next(self, start: int, rate: int) -> int:
        """Return how many samples the piece has that begins with sample `start` of a block.

        The first one of a part that begins in the middle of a piece is shorter, or longer if it would be too short.
        """
        length = round(_PIECE * rate)
        size = length - (round(self.begin * rate) + round(self.read * rate) + start) % length
        return size if size >= length // 2 else size + length

    def _mix(self, data: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """Return the mean of the channels, or one of them in pieces where they cancel each other."""
        channels, start = data.shape[1], 0
        shares = np.full(channels, 1 / channels, np.float32)
        mono: NDArray[np.float32] = data @ shares
        if not _is_finite(mono):
            data = self._of_the_others(data, rate)
            mono = data @ shares
        while start < len(data):
            end = min(start + self._next(start, rate), len(data))
            piece, mixed = data[start:end], mono[start:end]
            taken = self._choose(piece, mixed, start, rate)
            fade = min(len(piece), round(_FADE * rate)) if channels == self._mixed else 0
            before = mixed[:fade].copy() if self._taken is None or not fade else piece[:fade, self._taken]
            if taken is not None:
                mixed[:] = piece[:, taken]
            if fade and taken != self._taken:
                mixed[:fade] += (before - mixed[:fade]) * np.linspace(1, 0, fade, dtype=np.float32)
            self._mixed, self._taken, start = channels, taken, end
        return mono

    def _choose(
        self, piece: NDArray[np.float32], mean: NDArray[np.float32], start: int, rate: int
    ) -> int | None:
        """Return the channel to take in a piece, None for the mean."""
        channels = piece.shape[1]
        before = self._taken if channels == self._mixed else None
        if len(piece) < round(_PIECE * rate) // 2 and channels == self._mixed:
            return before  # what is left at the end is too short to tell
        values = piece.ravel()
        power, together = float(mean @ mean) * channels**2, float(values @ values)
        if not power < _CANCELED * together:  # also of what is not finite
            return None
        powers = np.einsum("ij,ij->j", piece, piece)
        taken = int(powers.argmax())
        if before is not None and powers[before] > powers[taken] / 2:
            taken = before  # no change without need
        if powers[taken] > _AUDIBLE**2 * len(piece):
            self._tell(self.begin + self.read + start / rate, len(piece) / rate, taken)
        return taken

    def _tell(self, start: float, seconds: float, channel: int) -> None:
        """Note that a channel was taken, as part of the stretch before if it goes on."""
        end = start + seconds
        if self.canceled and self.canceled[-1][2] == channel and start - self.canceled[-1][1] < _PAUSE:
            start, _, _ = self.canceled.pop()
        self.canceled.append((start, end, channel))

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

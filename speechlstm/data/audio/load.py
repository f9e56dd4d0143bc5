"""What callers ask of a file: its length, or a stretch of it as one channel at some rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.data.audio.files import check_header, open_audio
from speechlstm.types import AudioError

MAX_PEAK = 64.0  # full scale is 1; integers stored as floats reach 32767
_END_TOLERANCE = 0.1  # seconds: how far a segment may reach past the end, for times that were rounded


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What an audio file's header says: seconds, samples per second (Hz) and channels."""

    duration: float
    sample_rate: int
    channels: int


def audio_info(path: str | Path) -> AudioInfo:
    """Read length, rate and channels of a file without decoding it.

    Raises:
        AudioError: the file is missing, unreadable, no audio, empty, or shorter than its header says.
    """
    path = str(path)
    with open_audio(path) as source:
        if source.samples is None:  # a live recording, or a format that does not say: count
            source.samples = len(source.read(0, None))
            check_header(path, source)
        return AudioInfo(source.samples / source.sample_rate, source.sample_rate, source.channels)


def load_audio(
    path: str | Path,
    sample_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> NDArray[np.float32]:
    """Read a file, or a segment of it, as one channel at the wanted rate.

    `.raw` files have no header and are taken for 16-bit big-endian mono at 16 kHz.

    Args:
        path: any audio file, or one inside a tar archive: `shard.tar@1024/name.flac`.
        sample_rate: Hz of the result; other rates are resampled (soxr, high quality).
        offset: where the segment begins, in seconds.
        duration: its length in seconds; None reads to the end. Only the segment is decoded.
        channel: index of the channel to take; None takes the mean of all.

    Returns:
        `(samples,)` float32; full scale is 1, which loud mp3s and resampling may pass a little.

    Raises:
        AudioError: the file is missing, unreadable, no audio, damaged or shorter than its header says, holds
            values that are not finite, or does not contain the segment or channel. The message begins with
            the path.
    """
    path = str(path)
    with open_audio(path) as source:
        rate, known = source.sample_rate, source.samples
        if channel is not None and not 0 <= channel < source.channels:
            raise AudioError(f"{path}: no channel {channel}; there are {source.channels}, counted from 0")
        if not 0 <= offset < float("inf") or (duration is not None and not 0 < duration < float("inf")):
            raise AudioError(
                f"{path}: segment at {offset} s of {duration} s; must be offset >= 0, duration > 0"
            )
        start, count = round(offset * rate), None if duration is None else max(1, round(duration * rate))
        if known is not None and start > 0 and start >= known:
            raise AudioError(
                f"{path}: segment begins at {offset:g} s, but the file ends at {known / rate:.3f} s"
            )
        if known is not None:
            count = _inside(path, start, count, known, rate)
        data = source.read(start, count)
        if known is None:
            _inside(path, start, count, start + len(data), rate)
        elif count is not None and len(data) + source.slack < count:
            raise AudioError(
                f"{path}: damaged or truncated, {len(data)} of {count} samples could be read; copy it again"
            )
    if not len(data):
        raise AudioError(f"{path}: no samples from {offset:g} s on; record it again or leave it out")
    if not np.isfinite(data).all():
        raise AudioError(f"{path}: holds values that are not finite (NaN or infinity); convert it again")
    mono = data.mean(axis=1) if channel is None else data[:, channel]
    peak = float(np.abs(mono).max())
    if peak > MAX_PEAK:
        raise AudioError(
            f"{path}: reaches {peak:g}, but full scale is 1; divide by 32768 if it was 16-bit audio"
        )
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
        if not len(mono):
            raise AudioError(
                f"{path}: {len(data)} samples at {rate} Hz are none at {sample_rate} Hz; too short"
            )
    return np.ascontiguousarray(mono, dtype=np.float32)


def _inside(path: str, start: int, count: int | None, known: int, rate: int) -> int:
    """Return how many samples to read, given how many there are."""
    rest = known - start
    if count is None:
        return rest
    if count > rest + _END_TOLERANCE * rate:
        end = (start + count) / rate
        raise AudioError(f"{path}: segment ends at {end:.3f} s, but the file ends at {known / rate:.3f} s")
    return min(count, rest)

"""What callers ask of a file: its length, or a stretch of it as one channel at some rate."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.data.audio.files import MAX_RATE, MIN_RATE, check_header, open_audio
from speechlstm.types import AudioError, UsageError, counted

# A path, samples `(samples,)` or `(samples, channels)` with their rate in Hz, or a file that is open for reading.
AudioInput = str | os.PathLike[str] | tuple[NDArray[Any], int] | BinaryIO

MAX_PEAK = 64.0  # full scale is 1; integers stored as floats reach 32767
_END_TOLERANCE = 0.1  # seconds: how far a segment may reach past the end, for times that were rounded


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What an audio file's header says: seconds, samples per second (Hz) and channels."""

    duration: float
    sample_rate: int
    channels: int


def audio_name(audio: AudioInput) -> str:
    """Return what a recording is called in messages and transcripts, as valid Unicode whatever bytes it has."""
    if isinstance(audio, tuple):
        return "array"
    path = os.fspath(audio) if isinstance(audio, str | os.PathLike) else str(getattr(audio, "name", "file"))
    return path.encode(errors="surrogateescape").decode(errors="replace")


def audio_info(audio: AudioInput) -> AudioInfo:
    """Read length, rate and channels of a recording without decoding it.

    Raises:
        AudioError: the file is missing, unreadable, no audio, empty, or shorter than its header says.
        UsageError: it is no recording at all.
    """
    if isinstance(audio, tuple):
        samples, rate = _array(audio)
        return AudioInfo(len(samples) / rate, rate, samples.shape[1])
    with _path(audio) as path, open_audio(path) as source:
        if source.samples is None:  # a live recording, or a format that does not say: count
            source.samples = len(source.read(0, None))
            check_header(path, source)
        return AudioInfo(source.samples / source.sample_rate, source.sample_rate, source.channels)


def load_audio(
    audio: AudioInput,
    sample_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> NDArray[np.float32]:
    """Read a recording, or a segment of it, as one channel at the wanted rate.

    `.raw` files have no header and are taken for 16-bit big-endian mono at 16 kHz.

    Args:
        audio: any audio file, or one inside a tar archive: `shard.tar@1024/name.flac`; or samples with their rate; or
            an open binary file, which is read to its end.
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
    name = audio_name(audio)
    if channel is not None and channel < 0:
        raise AudioError(f"{name}: no channel {channel}; they are counted from 0")
    if not 0 <= offset < float("inf") or (duration is not None and not 0 < duration < float("inf")):
        raise AudioError(f"{name}: segment at {offset} s of {duration} s; must be offset >= 0, duration > 0")
    if isinstance(audio, tuple):
        samples, rate = _array(audio)
        start = round(offset * rate)
        if start and start >= len(samples):
            raise AudioError(
                f"{name}: segment begins at {offset:g} s, but ends at {len(samples) / rate:.3f} s"
            )
        count = None if duration is None else max(1, round(duration * rate))
        data = samples[start : start + _inside(name, start, count, len(samples), rate)]
    else:
        with _path(audio) as path:
            data, rate = _read(path, offset, duration)
    if channel is not None and channel >= data.shape[1]:
        raise AudioError(f"{name}: no channel {channel}; there are {data.shape[1]}, counted from 0")
    return _mono(name, data, rate, sample_rate, offset, channel)


def _read(path: str, offset: float, duration: float | None) -> tuple[NDArray[np.float32], int]:
    """Read a segment of a file as `(samples, channels)`, and its rate."""
    with open_audio(path) as source:
        rate, known = source.sample_rate, source.samples
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
    return data, rate


def _mono(
    name: str, data: NDArray[np.float32], rate: int, sample_rate: int, offset: float, channel: int | None
) -> NDArray[np.float32]:
    """Turn `(samples, channels)` into one channel at the wanted rate, if they are what audio can be."""
    if not len(data):
        raise AudioError(f"{name}: no samples from {offset:g} s on; record it again or leave it out")
    if not np.isfinite(data).all():
        raise AudioError(f"{name}: holds values that are not finite (NaN or infinity); convert it again")
    mono = data.mean(axis=1) if channel is None else data[:, channel]
    peak = float(np.abs(mono).max())
    if peak > MAX_PEAK:
        raise AudioError(
            f"{name}: reaches {peak:g}, but full scale is 1; divide by 32768 if it was 16-bit audio"
        )
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
        if not len(mono):
            raise AudioError(
                f"{name}: {counted(len(data), 'sample')} at {rate} Hz would be none at {sample_rate} Hz; too short"
            )
    return np.ascontiguousarray(mono, dtype=np.float32)


@contextlib.contextmanager
def _path(audio: str | os.PathLike[str] | BinaryIO) -> Iterator[str]:
    """Yield the path of a recording; an open file is copied to one, because readers move about in it."""
    if isinstance(audio, str | os.PathLike):
        yield os.fspath(audio)
        return
    if isinstance(audio, np.ndarray):
        raise UsageError(
            "audio is an array without its sample rate; give (array, sample_rate), the rate in Hz"
        )
    if not hasattr(audio, "read"):
        raise UsageError(
            f"audio is a {type(audio).__name__}, but must be a path, (array, sample_rate) or an open binary file"
        )
    content = audio.read()
    if not isinstance(content, bytes):
        raise UsageError(f"{audio_name(audio)}: open it in binary mode, 'rb'")
    if audio.seekable():
        audio.seek(-len(content), os.SEEK_CUR)  # so that its length can be asked before it is read
    suffix = os.path.splitext(audio_name(audio))[1]  # noqa: PTH122  (a name, no path)
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(content)
        file.flush()
        try:
            yield file.name
        except AudioError as error:
            raise AudioError(str(error).replace(file.name, audio_name(audio), 1)) from None


def _array(audio: tuple[NDArray[Any], int]) -> tuple[NDArray[np.float32], int]:
    """Check samples and rate, and return the samples as `(samples, channels)` with full scale 1."""
    if len(audio) != 2:
        raise UsageError(f"audio is a tuple of {len(audio)}, but must be (array, sample_rate)")
    samples, rate = np.asarray(audio[0]), audio[1]
    if not isinstance(rate, int | np.integer) or not MIN_RATE <= rate <= MAX_RATE:
        raise UsageError(f"the sample rate of an array is {rate!r}, but must be {MIN_RATE} to {MAX_RATE} Hz")
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fi":
        raise UsageError(
            f"audio is an array of shape {samples.shape} and type {samples.dtype}, but must be (samples,) or "
            "(samples, channels), of floats with full scale 1 or of integers"
        )
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    return (samples[:, None] if samples.ndim == 1 else samples).astype(np.float32), int(rate)


def _inside(path: str, start: int, count: int | None, known: int, rate: int) -> int:
    """Return how many samples to read, given how many there are."""
    rest = known - start
    if count is None:
        return rest
    if count > rest + _END_TOLERANCE * rate:
        end = (start + count) / rate
        raise AudioError(f"{path}: segment ends at {end:.3f} s, but the file ends at {known / rate:.3f} s")
    return min(count, rest)

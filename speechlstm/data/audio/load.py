"""What callers ask of a recording: its length, or a stretch of it as one channel at some rate."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio.arrays import checked_array
from speechlstm.data.audio.files import Block, Source, open_audio
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.mixing import Mixer, limited, resampled
from speechlstm.data.audio.pipes import Piped, goes_back, reading
from speechlstm.data.remote import fetched, is_url
from speechlstm.types import AudioError, UsageError

# A path or URL, samples `(samples,)` or `(samples, channels)` with their rate in Hz, or a file open for reading.
AudioInput = str | os.PathLike[str] | tuple[NDArray[Any], int] | BinaryIO

_END_TOLERANCE = 0.1  # seconds: how far a segment may reach past the end, for times that were rounded
_MAX_HOURS = 12  # 2.8 GB at 16 kHz


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """A recording's length in seconds, samples per second (Hz) and channels."""

    duration: float
    sample_rate: int
    channels: int


def audio_name(audio: AudioInput) -> str:
    """Return what a recording is called in messages and transcripts, as valid Unicode whatever bytes it has."""
    if isinstance(audio, tuple):
        return "array"
    if isinstance(audio, Piped):
        return audio.called
    path = os.fspath(audio) if isinstance(audio, str | os.PathLike) else str(getattr(audio, "name", "file"))
    try:
        return path.encode(errors="surrogateescape").decode(errors="replace")
    except UnicodeEncodeError:  # halves of surrogate pairs, which no file system gives
        return path.encode(errors="replace").decode()


def kept(audio: AudioInput) -> AudioInput:
    """Return a recording that can be opened more than once: an open file that cannot be read again is copied.

    Raises:
        UsageError: the file is closed, or not open for reading bytes.
        AudioError: it cannot be read.
    """
    if hasattr(audio, "read") and not getattr(audio, "closed", False) and not goes_back(audio):
        return Piped(audio_name(audio), audio)
    return audio


def parse_channel(value: object) -> int | str | None:
    """Return the channel that a setting names: a number from 0, `"each"`, or None for a mix of all.

    Raises:
        UsageError: it names none.
    """
    names: dict[object, int | str | None] = {"left": 0, "right": 1, "mix": None, "each": "each", None: None}
    if isinstance(value, str | None) and value in names:
        return names[value]
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)):
        raise UsageError(f"channel={value}, but must be a number from 0, left, right, mix, or each")
    return int(str(value))


def audio_info(audio: AudioInput, exact: bool = True, strict: bool = True, track: int = 0) -> AudioInfo:
    """Return length, rate and channels of a recording.

    Args:
        audio: as for `load_audio`.
        exact: count what can be read, unless the size of the file proves what its header says; False takes the
            header's word where it has one, which is quick.
        strict: as for `load_audio`.
        track: likewise.

    Raises:
        AudioError: the file is missing, unreadable, no audio, or empty; if `exact` and `strict`, also damaged or
            truncated.
        UsageError: it is no recording at all.
    """
    with _opened(audio, track) as (name, source):
        rate, channels = source.sample_rate, source.channels
        seconds = (source.samples or 0) / rate
        if not source.samples or (exact and not source.exact):
            counts = Counter[int]()  # samples by their rate
            for data, its_rate in source.blocks(0, None, Losses(name, strict and exact)):
                counts[its_rate] += len(data)
            seconds = sum(count / its_rate for its_rate, count in counts.items())
        if not seconds:
            raise AudioError(f"{name}: no samples, only a header; record it again or leave it out")
        return AudioInfo(seconds, rate, channels)


def audio_format(audio: AudioInput) -> tuple[int, int]:
    """Return rate, in Hz, and channels of a recording, as its header says; nothing is decoded.

    Raises:
        AudioError: the file is missing, unreadable, or no audio.
    """
    with _opened(audio, 0) as (_, source):
        return source.sample_rate, source.channels


def load_audio(
    audio: AudioInput,
    sample_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    *,
    track: int = 0,
    clip: bool = False,
    strict: bool = True,
    warnings: list[str] | None = None,
) -> NDArray[np.float32]:
    """Read a recording, or a segment of it, as one channel at the wanted rate; gaps between time stamps are silence.

    `.raw` files have no header and are taken for 16-bit big-endian mono at 16 kHz.

    Args:
        audio: any audio file, or one inside a tar archive: `shard.tar@1024/name.flac`; or samples with their rate; or
            an open binary file, which is read to its end.
        sample_rate: Hz of the result; other rates are resampled (soxr, high quality).
        offset: where the segment begins, in seconds.
        duration: its length in seconds; None reads to the end. Only the segment is decoded.
        channel: index of the channel to take; None takes the mean of all, or the loudest where they cancel each other.
        track: which audio track of a container, counted from 0.
        clip: a segment that reaches past the end ends there; False: it is an error.
        strict: what is damaged or truncated is an error; False reads what can be read.
        warnings: gets a line for each stretch that is missing, and for channels that cancel each other.

    Returns:
        `(samples,)` float32; full scale is 1, which loud mp3s and resampling may pass a little.

    Raises:
        AudioError: the file is missing, unreadable, no audio, too long, or does not contain the segment or channel; if
            `strict`, also damaged, truncated, or with values that are not finite. The message begins with the path.
    """
    blocks = stream_audio(
        audio,
        sample_rate,
        offset,
        duration,
        channel,
        track=track,
        clip=clip,
        strict=strict,
        warnings=warnings,
    )
    first = list(itertools.islice(blocks, 2))
    if len(first) == 1:
        return first[0]
    name, whole = audio_name(audio), bytearray()  # grows in place
    try:
        for block in itertools.chain(first, blocks):
            whole += block.data.cast("B")
            if len(whole) > 4 * sample_rate * 3600 * _MAX_HOURS:
                raise AudioError(
                    f"{name}: over {_MAX_HOURS} hours long; take a part with offset and duration"
                )
    except MemoryError:
        raise AudioError(f"{name}: does not fit into memory; cut it into shorter files") from None
    return np.frombuffer(whole, np.float32)


def stream_audio(
    audio: AudioInput,
    sample_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
    *,
    track: int = 0,
    clip: bool = False,
    strict: bool = True,
    warnings: list[str] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield a recording, or a segment of it, in blocks; memory does not grow with its length.

    Arguments and errors are those of `load_audio`; an error may come after some blocks, and warnings at the end.

    Yields:
        `(samples,)` float32, one block after the other without gap.
    """
    name = audio_name(audio)
    if channel is not None and channel < 0:
        raise AudioError(f"{name}: no channel {channel}; they are counted from 0")
    if not 0 <= offset < float("inf") or (duration is not None and not 0 < duration < float("inf")):
        raise AudioError(f"{name}: segment at {offset} s of {duration} s; must be offset >= 0, duration > 0")
    with _opened(audio, track) as (path, source):
        losses = Losses(path, strict, offset, float("inf") if duration is None else offset + duration)
        mixer = Mixer(losses, channel, offset)
        start = round(offset * source.sample_rate)
        count = None if duration is None else max(1, round(duration * source.sample_rate))
        blocks = limited(source.blocks(start, count, losses), duration)
        made = 0
        for block in resampled(mixer.all(blocks), sample_rate):
            if len(block):
                made += len(block)
                yield block
        if not mixer.read and offset:
            raise AudioError(f"{path}: segment begins at {offset:g} s, but the file ends before")
        if not made:
            reason = "no samples that could be read, or too few; record it again or leave it out"
            raise AudioError(f"{path}: {reason}")
        if not mixer.finite:
            reason = "holds only values that are not finite (NaN or infinity); convert it again"
            raise AudioError(f"{path}: {reason}")
        if (
            duration is not None
            and not clip
            and mixer.read < duration - _END_TOLERANCE
            and not losses.stretches
        ):
            end = offset + mixer.read
            raise AudioError(
                f"{path}: segment ends at {offset + duration:.3f} s, but the file ends at {end:.3f} s"
            )
        if warnings is not None:
            warnings += losses.messages() + mixer.messages()


class _Array:
    """Samples in memory, read as a file is."""

    exact = True

    def __init__(self, audio: tuple[NDArray[Any], int]) -> None:
        self.data, self.sample_rate = checked_array(audio)
        self.samples, self.channels = self.data.shape

    def blocks(self, start: int, count: int | None, losses: Losses) -> Iterator[Block]:
        """Yield what there is from sample `start` on."""
        yield self.data[start:], self.sample_rate


@contextlib.contextmanager
def _opened(audio: AudioInput, track: int) -> Iterator[tuple[str, Source]]:
    """Open a track of a recording, and yield what it is called in messages as well."""
    if isinstance(audio, tuple):
        if track:
            raise AudioError(f"array: no track {track}; an array has one, 0")
        yield audio_name(audio), _Array(audio)
    else:
        with _path(audio) as path, open_audio(path, track) as source:
            yield path, source


@contextlib.contextmanager
def _path(audio: str | os.PathLike[str] | BinaryIO) -> Iterator[str]:
    """Yield the path of a recording; readers move about in it, so an open file or a URL is copied to one."""
    remote = isinstance(audio, str) and is_url(audio)
    if isinstance(audio, str | os.PathLike) and not isinstance(audio, Piped) and not remote:
        yield os.fspath(audio)
        return
    own = contextlib.nullcontext(audio) if isinstance(audio, Piped) else _copied(audio)
    with fetched(str(audio)) if remote else own as path:
        try:
            yield path
        except AudioError as error:
            raise AudioError(str(error).replace(path, audio_name(audio), 1)) from None


@contextlib.contextmanager
def _copied(audio: Any) -> Iterator[str]:
    """Copy an open file, from where it stands to its end, and yield the path of the copy."""
    if isinstance(audio, np.ndarray):
        raise UsageError(
            "audio is an array without its sample rate; give (array, sample_rate), the rate in Hz"
        )
    if not hasattr(audio, "read"):
        raise UsageError(
            f"audio is a {type(audio).__name__}, but must be a path, (array, sample_rate) or an open binary file"
        )
    suffix = os.path.splitext(audio_name(audio))[1]  # noqa: PTH122  (a name, no path)
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        with reading(audio, audio_name(audio)):
            start = audio.tell() if goes_back(audio) else None
            shutil.copyfileobj(audio, file, 1 << 20)
            if start is not None:
                audio.seek(start)  # so that its length can be asked before it is read
        file.flush()
        yield file.name

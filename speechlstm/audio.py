"""Audio files to mono waveforms: the only place that opens audio.

libsndfile (through soundfile) reads wav, flac, ogg, opus and NIST sphere; ffmpeg (through PyAV) reads m4a,
mp4, webm, aac, and also mp3, because libsndfile guesses the length of an mp3 without a length header and
cuts it there. Neither complains when a file ends early or holds nonsense, so everything is checked here.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from speechlstm.errors import AudioError

_SNDFILE_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".sph",
    ".raw",
    ".aiff",
    ".aif",
    ".au",
    ".caf",
)
_FFMPEG_SUFFIXES = (".m4a", ".mp4", ".m4b", ".mov", ".webm", ".mka", ".mkv", ".aac", ".3gp", ".amr", ".wma")
# What a search through folders takes for audio, in lower case; `load_audio` itself looks at the contents.
AUDIO_SUFFIXES = frozenset(_SNDFILE_SUFFIXES + _FFMPEG_SUFFIXES)

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1000, 768_000  # Hz
MAX_PEAK = 64.0  # full scale is 1; integers stored as floats reach 32767

_RAW: dict[
    str, Any
] = {  # what `.raw` means, as in AN4's big-endian release: a file without a header cannot say
    "format": "RAW",
    "subtype": "PCM_16",
    "endian": "BIG",
    "samplerate": 16_000,
    "channels": 1,
}
# ffmpeg also reads play lists, which may name other files and addresses: let in only what holds its audio.
_CONTAINERS = "mov,mp4,m4a,3gp,matroska,webm,aac,asf,amr,avi,flv,mpegts,ac3,eac3,wav,ogg,flac,mp3,caf"
_SIZES = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
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
    with _open(path) as source:
        if source.samples is None:  # a live recording, or a format that does not say: count
            source.samples = len(source.read(0, None))
            _check_header(path, source)
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
        path: any audio file.
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
    with _open(path) as source:
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


class _Source(Protocol):
    """An open file; `samples` is None if its header does not say, `slack` is how many may be missing."""

    sample_rate: int
    channels: int
    samples: int | None
    slack: int

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        """Return `(samples, channels)` from sample `start` on; `count` None reads to the end."""


class _Sndfile:
    """A file read by libsndfile."""

    slack = 0

    def __init__(self, path: str) -> None:
        options = _RAW if path.lower().endswith(".raw") else {}
        self.file = soundfile.SoundFile(os.fsencode(path), **options)
        self.sample_rate, self.channels = self.file.samplerate, self.file.channels
        self.samples: int | None = self.file.frames

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        if start:
            self.file.seek(start)
        data: NDArray[np.float32] = self.file.read(-1 if count is None else count, "float32", always_2d=True)
        return data

    def check(self, path: str) -> None:
        """Compare what the header says with what is there, which libsndfile only notes in its log."""
        said, there, unit = 0, 0, "bytes"
        if self.file.format == "OGG" and not _ogg_ends(Path(path)):
            raise AudioError(
                f"{path}: truncated, no end mark; copy it again, or convert it to keep what is left"
            )
        if self.file.format == "NIST":
            with Path(path).open("rb") as file:
                count = re.search(rb"^sample_count -i (\d+)", file.read(1024), re.MULTILINE)
            said, there, unit = int(count[1]) if count else 0, self.file.frames, "samples"
        elif self.file.format == "RAW":
            there = Path(path).stat().st_size
            said = there + there % 2
        elif found := _SIZES.search(self.file.extra_info):
            said, there = int(found[1]), int(found[2])
            if 0x7FFF_0000 <= said <= 0xFFFF_FFFF:
                return  # written to a pipe: the length was not known when the header was
        if said > there:
            raise AudioError(
                f"{path}: truncated, {there} of {said} {unit} are there; copy or download it again"
            )


class _Container:
    """A file read by ffmpeg."""

    def __init__(self, path: str, container: Any) -> None:
        self.container = container
        if not container.streams.audio:
            raise AudioError(f"{path}: has no audio track")
        self.stream = container.streams.audio[0]
        self.sample_rate, self.channels = self.stream.rate, self.stream.channels
        self.samples: int | None = None
        kind = container.format.name
        # Encoders may or may not count an mp3's first frame; others round times and keep the decoder's delay.
        self.slack = 1152 if kind == "mp3" else round(0.1 * self.sample_rate)
        if kind == "aac" or (kind == "mp3" and not _mp3_tells_length(Path(path))):
            return  # no header says how long it is, and ffmpeg guesses from the bit rate
        if self.stream.duration:
            self.samples = round(float(self.stream.duration * self.stream.time_base) * self.sample_rate)
        elif container.duration:
            self.samples = round(container.duration / av.time_base * self.sample_rate)

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        rate, seekable = self.sample_rate, self.samples is not None
        origin = float((self.stream.start_time or 0) * self.stream.time_base)  # mp3: the encoder's delay
        if start and seekable:  # half a second early: lossy decoders need a run-up
            self.container.seek(int((origin + max(0.0, start / rate - 0.5)) * av.time_base))
        resampler = av.AudioResampler(format="fltp", layout=self.stream.layout, rate=rate)
        pieces: list[NDArray[Any]] = []
        begin, have = 0, 0  # the samples of the file where decoding began, and decoded since
        for frame in self.container.decode(self.stream):
            if not pieces and seekable and frame.pts is not None:
                begin = max(0, round((float(frame.pts * frame.time_base) - origin) * rate))
            for piece in resampler.resample(frame):
                pieces.append(piece.to_ndarray())
                have += piece.samples
            if count is not None and begin + have >= start + count:
                break
        if not pieces:
            return np.zeros((0, self.channels), np.float32)
        data: NDArray[np.float32] = np.concatenate(pieces, axis=1).T[max(0, start - begin) :]
        return data if count is None else data[:count]


@contextlib.contextmanager
def _open(path: str) -> Iterator[_Source]:
    """Open a file with the reader that understands it, and turn the readers' exceptions into `AudioError`."""
    head = _head(path)
    opened = False
    try:
        with contextlib.ExitStack() as stack:
            source: _Source | None = None
            if not (head.startswith((b"ID3", b"\xff")) or path.lower().endswith(".mp3")):
                with contextlib.suppress(_UnrecognisedError):
                    sound = _sndfile(path)
                    stack.enter_context(sound.file)
                    sound.check(path)
                    source = sound
            if source is None:
                file = stack.enter_context(Path(path).open("rb"))
                container = av.open(file, options={"format_whitelist": _CONTAINERS})
                source = _Container(path, stack.enter_context(container))
            _check_header(path, source)
            opened = True
            yield source
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise AudioError(f"{path}: damaged or truncated ({reason}); copy or download it again") from None
    except av.FFmpegError:
        if opened:
            raise AudioError(f"{path}: damaged or truncated; copy or download it again") from None
        raise AudioError(f"{path}: not audio in a known format, or damaged; try to play it") from None


class _UnrecognisedError(Exception):
    """libsndfile does not know the format."""


def _sndfile(path: str) -> _Sndfile:
    try:
        return _Sndfile(path)
    except soundfile.LibsndfileError as error:
        if "not recognised" in error.error_string or "unknown format" in error.error_string:
            raise _UnrecognisedError from None
        raise


def _ogg_ends(path: Path) -> bool:
    """Whether the last Ogg page is whole and marked as the end (RFC 3533, section 6)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 0x1_0000))  # a page is at most 65,307 bytes
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS\0")) :]
    return len(page) > 27 and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _mp3_tells_length(path: Path) -> bool:
    """Whether the first frame of an mp3 is a header with the number of frames (Xing, Info or VBRI)."""
    with path.open("rb") as file:
        head = file.read(10)
        if head.startswith(b"ID3"):  # 28-bit size of the tag, seven bits in a byte
            file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)))
        else:
            file.seek(0)
        frame = file.read(2048)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _head(path: str) -> bytes:
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path}: a folder; name an audio file")
        if not stat.S_ISREG(mode):
            raise AudioError(f"{path}: not a regular file; copy its audio to a file first")
        with Path(path).open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the name") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioError(f"{path}: cannot be read ({reason})") from None
    if not head:
        raise AudioError(f"{path}: empty (0 bytes); copy or download it again")
    return head


def _check_header(path: str, source: _Source) -> None:
    if not 1 <= source.channels <= MAX_CHANNELS:
        raise AudioError(f"{path}: {source.channels} channels; can be 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= source.sample_rate <= MAX_RATE:
        raise AudioError(f"{path}: sample rate {source.sample_rate} Hz; can be {MIN_RATE} to {MAX_RATE}")
    if source.samples == 0:
        raise AudioError(f"{path}: no samples, only a header; record it again or leave it out")


def _inside(path: str, start: int, count: int | None, known: int, rate: int) -> int:
    """Return how many samples to read, given how many there are."""
    rest = known - start
    if count is None:
        return rest
    if count > rest + _END_TOLERANCE * rate:
        end = (start + count) / rate
        raise AudioError(f"{path}: segment ends at {end:.3f} s, but the file ends at {known / rate:.3f} s")
    return min(count, rest)

"""Opening a file with the library that understands it, and saying what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from speechlstm.data.audio.ffmpeg import CONTAINERS, Container
from speechlstm.data.audio.sndfile import UnrecognisedError, open_sndfile
from speechlstm.data.audio.tar import holder, open_member, split
from speechlstm.types import AudioError, counted

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


class Source(Protocol):
    """An open file; `samples` is None if its header does not say, `slack` is how many may be missing."""

    sample_rate: int
    channels: int
    samples: int | None
    slack: int

    def read(self, start: int, count: int | None) -> NDArray[np.float32]:
        """Return `(samples, channels)` from sample `start` on; `count` None reads to the end."""


@contextlib.contextmanager
def open_audio(path: str) -> Iterator[Source]:
    """Open a file with the reader that understands it, and turn the readers' exceptions into `AudioError`."""
    opened = False
    try:
        with contextlib.ExitStack() as stack:
            file = _open(
                path, stack
            )  # to look into; a reader that moves about in a file needs one of its own
            head = file.read(16)
            if not head:
                raise AudioError(f"{path}: empty (0 bytes); copy or download it again")
            source: Source | None = None
            if not (head.startswith((b"ID3", b"\xff")) or path.lower().endswith(".mp3")):
                with contextlib.suppress(UnrecognisedError):
                    sound = open_sndfile(path, _open(path, stack) if split(path) else os.fsencode(path))
                    stack.enter_context(sound.file)
                    sound.check(path, file)
                    source = sound
            if source is None:
                container = av.open(_open(path, stack), options={"format_whitelist": CONTAINERS})
                source = Container(path, stack.enter_context(container), file)
            check_header(path, source)
            opened = True
            yield source
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise AudioError(f"{path}: damaged or truncated ({reason}); copy or download it again") from None
    except av.FFmpegError:
        if opened:
            raise AudioError(f"{path}: damaged or truncated; copy or download it again") from None
        raise AudioError(f"{path}: not audio in a known format, or damaged; try to play it") from None


def _open(path: str, stack: contextlib.ExitStack) -> IO[bytes]:
    """Open a file, or the member of an archive, until the stack is unwound."""
    try:
        place = holder(path)
        mode = place.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path}: a folder; name an audio file")
        if not stat.S_ISREG(mode):
            raise AudioError(f"{path}: not a regular file; copy its audio to a file first")
        file = stack.enter_context(place.open("rb"))
        return open_member(path, file) if split(path) else file
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the name") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioError(f"{path}: cannot be read ({reason})") from None


def check_header(path: str, source: Source) -> None:
    """Refuse what no recording has.

    Raises:
        AudioError: no samples, or channels or a rate beyond all measure.
    """
    if not 1 <= source.channels <= MAX_CHANNELS:
        raise AudioError(f"{path}: {counted(source.channels, 'channel')}; can be 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= source.sample_rate <= MAX_RATE:
        raise AudioError(f"{path}: sample rate {source.sample_rate} Hz; can be {MIN_RATE} to {MAX_RATE}")
    if source.samples == 0:
        raise AudioError(f"{path}: no samples, only a header; record it again or leave it out")

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
from speechlstm.data.audio.headers import wav_channels, wav_tags_overrun
from speechlstm.data.audio.joined import joined
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.ogg import Link, examine
from speechlstm.data.audio.sndfile import Sndfile
from speechlstm.data.audio.tar import holder, open_member, split
from speechlstm.types import AudioError, counted

# What a search through folders takes for audio, in lower case; `load_audio` itself looks at the contents.
_ENDINGS = """
    wav flac ogg oga opus spx ogv mp3 mp2 mpga sph raw aiff aif aifc au snd caf w64 rf64 voc m4a m4b m4r mp4 m4v mov qt
    3gp 3g2 webm mka mkv aac ac3 eac3 dts amr awb wma wmv asf avi flv f4v ts mts m2ts mpg mpeg vob wv tta ape mxf nut
"""
AUDIO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())

MAX_CHANNELS = 64
MIN_RATE, MAX_RATE = 1000, 768_000  # Hz
Block = tuple[NDArray[np.float32], int]  # (samples, channels) and their rate in Hz


class Source(Protocol):
    """An open file; what its header says is no more than a hint, unless it is `exact`."""

    sample_rate: int
    channels: int
    samples: int | None
    exact: bool

    def blocks(self, start: int, count: int | None, losses: Losses) -> Iterator[Block]:
        """Yield what can be read from sample `start` of the header's rate on; rate and channels may change.

        At least `count` samples are wanted; None: all.
        """


@contextlib.contextmanager
def open_audio(path: str, track: int = 0) -> Iterator[Source]:
    """Open an audio track of a file with the reader that understands it; readers' exceptions become `AudioError`."""
    try:
        with contextlib.ExitStack() as stack:
            file = _open(
                path, stack
            )  # to look into; a reader that moves about in a file needs one of its own
            head = file.read(16)
            if not head:
                raise AudioError(f"{path}: empty (0 bytes); copy or download it again")
            _check_channels(path, wav_channels(file) or 1)  # before anything makes room for so many
            links = examine(file) if head.startswith(b"OggS") else joined(file, path)
            mpeg = head.startswith((b"ID3", b"\xff")) or path.lower().endswith((".mp3", ".mp2", ".mpga"))
            source: Source
            if track:
                source = _container(path, stack, track=track)
            elif len(links) > 1:
                source = _Chain(path, links, stack)
            elif (links and not links[0].whole) or mpeg or (sound := _sndfile(path, file, stack)) is None:
                source = _container(path, stack, links[0] if links else None)
            else:
                source = _Either(path, sound, stack)
            check_header(path, source)
            yield source
    except AudioError:
        raise
    except MemoryError:
        raise AudioError(f"{path}: does not fit into memory; cut it into shorter files") from None
    except Exception as error:  # whatever a reader raises over what it finds in a file
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AudioError(f"{path}: cannot be read ({reason}); copy or download it again") from error


class _Either:
    """A file that libsndfile reads, and ffmpeg from where libsndfile gives up."""

    def __init__(
        self, path: str, sound: Sndfile, stack: contextlib.ExitStack, link: Link | None = None
    ) -> None:
        self.path, self.sound, self.stack, self.link = path, sound, stack, link
        self.sample_rate, self.channels = sound.sample_rate, sound.channels
        self.samples, self.exact = sound.samples, sound.exact and not sound.missing

    def blocks(self, start: int, count: int | None, losses: Losses) -> Iterator[Block]:
        """Yield what can be read from sample `start` on."""
        read = start
        try:
            for data, rate in self.sound.blocks(start, count, losses):
                yield data, rate
                read += len(data)
            return
        except soundfile.SoundFileError:
            pass
        rest = _container(self.path, self.stack, self.link)
        yield from rest.blocks(round(read / self.sample_rate * rest.sample_rate), None, losses)


class _Chain:
    """The recordings of a file that holds several, one after the other."""

    exact = False

    def __init__(self, path: str, links: list[Link], stack: contextlib.ExitStack) -> None:
        self.path, self.links = path, links
        first = next((link for link in links if link.whole), links[0])
        source = self._open(first, stack)
        self.samples: int | None = None
        self.sample_rate, self.channels = source.sample_rate, source.channels

    def blocks(self, start: int, count: int | None, losses: Losses) -> Iterator[Block]:
        """Yield what can be read from sample `start` on."""
        begin, done = start / self.sample_rate, 0.0
        for link in self.links:
            its_losses = losses.of_part(done)
            with contextlib.ExitStack() as stack:
                try:
                    source = self._open(link, stack)
                except AudioError:  # its first pages are lost
                    its_losses.add(0.0, None)
                    continue
                for data, rate in source.blocks(0, None, its_losses):
                    skip = round((begin - done) * rate)
                    done += len(data) / rate
                    if skip < len(data):
                        yield data[max(0, skip) :], rate

    def _open(self, link: Link, stack: contextlib.ExitStack) -> Source:
        assert link.content is not None
        if not link.whole:
            return _container(self.path, stack, link)
        link.content.seek(0)
        sound = Sndfile(self.path, link.content, link.content)
        stack.enter_context(sound.file)
        return _Either(self.path, sound, stack, link)


def _sndfile(path: str, file: IO[bytes], stack: contextlib.ExitStack) -> Sndfile | None:
    """Open a file with libsndfile, if it can read it and rightly."""
    try:
        sound = Sndfile(path, _open(path, stack) if split(path) else os.fsencode(path), file)
    except soundfile.SoundFileError:
        return None
    stack.enter_context(sound.file)
    return None if sound.misread else sound


def _container(path: str, stack: contextlib.ExitStack, link: Link | None = None, track: int = 0) -> Container:
    file = (link and link.content) or _open(path, stack)
    file.seek(0)
    options = {"format_whitelist": CONTAINERS}
    if file.read(4) in (b"RIFF", b"RIFX", b"RF64"):
        options["ignore_length"] = "1"  # of an interrupted recording it is wrong
        if wav_tags_overrun(file, file.seek(0, os.SEEK_END)):
            raise AudioError(f"{path}: damaged: its LIST chunk is longer than the file; copy it again")
    file.seek(0)
    try:
        container = stack.enter_context(av.open(file, options=options))
    except (av.FFmpegError, ValueError):
        raise AudioError(f"{path}: not audio in a known format, or damaged; try to play it") from None
    return Container(path, container, _open(path, stack), link, track)


def check_exists(path: str) -> None:
    """Raise an AudioError if there is no such file, nor archive that a member of that name could be in."""
    try:
        holder(path).stat()
    except FileNotFoundError:
        raise _absent(path) from None
    except (OSError, ValueError):
        pass  # opening it says what else is wrong


def _absent(path: str) -> AudioError:
    return AudioError(f"{path}: no such file; check the name")


def _open(path: str, stack: contextlib.ExitStack) -> IO[bytes]:
    """Open a file, or the member of an archive, until the stack is unwound."""
    try:
        place = holder(path)
        mode = place.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(
                f"{path}: a folder; name an audio file" if path else "'': an empty name; name an audio file"
            )
        if not stat.S_ISREG(mode):
            raise AudioError(f"{path}: not a regular file; copy its audio to a file first")
        file = stack.enter_context(place.open("rb"))
        return open_member(path, file) if split(path) else file
    except FileNotFoundError:
        raise _absent(path) from None
    except UnicodeEncodeError:  # half a surrogate pair, which no file system gives
        raise _absent(path.encode(errors="replace").decode()) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioError(f"{path}: cannot be read ({reason})") from None


def check_header(path: str, source: Source) -> None:
    """Refuse what no recording has.

    Raises:
        AudioError: no samples, or channels or a rate beyond all measure.
    """
    _check_channels(path, source.channels)
    if not MIN_RATE <= source.sample_rate <= MAX_RATE:
        raise AudioError(f"{path}: sample rate {source.sample_rate} Hz; can be {MIN_RATE} to {MAX_RATE}")
    if source.samples == 0 and source.exact:
        raise AudioError(f"{path}: no samples, only a header; record it again or leave it out")


def _check_channels(path: str, channels: int) -> None:
    if channels < 1:  # FFmpeg takes random bytes for a format that it guesses
        raise AudioError(f"{path}: not audio in a known format, or damaged; try to play it")
    if channels > MAX_CHANNELS:
        raise AudioError(f"{path}: {counted(channels, 'channel')}; can be 1 to {MAX_CHANNELS}")

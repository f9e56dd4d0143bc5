"""Progress of a long recording on disk, so that an interruption loses only the last segment.

A journal is a hidden file next to the output. Its first line identifies the recording, the model, and the settings,
with size, times, and inode of each file. If any of these has changed, the journal starts over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from speechlstm.data.audio import holder
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.transcript import Transcript, Word


@dataclass(frozen=True, slots=True)
class Done:
    """A stretch that is transcribed.

    Attributes:
        start, end: samples of the recording.
        shared: samples before its end that the next window begins with.
        transcript: its times count from its start.
    """

    start: int
    end: int
    shared: int
    transcript: Transcript

    def to_line(self) -> bytes:
        """Return a line of a journal."""
        made = self.transcript
        words = [astuple(word) for word in made.words]
        row = (self.start, self.end, self.shared, made.text, words, made.score, made.parts, made.tokens)
        return json.dumps(row).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Done:
        """Return what a line of a journal says.

        Raises:
            ValueError: it is not whole.
        """
        try:
            start, end, shared, text, words, score, parts, tokens = json.loads(line)
            made = Transcript("", text, [Word(*word) for word in words], score, 0.0, parts, tokens=tokens)
            return cls(int(start), int(end), int(shared), made)
        except TypeError as error:
            raise ValueError(str(error)) from None


class Stretches(Protocol):
    """What gets the stretches of a recording that is cut, in order, and knows those that were done before."""

    done: list[Done]

    def add(self, done: Done) -> None:
        """Take a stretch."""


class Journal:
    """The stretches of one recording, in order.

    Without a place to write, or while another process writes there, it keeps nothing.

    Attributes:
        done: what was transcribed before.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.done = path, list[Done]()
        self._file: BinaryIO | None = None
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            self._file = os.fdopen(descriptor, "r+b")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._read(key.encode() + b"\n")
            except OSError:
                self.close()

    def _read(self, head: bytes) -> None:
        """Read what is whole, and cut off the rest."""
        assert self._file is not None
        whole = 0
        if self._file.readline() == head:
            whole = len(head)
            for line in self._file:
                try:
                    self.done.append(Done.from_line(line))
                except ValueError:  # the process was killed while it wrote
                    break
                whole += len(line)
        self._file.seek(whole)
        self._file.truncate()
        if not whole:
            self._file.write(head)
            self._file.flush()

    def add(self, done: Done) -> None:
        """Write a stretch down."""
        try:
            if self._file is not None:
                self._file.write(done.to_line())
                self._file.flush()
        except OSError:  # the disk is full, which the output will tell
            self.close()

    def close(self) -> None:
        """Leave the journal to another process."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def remove(self) -> None:
        """Delete the journal, unless it is another process's."""
        if self._file is not None:
            with suppress(OSError):
                self.path.unlink()
        self.close()


class Journals:
    """The journals of a command.

    Args:
        outputs: where the transcript of each recording goes, by the recording's path.
        settings: all that the transcripts depend on, besides files.
        files: on which they depend.
    """

    def __init__(self, outputs: Mapping[str, Path], settings: str, files: Iterable[str | Path]) -> None:
        self.outputs = outputs
        self._key = settings + json.dumps([_state(file) for file in files])
        self._open: dict[str, list[Journal]] = {}

    def __call__(self, part: Part) -> Journal | None:
        """Open the journal of a recording, or of one of its channels, if it has an output."""
        audio = str(part.audio)
        if audio not in self.outputs:
            return None
        name = repr((self.outputs[audio].stem, audio, part.channel))
        path = self.outputs[audio].parent / f".{_digest(name)}.journal"
        journal = Journal(path, _digest(f"{self._key}{_state(holder(audio))}{part}"))
        self._open.setdefault(audio, []).append(journal)
        return journal

    def remove(self, audio: str) -> None:
        """Delete the journals of a recording whose transcript is written."""
        for journal in self._open.pop(audio, []):
            journal.remove()


def _state(path: str | Path) -> tuple[str, list[int]]:
    """Return what differs if a file is not as it was."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return str(path), []
    return str(path), [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()

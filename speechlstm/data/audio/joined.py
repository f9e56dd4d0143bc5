"""Files that hold several recordings, or chunks of sound, in a format made for one: where each begins."""

from __future__ import annotations

import functools
import io
import os
import re
from dataclasses import dataclass, field
from typing import IO, Any

from speechlstm.data.audio.headers import wav_sounds
from speechlstm.data.audio.ogg import Link
from speechlstm.data.audio.tar import holder

_BLOCK = 1 << 20  # bytes that are looked through at once
_LARGEST = 1 << 28  # bytes of a wav whose chunks are put together anew
_LONGEST = 32  # bytes of a header that are looked at
_INITIAL = re.escape(bytes(byte for byte in range(256) if byte & 8))  # first channels of a moment, in WavPack

# Of each format, of which somebody may have joined files byte by byte, what stands in its header, how many bytes after
# its beginning, and how it goes on from there. Readers of the others (mp3, Ogg, Matroska, ..) go on by themselves.
_HEADERS = {
    b"fLaC": (0, rb"fLaC[\x00\x80]\x00\x00\x22"),
    b"ftyp": (4, rb"\x00\x00\x00[\x10-\xff]ftyp[ -~]{4}"),
    b"FORM": (0, rb"FORM.{4}AIF[FC](?:COMM|FVER|SSND|MARK|NAME|ANNO|ID3 |CHAN)"),
    b".snd": (0, rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]"),
    b"caff": (0, rb"caff\x00\x01\x00\x00desc"),
    b"FLV\x01": (0, rb"FLV\x01[\x01\x04\x05]\x00\x00\x00\x09\x00{4}"),
    b"TTA1": (0, rb"TTA1[\x01\x03]\x00[\x01-\xff]\x00[\x08-\x20]\x00"),
    b"wvpk": (0, rb"wvpk.{4}.\x04.{6}\x00{4}.{4}.[" + _INITIAL + rb"]"),
}


@dataclass(frozen=True, slots=True)
class _Content:
    """What a file holds, known by its place, size, and time of change."""

    path: str
    size: int
    changed: int  # ns
    file: IO[bytes] = field(compare=False)


def joined(file: IO[bytes], path: str) -> list[Link]:
    """Return the recordings of an open file, nothing if there is one, or if it is of another format."""
    file.seek(0)
    head = file.read(_LONGEST)
    for mark, (before, pattern) in _HEADERS.items():
        header = re.compile(pattern, re.DOTALL)
        if header.match(head):
            status = holder(path).stat()
            places = _places(_Content(path, status.st_size, status.st_mtime_ns, file), mark, before, header)
            ends = [*places[1:], file.seek(0, os.SEEK_END)]
            parts = [_Part(file, begin, end) for begin, end in zip(places, ends, strict=True)]
            links = [Link(False, False, False, io.BufferedReader(part)) for part in parts]
            return links if len(links) > 1 else []
    return _wav(file) if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE" else []


def _wav(file: IO[bytes]) -> list[Link]:
    """Return the chunks of sound of a wav that has several, of which readers take the first or the last."""
    size = file.seek(0, os.SEEK_END)
    places = wav_sounds(file, size)
    if len(places) < 2 or size > _LARGEST:
        return []
    file.seek(0)
    content = file.read()
    head = content[: places[0][0]]
    return [Link(False, False, False, io.BytesIO(head + content[begin:end])) for begin, end in places]


@functools.lru_cache(1024)  # a manifest may have thousands of stretches of a long file
def _places(content: _Content, mark: bytes, before: int, header: re.Pattern[bytes]) -> list[int]:
    """Return where recordings begin."""
    content.file.seek(0)
    start, data, found = 0, b"", []
    while block := content.file.read(_BLOCK):
        data += block
        place = -1
        while (place := data.find(mark, place + 1)) >= 0:
            if place >= before and place + _LONGEST <= len(data) and header.match(data, place - before):
                found.append(start + place - before)
        kept = min(len(data), _LONGEST + before - 1)  # no place is found twice
        start, data = start + len(data) - kept, data[len(data) - kept :]
    return found


class _Part(io.RawIOBase):
    """A stretch of a file, as a file."""

    def __init__(self, file: IO[bytes], begin: int, end: int) -> None:
        self._file, self._begin, self._end, self._place = file, begin, end, begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (self._begin, self._place, self._end)[whence]
        self._place = max(self._begin, base + offset)
        return self._place - self._begin

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._place)
        data = self._file.read(max(0, min(len(buffer), self._end - self._place)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

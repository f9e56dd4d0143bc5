"""Ogg pages: whether all are there, and a copy of a damaged file from which ffmpeg can tell where its sound lies."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

_LARGEST = 1 << 28  # bytes; a larger file is read as it is
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LAST = 4  # flag of the last page of a stream
_NO_TAGS = b"OpusTags" + bytes(8)


@dataclass(frozen=True, slots=True)
class Ogg:
    """What a look at all pages of a file tells.

    Attributes:
        whole: it is one stream of Vorbis or Opus, and every page is there and undamaged.
        cut: the last page is not there.
        late: pages with the first sound are not there.
        content: the good pages, from which ffmpeg reads the right times; None: the file itself will do.
    """

    whole: bool
    cut: bool
    late: bool
    content: IO[bytes] | None


def examine(file: IO[bytes]) -> Ogg:
    """Look at the pages of a file (RFC 3533, section 6)."""
    file.seek(0)
    data = file.read(_LARGEST)
    if len(data) == _LARGEST or data[28:].startswith((b"\x80theora", b"\x01video")):
        return Ogg(False, False, False, None)
    following: dict[bytes, int] = {}  # number of the next page, by stream
    pages: list[bytes] = []
    whole, late, sound, last = True, False, False, False
    for page, lost in _pages(data):
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        body = page[27 + page[26] :]
        gap = following.get(serial, 0) != number
        if gap and number == 2 and body and pages and pages[-1].find(b"OpusHead") > 0 and not sound:
            pages.append(_page(page[:6] + bytes(8) + serial + (1).to_bytes(4, "little"), _NO_TAGS))
        sounds = page[6:14].strip(b"\0") != b""
        late, sound = late or (gap and sounds and not sound), sound or sounds
        whole = whole and not gap and not lost and (bool(following) == (serial in following))
        whole = whole and (number > 0 or body.startswith((b"\x01vorbis", b"OpusHead")))
        following[serial], last = number + 1, bool(page[5] & _LAST)
        if gap and last:  # the time of a last page is where the sound ends, not where the page would
            page = _signed(page[:5] + bytes((page[5] & ~_LAST,)) + page[6:])
        pages.append(page)
    whole = whole and last
    content = None if whole or not pages else io.BytesIO(b"".join(pages))
    return Ogg(whole, not last, late, content)


def _pages(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the undamaged pages, and whether something else stands before each."""
    place = end = 0
    while (place := data.find(b"OggS\0", place)) >= 0:
        count = data[place + 26] if place + 27 <= len(data) else 0
        page = data[place : place + 27 + count + sum(data[place + 27 : place + 27 + count])]
        if len(page) > 27 and page == _signed(page):
            yield page, place > end
            place = end = place + len(page)
        else:
            place += 1


def _page(head: bytes, body: bytes) -> bytes:
    return _signed(head + bytes(4) + bytes((1, len(body))) + body)


def _signed(page: bytes) -> bytes:
    """Return a page with its checksum: zlib's, but with the bits of each byte in the other order, and begun with 0."""
    bare = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(bare.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return page[:22] + mirrored.to_bytes(4, "big").translate(_MIRRORED) + page[26:]

"""Ogg: whether all pages are there, and a copy of those from which ffmpeg can tell where their sound lies."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

_LARGEST = 1 << 28  # bytes; a larger file is read as it is
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_FIRST, _LAST = 2, 4  # flags of the first and last page of a stream
_NO_TAGS = b"OpusTags" + bytes(8)


@dataclass(frozen=True, slots=True)
class Link:
    """One of the recordings that follow each other in a file, of Ogg if nothing else is said.

    Attributes:
        whole: it is one stream of Vorbis or Opus, and every page is there and undamaged; False in other files.
        cut: the last page is not there.
        late: pages with the first sound are not there.
        content: its good pages, from which ffmpeg reads the right times, or its bytes; None: the file itself will do.
    """

    whole: bool
    cut: bool
    late: bool
    content: IO[bytes] | None


def examine(file: IO[bytes]) -> list[Link]:
    """Look at the pages of a file (RFC 3533, section 6), and return its recordings."""
    file.seek(0)
    data = file.read(_LARGEST)
    if len(data) == _LARGEST or data[28:].startswith((b"\x80theora", b"\x01video")):
        return [Link(False, False, False, None)]
    links: list[list[tuple[bytes, bool]]] = []
    for page, lost in _pages(data):
        if not links or (page[5] & _FIRST and not links[-1][-1][0][5] & _FIRST):
            links.append([])
        links[-1].append((page, lost))
    if not links:
        return [Link(False, False, False, None)]
    found = [_examine(link) for link in links]
    return [replace(found[0], content=None)] if len(found) == 1 and found[0].whole else found


def _examine(link: list[tuple[bytes, bool]]) -> Link:
    following: dict[bytes, int] = {}  # number of the next page, by stream
    pages: list[bytes] = []
    whole, late, sound, last = True, False, False, False
    for page, lost in link:
        serial, number = page[14:18], int.from_bytes(page[18:22], "little")
        gap = following.get(serial, 0) != number
        if gap and number == 2 and pages and b"OpusHead" in pages[-1] and not sound:
            pages.append(_page(page[:5] + bytes(9) + serial + (1).to_bytes(4, "little"), _NO_TAGS))
        sounds = page[6:14].strip(b"\0") != b""
        late, sound = late or (gap and sounds and not sound), sound or sounds
        whole = whole and not gap and not lost and bool(following) == (serial in following)
        whole = whole and (number > 0 or page[28:].startswith((b"\x01vorbis", b"OpusHead")))
        following[serial], last = number + 1, bool(page[5] & _LAST)
        if gap and last:  # the time of a last page is where the sound ends, not where the page would
            page = _signed(page[:5] + bytes((page[5] & ~_LAST,)) + page[6:])
        pages.append(page)
    return Link(whole and last, not last, late, io.BytesIO(b"".join(pages)))


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

"""What the bytes of a file say about where its sound ends, without decoding it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Literal

UNKNOWN = 0x7FFF_0000  # bytes; sizes from here to the end of 32 bits are written when nobody knows
_TAGS = 1 << 26  # bytes that FFmpeg may allocate for the tags of a wav


def wav_sizes(file: IO[bytes], size: int) -> tuple[int, int]:
    """Return how many bytes of sound a wav says it has, and how many there are up to the next chunk or its end."""
    long = 0  # of RF64, whose sizes stand in a chunk of their own
    for name, begin, length in _wav_chunks(file):
        if name == b"ds64":
            long = int.from_bytes(file.read(16)[8:], "little")
        if name == b"data":
            stated = long if long and length == 0xFFFF_FFFF else length
            if UNKNOWN <= stated <= 0xFFFF_FFFF and stated > size - begin:
                return size - begin, size - begin
            more = stated < size - begin and not _chunks(file, begin + stated, size)
            return stated, size - begin if more else min(stated, size - begin)
    return 0, 0


def wav_sounds(file: IO[bytes], size: int) -> list[tuple[int, int]]:
    """Return where each chunk of sound in a wav begins, its head included, and where it ends."""
    chunks = [(begin - 8, begin + length) for name, begin, length in _wav_chunks(file) if name == b"data"]
    return [(begin, end) for begin, end in chunks if end <= size]


def wav_channels(file: IO[bytes]) -> int:
    """Return how many channels a wav says it has; 0 for any other file."""
    file.seek(0)
    head = file.read(4096)
    place = head.find(b"fmt ")
    if head[:4] not in (b"RIFF", b"RF64") or place < 0:
        return 0
    return int.from_bytes(head[place + 10 : place + 12], "little")


def wav_tags_overrun(file: IO[bytes], size: int) -> bool:
    """Whether tags of a wav claim more bytes than the file has, which FFmpeg would allocate.

    Those after the sound may be cut off, which does it no harm, unless they claim to be very long.
    """
    sound = False
    for name, begin, length in _wav_chunks(file):
        if begin + length > size:
            return name == b"LIST" and (not sound or length > _TAGS)
        sound = sound or name == b"data"
    return False


def _wav_chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, place, and length of each chunk of a wav, which stands at that place meanwhile."""
    file.seek(0)
    order: Literal["big", "little"] = "big" if file.read(12).startswith(b"RIFX") else "little"
    while len(head := file.read(8)) == 8:
        begin, length = file.tell(), int.from_bytes(head[4:], order)
        yield head[:4], begin, length
        file.seek(begin + length + length % 2)


def _chunks(file: IO[bytes], place: int, size: int) -> bool:
    """Whether what follows the sound in a wav is chunks, or nothing worth mentioning, up to the end of the file."""
    while place + place % 2 + 8 <= size:
        file.seek(place + place % 2)
        head = file.read(8)
        if not head[:4].isascii() or not head[:4].decode("ascii").isprintable():
            return False
        place += place % 2 + 8 + int.from_bytes(head[4:], "little")
        if place > size + 1 and head[:4] == b"LIST":
            return True  # tags that are cut off
    return place <= size + 1


def flac_end(file: IO[bytes], size: int) -> int:
    """Return the sample after the last frame of a FLAC file, as its own header tells (RFC 9639, 9.1); 0: no idea."""
    file.seek(0)
    head = file.read(18)
    block, largest = int.from_bytes(head[10:12], "big"), int.from_bytes(head[15:18], "big")
    file.seek(max(42, size - (largest or 0x8000) - 64))
    tail = file.read()
    place = len(tail)
    while (place := tail.rfind(b"\xff\xf8", 0, place)) >= 0:
        number = tail[place + 4 : place + 8].decode("utf-8", "replace")[:1]
        if len(tail) > place + 16 and number not in ("", "\ufffd"):
            size, rate, begin = tail[place + 2] >> 4, tail[place + 2] & 15, place + 4 + len(number.encode())
            own = {6: 1, 7: 2}.get(size, 0)  # bytes of a block size that is none of the usual ones
            end = begin + own + {12: 1, 13: 2, 14: 2}.get(rate, 0)
            if _crc8(tail[place:end]) == tail[end]:
                return ord(number) * block + (
                    int.from_bytes(tail[begin : begin + own], "big") + 1 if own else block
                )
    return 0


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) & 0xFF ^ (7 if crc & 0x80 else 0)
    return crc


def tag_size(file: IO[bytes]) -> int:
    """Return the bytes of an ID3 tag at the beginning of a file (a number of 28 bits, seven in a byte)."""
    file.seek(0)
    head = file.read(10)
    if not head.startswith(b"ID3"):
        return 0
    return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))


def mp3_counted(file: IO[bytes]) -> bool:
    """Whether the first frame of an mp3 is a header (Xing, Info or VBRI) that counts the frames of the whole file."""
    size, begin = file.seek(0, os.SEEK_END), tag_size(file)
    file.seek(begin)
    frame = file.read(2048)
    if b"VBRI" in frame:
        return True
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    flags, length = frame[place + 7 : place + 8], int.from_bytes(frame[place + 12 : place + 16], "big")
    if place < 0 or not flags or not flags[0] & 1:
        return False
    return not flags[0] & 2 or size - begin <= length * 17 // 16  # otherwise another file was joined to it


def mp3_frame(head: bytes) -> int:
    """Return how many bytes a frame of an mp3 has by its header (ISO 11172-3, 2.4.1.3); 0 if it is none."""
    bits = int.from_bytes(head, "big")
    version, layer, rate, frequency = bits >> 19 & 3, bits >> 17 & 3, bits >> 12 & 15, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer != 1 or rate in (0, 15) or frequency == 3:
        return 0
    fast = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    slow = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    hertz = (44_100, 48_000, 32_000)[frequency] >> {3: 0, 2: 1, 0: 2}[version]
    kilobits = (fast if version == 3 else slow)[rate]
    return (144_000 if version == 3 else 72_000) * kilobits // hertz + (bits >> 9 & 1)

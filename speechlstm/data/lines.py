"""Lines of text files, compressed or not, with a progress bar and errors that name the file and line."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from speechlstm.data import progress
from speechlstm.types import SpeechlstmError

LONGEST = 1 << 24  # bytes of a line, 16 MB: more is no text that has lines, and would fill the memory

_GZIP = b"\x1f\x8b"
_MEGABYTE = 1_000_000  # bytes
_BLOCK = 1 << 20  # bytes read at once


def read_lines(path: str | Path, longest: int = LONGEST) -> Iterator[bytes]:
    """Return the lines of a file, their ends included; gzip is known by its first bytes, not by the name.

    Raises:
        SpeechlstmError: while they are read: the file cannot be, its compressed data is damaged or ends early, or a
            line has more than `longest` bytes.
    """
    return chain.from_iterable(_blocks(path, longest))  # a generator of lines would be slower


def _blocks(path: str | Path, longest: int) -> Iterator[list[bytes]]:
    number, rest = 0, b""
    try:
        with Path(path).open("rb") as raw:
            total = Path(path).stat().st_size // _MEGABYTE or None
            packed = raw.peek(2)[:2] == _GZIP
            file = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
            with progress.bar(f"reading {Path(path).name}", total, "MB") as bar:
                while block := file.read(_BLOCK):
                    begun, newline, ended = block.rpartition(b"\n")
                    if newline:
                        lines = io.BytesIO(rest + begun + newline).readlines()
                        yield lines
                        number, rest = number + len(lines), ended
                    else:  # a line longer than the block
                        rest += block
                    if len(rest) > longest:
                        raise SpeechlstmError(
                            f"{path}:{number + 1}: the line has more than {longest >> 20} MB; is this a text file?"
                        )
                    if raw.seekable():  # a pipe is not
                        bar.update(raw.tell() // _MEGABYTE - bar.n)
                if rest:
                    yield [rest]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpeechlstmError(f"{path}: damaged gzip file, somewhere after line {number}: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise SpeechlstmError(f"{path}: cannot be read: {reason or error}") from None


def decode(line: bytes, path: str | Path, number: int) -> str:
    """Return a line as text; a byte order mark before line 1 is left out.

    Raises:
        SpeechlstmError: it is not UTF-8, or has a NUL; the message begins with `path:number`.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SpeechlstmError(
            f"{path}:{number}: not UTF-8 text ({error.reason} at byte {error.start + 1} of the line)"
        ) from None
    if "\0" in text:
        raise SpeechlstmError(f"{path}:{number}: not text, it has a NUL character")
    return text


def read_text_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and its text without the white space around it.

    Raises:
        SpeechlstmError: as `read_lines` and `decode`.
    """
    for number, line in enumerate(read_lines(path), 1):
        yield number, decode(line, path, number).strip()

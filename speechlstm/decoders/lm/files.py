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

_GZIP = b"\x1f\x8b"
_MEGABYTE = 1_000_000  # bytes
_BLOCK = 1 << 20  # bytes read at once


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Return the lines of a file, their ends included; gzip is known by its first bytes, not by the name.

    Raises:
        SpeechlstmError: while they are read: the file cannot be, or its compressed data is damaged or ends early.
    """
    return chain.from_iterable(_blocks(path))  # a generator of lines would be slower


def _blocks(path: str | Path) -> Iterator[list[bytes]]:
    number = 0
    try:
        with Path(path).open("rb") as raw:
            total = Path(path).stat().st_size // _MEGABYTE or None
            packed = raw.peek(2)[:2] == _GZIP
            file = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
            with progress.bar(f"reading {Path(path).name}", total, "MB") as bar:
                while block := file.readlines(_BLOCK):
                    yield block
                    number += len(block)
                    if raw.seekable():  # a pipe is not
                        bar.update(raw.tell() // _MEGABYTE - bar.n)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpeechlstmError(f"{path}: damaged gzip file, somewhere after line {number}: {error}") from None
    except OSError as error:
        raise SpeechlstmError(f"{path}: cannot be read: {error.strerror or error}") from None


def decode(line: bytes, path: str | Path, number: int) -> str:
    """Return a line as text; a byte order mark before line 1 is left out.

    Raises:
        SpeechlstmError: it is not UTF-8; the message begins with `path:number`.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SpeechlstmError(
            f"{path}:{number}: not UTF-8 text ({error.reason} at byte {error.start + 1} of the line)"
        ) from None

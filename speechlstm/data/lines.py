"""Lines of text files of any origin, compressed or not: what is wrong is named by file and line."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from speechlstm.data import progress
from speechlstm.types import SpeechlstmError

MAX_LINE = 4_000_000  # bytes; ten hours of speech have 600,000 letters
MOST_DIGITS = 1000  # of a whole number

_GZIP = b"\x1f\x8b"
_MEGABYTE = 1_000_000  # bytes
_BLOCK = 1 << 20  # bytes read at once
_CONTROLS = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})  # no text has these, of which data are full


class _StandardInput(str):
    """What messages call the standard input."""


STDIN = _StandardInput("stdin")  # stands for a path


def read_bytes(path: str | Path) -> Iterator[bytes]:
    """Return the lines of a file, or of the standard input for `STDIN`, their ends included.

    Gzip is known by its first bytes, not by the name, and UTF-16 by its mark; it becomes UTF-8.

    Raises:
        SpeechlstmError: while they are read: the file cannot be, its compressed data or UTF-16 is damaged or ends
            early, or a line is longer than `MAX_LINE`.
    """
    return chain.from_iterable(_blocks(path))  # a generator of lines would be slower


def decode(line: bytes, path: str | Path, number: int) -> str:
    """Return a line as text, without its end; a byte order mark before line 1 is left out.

    Raises:
        SpeechlstmError: it is too long, not UTF-8, or has a NUL; the message begins with `path:number`.
    """
    where = f"{path}:{number}"
    if len(line) > MAX_LINE:
        raise _too_long(where)
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{line[error.start]:02x} at {error.start + 1}"
        raise SpeechlstmError(
            f"{where}: not UTF-8 text ({byte}); convert it, as in iconv -f LATIN1 -t UTF-8"
        ) from None
    if "\0" in text:
        raise SpeechlstmError(f"{where}: not text (it holds a NUL byte)")
    return text


def read_all(path: str | Path) -> Iterator[tuple[int, str | SpeechlstmError]]:
    """Yield the number of each line, from 1, and the line without its end, or what is wrong with it.

    Raises:
        SpeechlstmError: as `read_bytes`, but for the length of a line.
    """
    for number, line in enumerate(chain.from_iterable(_blocks(path, cut=True)), 1):
        try:
            yield number, decode(line, path, number)
        except SpeechlstmError as error:
            yield number, error


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line, from 1, and its text without the white space around it.

    Raises:
        SpeechlstmError: as `read_bytes` and `decode`.
    """
    for number, line in enumerate(read_bytes(path), 1):
        yield number, decode(line, path, number).strip()


def read_value(text: str) -> Any:
    """Return what a JSON text stands for.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or has a number that nobody can mean; the message is ours.
    """
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, but at most {MOST_DIGITS} can be read")
    return int(digits)


def _blocks(path: str | Path, cut: bool = False) -> Iterator[list[bytes]]:
    """Yield lines; one longer than `MAX_LINE` is an error, or `cut` off somewhere after that."""
    number, rest = 0, b""
    try:
        with _opened(path) as raw:
            status = os.fstat(raw.fileno())
            if stat.S_ISCHR(status.st_mode):
                raise OSError(0, "a device, but must be a file")
            packed = raw.peek(2)[:2] == _GZIP
            file = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
            name, total = Path(path).name, status.st_size // _MEGABYTE or None
            with progress.bar(f"reading {name}", total, "MB", bool(total)) as bar:
                for block in _in_utf8(file, path):
                    begun, newline, ended = block.rpartition(b"\n")
                    if newline:
                        lines = io.BytesIO(rest + begun + newline).readlines()
                        yield lines
                        number, rest = number + len(lines), ended
                    elif len(rest) <= MAX_LINE:  # a line longer than the block
                        rest += block
                    elif not cut:
                        raise _too_long(f"{path}:{number + 1}")
                    if raw.seekable():  # a pipe is not
                        bar.update(raw.tell() // _MEGABYTE - bar.n)
                if rest:
                    yield [rest]
    except UnicodeDecodeError as error:
        raise SpeechlstmError(f"{path}:{number + 1}: damaged UTF-16 text ({error.reason})") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpeechlstmError(f"{path}: damaged gzip file, somewhere after line {number}: {error}") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        raise SpeechlstmError(f"{path}: cannot be read: {reason or error}") from None


def _opened(path: str | Path) -> io.BufferedReader:
    return open(0, "rb", closefd=False) if isinstance(path, _StandardInput) else Path(path).open("rb")


def _too_long(where: str) -> SpeechlstmError:
    return SpeechlstmError(f"{where}: a line of more than {MAX_LINE / 1e6:g} MB; is this the right file?")


def _is_binary(begin: bytes) -> bool:
    """Whether a file begins as data do: with control characters at once, which a damaged text has further on only."""
    controls, soon = (len(each) - len(each.translate(None, _CONTROLS)) for each in (begin, begin[:48]))
    return soon > 0 and controls > max(16, len(begin) / 20)


def _in_utf8(file: BinaryIO | io.BufferedReader, path: str | Path) -> Iterator[bytes]:
    """Yield blocks of a file; UTF-16 that begins with its mark becomes UTF-8."""
    block = file.read(_BLOCK)
    if not block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        if _is_binary(block[:4096]):
            raise SpeechlstmError(f"{path}: not text but binary data; is this the right file?")
        while block:
            yield block
            block = file.read(_BLOCK)
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    while block:
        yield decoder.decode(block).encode()
        block = file.read(_BLOCK)
    decoder.decode(b"", True)  # raises where half a letter is left

"""Text files of any origin, line by line: what is no text is named, and the rest is read."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from speechlstm.types import ManifestError

MAX_LINE = 4_000_000  # bytes; ten hours of speech have 600,000 letters


def read_lines(path: str | Path) -> Iterator[tuple[int, str | ManifestError]]:
    """Yield the lines of a text file, counted from 1, or what is wrong with each.

    The encoding is UTF-8, or UTF-16 where the file begins with that mark.

    Raises:
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        if stat.S_ISCHR(Path(path).stat().st_mode):
            raise OSError(0, "a device, but must be a file", str(path))
        start = file.peek(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            try:
                lines: Iterable[bytes] = file.read().decode("utf-16").encode().split(b"\n")
            except UnicodeDecodeError as error:
                lines = ()
                yield 1, ManifestError(f"{path}:1: damaged UTF-16 text ({error.reason})")
        else:
            lines = _lines(file)
        for number, line in enumerate(lines, 1):
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            yield number, _decoded(line, f"{path}:{number}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines, each cut off soon after `MAX_LINE` bytes."""
    while line := file.readline(MAX_LINE + 1):
        rest = line
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
        yield line


def _decoded(line: bytes, where: str) -> str | ManifestError:
    if len(line) > MAX_LINE:
        return ManifestError(f"{where}: a line of more than {MAX_LINE / 1e6:g} MB; is this the right file?")
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{line[error.start]:02x} at {error.start + 1}"
        return ManifestError(f"{where}: not UTF-8 text ({byte}); convert it, as in iconv -f LATIN1 -t UTF-8")
    return ManifestError(f"{where}: not text (it holds a NUL byte)") if "\0" in text else text

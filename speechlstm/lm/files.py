"""Lines of text files, compressed or not, with a progress bar and errors that name the file and line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from tqdm import tqdm

from speechlstm.errors import SpeechlstmError

_GZIP = b"\x1f\x8b"
_STRIDE = 1024  # lines between two looks at the progress


def read_lines(path: str | Path) -> Iterator[bytes]:
    """Yield the lines of a file, its line ends included; gzip is known by its first bytes, not by its name.

    Raises:
        SpeechlstmError: the file cannot be read, or its compressed data is damaged or ends early.
    """
    number = 0
    try:
        with Path(path).open("rb") as raw:
            packed = raw.peek(2)[:2] == _GZIP
            total = Path(path).stat().st_size
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
            with tqdm(
                None, f"reading {Path(path).name}", total, unit="B", unit_scale=True, disable=None
            ) as bar:
                for number, line in enumerate(file, 1):
                    yield line
                    if number % _STRIDE == 0:
                        bar.update(raw.tell() - bar.n)
                bar.update(total - bar.n)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SpeechlstmError(f"{path}:{number + 1}: damaged gzip file: {error}") from None
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

"""Reading the files of a bundle, which must be regular files of a sensible size; nothing here needs torch."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from speechlstm.data.lines import read_value
from speechlstm.types import BundleError

_MOST_TEXT = 1 << 26  # bytes of a JSON file; one with a lexicon of 126,000 words has 2.4 million


@contextlib.contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file, with links followed, and yield it with its size.

    Raises:
        BundleError: it is missing, cannot be read, is a device, a FIFO, a folder, all holes, or too large.
    """
    try:
        # without waiting for the other end of a FIFO
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: damaged: not a regular file")
            if most is not None and status.st_size > most:
                raise BundleError(
                    f"{path}: damaged: {status.st_size} bytes, more than the {most} it may have"
                )
            if _is_hollow(handle, status):
                raise BundleError(f"{path}: damaged: most of its {status.st_size} bytes were never written")
            yield file, status.st_size
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; the bundle is incomplete") from None
    except OSError as error:
        raise BundleError(f"{path}: damaged: {error.strerror}") from None


def read_file(path: Path, most: int | None = None) -> bytes:
    """Read a whole file.

    Raises:
        BundleError: as `opened`.
    """
    with opened(path, most) as (file, size):
        return file.read(size)


def _is_hollow(handle: int, status: os.stat_result) -> bool:
    """Return whether a file is mostly holes, and so takes memory that nobody had to store."""
    blocks = getattr(status, "st_blocks", None)
    if blocks is None or status.st_size < 1 << 20 or blocks * 512 >= status.st_size // 2:
        return False
    hole = os.lseek(handle, 0, os.SEEK_HOLE)  # file systems that know nothing of holes give the end
    os.lseek(handle, 0, os.SEEK_SET)
    return hole < status.st_size


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BundleError: as `opened`, or it is no JSON.
    """
    content = read_file(path, _MOST_TEXT)
    try:
        return read_value(content.decode("utf-8-sig"))
    except ValueError as error:
        raise BundleError(f"{path}: damaged: {error}") from None

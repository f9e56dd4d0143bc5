"""Audio that comes through a pipe: readers move about in a file, so it is copied to one first."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from speechlstm.types import AudioError, UsageError

_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_LOCKS: weakref.WeakValueDictionary[int, threading.Lock] = weakref.WeakValueDictionary()  # of files by id()
_LOCKING = threading.Lock()
_OPEN_FILE = re.compile(r"/(dev|proc/self)/fd/\d+")  # as shells write it for <(...)


class Piped(str):
    """The path of a copy of what came through a pipe, on the temporary disk until this process ends, however it ends.

    Attributes:
        called: what messages and transcripts call it.
        copy: the open file.
    """

    called: str
    copy: IO[bytes]

    def __new__(cls, given: str, file: Any = None) -> Piped:
        """Copy a pipe up to its end.

        Args:
            given: `-` for the standard input, or the path of a pipe.
            file: the pipe, if it is open already; `given` is then only what it is called.

        Raises:
            UsageError: the standard input is a terminal.
            AudioError: the pipe cannot be read, or the copy has no room.
        """
        standard = file is None and is_stdin(given)
        called = "stdin" if standard else given
        if standard and os.isatty(0):
            raise UsageError(
                f"{given}: the standard input is a terminal; pipe audio into the command, "
                "such as that of ffmpeg -i talk.mp4 -f wav -"
            )
        linux = Path("/proc/self/fd").is_dir()  # there a file needs no name, so that no kill leaves it behind
        try:
            copy = tempfile.TemporaryFile() if linux else tempfile.NamedTemporaryFile()  # noqa: SIM115  as long as the path
            with _opened(given, standard) if file is None else reading(file, given) as pipe:
                shutil.copyfileobj(pipe, copy, 1 << 20)
            copy.flush()
        except OSError as error:
            raise AudioError(f"{called}: cannot be read ({error.strerror})") from None
        path = super().__new__(cls, f"/proc/self/fd/{copy.fileno()}" if linux else copy.name)
        path.called, path.copy = called, copy
        return path


def _opened(given: str, standard: bool) -> IO[bytes]:
    return open(0, "rb", closefd=False) if standard else Path(given).open("rb")


def goes_back(file: Any) -> bool:
    """Return whether an open file can be read again from where it stands."""
    return bool(hasattr(file, "seekable") and file.seekable())


@contextlib.contextmanager
def reading(file: Any, called: str) -> Iterator[Any]:
    """Yield an open file that can be read, to one thread at a time, and name it in what is raised while it is.

    Raises:
        UsageError: it is closed, or not open for reading bytes.
        AudioError: reading it fails.
    """
    with _LOCKING:
        lock = _LOCKS.setdefault(id(file), threading.Lock())
    try:
        with lock:  # several parts of it may be wanted at once, and it stands at one place only
            if getattr(file, "closed", False):
                raise UsageError(f"{called}: the file is closed; open it in binary mode, 'rb'")
            if (hasattr(file, "readable") and not file.readable()) or not isinstance(file.read(0), bytes):
                raise UsageError(f"{called}: open it in binary mode, 'rb'")
            yield file
    except (UsageError, AudioError):
        raise
    except Exception as error:  # whatever a file that is none of Python's own may raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AudioError(f"{called}: cannot be read ({reason})") from error


def is_stdin(given: str) -> bool:
    """Whether a name on the command line is the standard input."""
    return given in _STANDARD_INPUT


def is_pipe(given: str) -> bool:
    """Whether a name on the command line is the standard input, or a pipe that the shell has opened."""
    if is_stdin(given):
        return True
    try:
        return bool(_OPEN_FILE.fullmatch(given)) and stat.S_ISFIFO(Path(given).stat().st_mode)
    except OSError:
        return False

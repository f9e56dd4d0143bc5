"""Audio that comes through a pipe: readers move about in a file, so it is copied to one first."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO

from speechlstm.types import AudioError, UsageError

_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_OPEN_FILE = re.compile(r"/(dev|proc/self)/fd/\d+")  # as shells write it for <(...)


class Piped(str):
    """The path of a copy of what came through a pipe, on the temporary disk until this process ends, however it ends.

    Attributes:
        called: what messages and transcripts call it.
        copy: the open file.
    """

    called: str
    copy: IO[bytes]

    def __new__(cls, given: str) -> Piped:
        """Copy a pipe up to its end.

        Args:
            given: `-` for the standard input, or the path of a pipe.

        Raises:
            UsageError: the standard input is a terminal.
            AudioError: the pipe cannot be read, or the copy has no room.
        """
        standard = given in _STANDARD_INPUT
        called = "stdin" if standard else given
        if standard and os.isatty(0):
            raise UsageError(
                f"{given}: the standard input is a terminal; pipe audio into the command: "
                f"ffmpeg -i talk.mp4 -f wav - | speechlstm transcribe {given}"
            )
        linux = Path("/proc/self/fd").is_dir()  # there a file needs no name, so that no kill leaves it behind
        try:
            copy = tempfile.TemporaryFile() if linux else tempfile.NamedTemporaryFile()  # noqa: SIM115  as long as the path
            with open(0, "rb", closefd=False) if standard else Path(given).open("rb") as pipe:
                shutil.copyfileobj(pipe, copy, 1 << 20)
            copy.flush()
        except OSError as error:
            raise AudioError(f"{called}: cannot be read ({error.strerror})") from None
        path = super().__new__(cls, f"/proc/self/fd/{copy.fileno()}" if linux else copy.name)
        path.called, path.copy = called, copy
        return path


def is_pipe(given: str) -> bool:
    """Whether a name on the command line is the standard input, or a pipe that the shell has opened."""
    if given in _STANDARD_INPUT:
        return True
    try:
        return bool(_OPEN_FILE.fullmatch(given)) and stat.S_ISFIFO(Path(given).stat().st_mode)
    except OSError:
        return False

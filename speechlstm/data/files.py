"""Files of this program's own: written whole or not at all, one writer a folder, and where caches lie."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from speechlstm.types import SpeechlstmError


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a file beside its target and move it there, so that a reader never sees half of it.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; the old file is then unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk does not say which file, and nobody knows the temporary one
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, until the block or the process ends, however it ends.

    The lock is the kernel's, on the file `.lock`: one that a killed process left behind locks nothing. `.holder` only
    says who holds it.

    Raises:
        SpeechlstmError: another process holds the folder.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise SpeechlstmError(f"{folder}: {_holder(folder)}; wait, stop it, or use another out=") from None
    with lock:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        write_atomically(folder / ".holder", json.dumps(holder) + "\n")
        yield


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / ".holder").read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} has been writing here since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # caught between taking the lock and signing
        return "another process writes here"


def user_cache() -> Path:
    """Return the folder for what can be computed again: `SPEECHLSTM_CACHE`, else the system's place for caches."""
    own = os.environ.get("SPEECHLSTM_CACHE")
    return Path(own).expanduser() if own else user_cache_path("speechlstm")

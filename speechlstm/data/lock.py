"""One writer per folder: a second training into the same folder is refused, and told who is there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from speechlstm.types import SpeechlstmError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, until the block or the process ends, however it ends.

    The lock is the kernel's, on the file `.lock`, whose content only says who holds it: a file that a killed process
    left behind locks nothing. It holds between the machines of a network file system, too.

    Raises:
        SpeechlstmError: another process holds the folder.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            # A record lock belongs to the process alone. One by flock() would live on in forked loader processes.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            raise SpeechlstmError(
                f"{folder}: {_holder(file.read())}; wait, stop it, or use another out="
            ) from None
        except OSError as error:
            print(
                f"{folder}: this file system has no locks ({error.strerror}); "
                "make sure that no other training writes here",
                file=sys.stderr,
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}) + "\n")
        file.flush()
        yield


def _holder(content: str) -> str:
    try:
        holder = json.loads(content)
        return f"process {holder['pid']} on {holder['host']} has been training here since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # caught between taking the lock and signing
        return "another process trains here"

"""Command lines in forks of a process that has imported everything: a start costs milliseconds, not seconds."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("warm_process.py")


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit status, and what it printed to files."""

    status: int
    out: str
    err: str


class Server:
    """Runs command lines in forks of one process.

    Args:
        commands: whose modules are imported before; without any the process has imported nothing, as at a first start.
        environment: of the process, beside this one's.
    """

    def __init__(self, *commands: str, **environment: str) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(theirs.fileno()), *commands],
                env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
                pass_fds=[theirs.fileno()],
            )

    def ask(self, request: dict[str, Any], *files: int) -> int:
        """Return the number of the process that a request has made, to which the files are passed."""
        socket.send_fds(self.socket, [json.dumps(request).encode()], files)
        return self.answer()

    def answer(self) -> int:
        """Return the number that the process says next."""
        return int(self.socket.recv(100))

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Do what `subprocess.Popen` does with the same options, for `python ARGUMENTS`.

        Args:
            *arguments: of Python: -m speechlstm or -c and a program, and what follows.
            **options: working folder, environment, standard streams and session; others are not for this.
        """
        return _Forked(self, [sys.executable, *arguments], text=True, **options)

    def run(
        self,
        folder: Path,
        *arguments: str,
        out: str = "file",
        err: str = "file",
        stdin: bytes | str | None = None,
        encoding: str = "utf-8",
        environment: dict[str, str | None] | None = None,
        meanwhile: Callable[[int], None] | None = None,
    ) -> Ended:
        """Run `speechlstm ARGUMENTS` in a folder.

        Args:
            folder: to work in; what is printed goes to files beside it.
            *arguments: of the command line.
            out: what the standard output is: file, full, closed, or gone, a pipe that nobody reads.
            err: the same of the standard error stream.
            stdin: what a pipe holds that is the standard input, or the path of a device; None is an empty one.
            encoding: of both.
            environment: variables to set, or None to remove.
            meanwhile: called with the process's number while it runs.
        """
        pipe = folder.with_name(f"{folder.name}.in")
        if isinstance(stdin, bytes):
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe)
        files = {name: folder.with_name(f"{folder.name}.{name}") for name in ("out", "err")}
        request = {
            "arguments": arguments,
            "folder": str(folder),
            "encoding": encoding,
            "out": out,
            "err": err,
            "in": os.devnull if stdin is None else stdin if isinstance(stdin, str) else str(pipe),
        }
        request |= {
            "files": {name: str(path) for name, path in files.items()},
            "environment": environment or {},
        }
        for path in files.values():
            path.write_text("")
        pid = self.ask(request)
        if isinstance(stdin, bytes):
            with contextlib.suppress(BrokenPipeError), pipe.open("wb") as file:
                file.write(stdin)
        if meanwhile:
            meanwhile(pid)
        status = self.answer()
        return Ended(status, *(path.read_text(encoding) for path in files.values()))

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.socket.close()


def start_python(warm: Server | None, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `python ARGUMENTS` as a person does, or warm; its output goes to pipes, unless others are given."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    if warm:
        return warm.start(*arguments, **options)
    return subprocess.Popen([sys.executable, *arguments], text=True, **options)


class _Forked(subprocess.Popen[str]):
    """A child of this process that another one has forked."""

    def __init__(self, server: Server, command: list[str], **options: Any) -> None:
        self._server = server
        super().__init__(command, **options)

    def _execute_child(self, command: list[str], *given: Any) -> None:
        if sys.platform != "linux":  # where no process can adopt another's child
            super()._execute_child(command, *given)  # type: ignore[misc]
            return
        folder, environment, pipes, session = given[4], given[5], given[9:15], given[20]
        request = {
            "python": command[1:],
            "folder": str(folder or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
            "session": session,
        }
        files = (
            pipes[number] if pipes[number] >= 0 else standard for standard, number in enumerate((0, 3, 5))
        )
        adopt = partial(ctypes.CDLL(None).prctl, 36)  # PR_SET_CHILD_SUBREAPER
        adopt(1)
        self.pid = self._server.ask(request, *files)
        adopt(0)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def after(seconds: float, number: int = signal.SIGINT) -> Callable[[int], None]:
    """Return what sends a signal after some time, to a process that may have ended."""

    def send(pid: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    return send

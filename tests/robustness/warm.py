"""A process that has imported everything and forks for each command line: a start costs milliseconds, not seconds.

Run as a program it reads requests, one JSON object a line, and answers each with the process's number and, when that
has ended, its exit status.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

HEAVY = (
    "pytorch_lightning",
    "numba",
    "hydra.main",
    "omegaconf",
    "soundfile",
    "av",
    "speechlstm.cli.{command}",
    "speechlstm.decoders.greedy",
    "speechlstm.decoders.beam.decoder",
)


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
        self.process = subprocess.Popen(
            [sys.executable, __file__, *commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )

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
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if isinstance(stdin, bytes):
            with contextlib.suppress(BrokenPipeError), pipe.open("wb") as file:
                file.write(stdin)
        if meanwhile:
            meanwhile(pid)
        status = int(self.process.stdout.readline())
        return Ended(status, *(path.read_text(encoding) for path in files.values()))

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def after(seconds: float, number: int = signal.SIGINT) -> Callable[[int], None]:
    """Return what sends a signal after some time, to a process that may have ended."""

    def send(pid: int) -> None:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    return send


def _serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        begun, begins = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(begins, b".")
            _become(request)
        os.read(begun, 1)  # until then, Python forgets a signal that it gets
        os.close(begun)
        os.close(begins)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _begin(commands: list[str]) -> None:
    """Do what takes long only the first time: half of what a fork would take."""
    import numba

    from speechlstm import configs

    for command in commands:
        configs.load(command)
    numba.njit(lambda: 0)()  # it imports what compiled functions need when the first is called


def _become(request: dict[str, Any]) -> NoReturn:
    """Be a new process of the program, as far as it can see."""
    os.chdir(request["folder"])
    for name, value in request["environment"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.dup2(os.open(request["in"], os.O_RDONLY), 0)
    sys.stdin = open(0)  # noqa: SIM115
    for number, name in ((1, "out"), (2, "err")):
        stream = _stream(number, request[name], request["files"][name], request["encoding"])
        setattr(sys, f"std{name}", stream)
        setattr(sys, f"__std{name}__", stream)
    os.closerange(3, 64)
    sys.argv = ["speechlstm", *request["arguments"]]
    try:
        from speechlstm.__main__ import main

        main()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)


def _stream(number: int, kind: str, file: str, encoding: str) -> io.TextIOWrapper | None:
    if kind == "closed":
        os.close(number)
        return None
    if kind == "gone":
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, number)
        os.close(writer)
    else:
        opened = os.open("/dev/full" if kind == "full" else file, os.O_WRONLY | os.O_TRUNC)
        os.dup2(opened, number)
        if opened != number:  # or it would take the place of a closed stream
            os.close(opened)
    return io.TextIOWrapper(os.fdopen(number, "wb"), encoding, line_buffering=number == 2)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # until the program's own handlers
        signal.signal(number, lambda number, _: os._exit(128 + number))
    for module in HEAVY if sys.argv[1:] else ():
        for command in sys.argv[1:]:
            __import__(module.format(command=command))
    if sys.argv[1:]:
        _begin(sys.argv[1:])
    _serve()

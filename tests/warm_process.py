"""The process of `warm.py`, which has imported everything and forks for each command line.

It reads requests, JSON objects, from a socket, and answers each with the process's number and, unless that becomes a
child of who asked, with its exit status when it has ended.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from types import ModuleType
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
SERVER = ("uvicorn", "speechlstm.transcription.server.app")  # which may not be installed
LARGEST = 1 << 17  # bytes of a request


def _serve(asked: socket.socket) -> None:
    while True:
        content, files, *_ = socket.recv_fds(asked, LARGEST, 3)
        if not content:
            return
        request = json.loads(content)
        begun, begins = os.pipe()
        if "python" in request:
            _give(request, files, (begun, begins))
            pid = int(os.read(begun, 100))
        else:
            pid = os.fork()
            if not pid:
                os.write(begins, b".")
                _become(request)
            os.read(begun, 1)  # until then, Python forgets a signal that it gets
        for file in (*files, begun, begins):
            os.close(file)
        asked.send(str(pid).encode())
        if "python" not in request:
            asked.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _give(request: dict[str, Any], files: list[int], pipe: tuple[int, int]) -> None:
    """Make a process which the one that asks for it then adopts, since its parent has ended."""
    parent = os.fork()
    if parent:
        os.waitpid(parent, 0)
        return
    own = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == own:
        time.sleep(0.001)
    for number, file in enumerate(files):
        os.dup2(file, number)
    if request["session"]:
        os.setsid()
    os.write(pipe[1], str(os.getpid()).encode())
    os.closerange(3, 64)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _run_python(request)


def _run_python(request: dict[str, Any]) -> NoReturn:
    """Be `python` with these arguments, and end as it would."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = ["", *(path for path in paths if path and path not in sys.path)]
    importlib.invalidate_caches()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    kind, what, *arguments = request["python"]
    if kind == "-c":
        sys.argv = ["-c", *arguments]
        sys.modules["__main__"] = program = ModuleType("__main__")
        _run(lambda: exec(what, vars(program)))
    sys.modules["__main__"] = program = importlib.import_module(f"{what}.__main__")
    sys.argv = [str(program.__file__), *arguments]
    _run(program.main)


def _begin(commands: list[str]) -> None:
    """Do what takes long only the first time: half of what a fork would take."""
    import numba

    from speechlstm import configs

    for command in commands:
        configs.load(command)
        if command == "serve":
            with contextlib.suppress(ImportError):
                for module in SERVER:
                    importlib.import_module(module)
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
    from speechlstm.__main__ import main

    _run(main)


def _run(program: Callable[[], object]) -> NoReturn:
    """End as Python does after a program, but for what belongs to threads that a fork has not."""
    try:
        program()
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
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
    for module in HEAVY if sys.argv[2:] else ():
        for command in sys.argv[2:]:
            __import__(module.format(command=command))
    if sys.argv[2:]:
        _begin(sys.argv[2:])
    _serve(socket.socket(fileno=int(sys.argv[1])))

"""The surroundings of the program: standard streams that may be closed, full, or unread, signals, and a parent."""

from __future__ import annotations

import codecs
import errno
import faulthandler
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

from speechlstm.types import SOME_FAILED

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last when a terminal is closed
GRACE = 10.0  # seconds for what is open to be put in order after a signal
_ESCAPED = "speechlstm.escaped"  # what streams do with letters that their encoding lacks
_PARENT = "SPEECHLSTM_PARENT"  # process that this one must not outlive

LONGEST = 2_000  # characters of a line for people; whole texts are in JSON
_CONTROLS = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]"
)  # end a line, or reorder what is in it

_results: TextIO | None = None  # where data goes while messages do not
_input_failed = False
_status = 0  # that a signal has asked for: 130, 143, or 129


class Output(io.TextIOWrapper):
    r"""A standard stream whose failure loses what is printed and nothing else.

    Letters that its encoding lacks are written as `\u....`.

    Attributes:
        needed: whether what is printed is the command's result, so that a reader who goes away ends the work.
        problem: what went wrong, if anything has.
    """

    needed = False
    problem: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or nothing once the stream has failed."""
        try:
            return super().write(text)
        except OSError as error:
            return self._give_up(error, len(text))

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._give_up(error, 0)

    def _give_up(self, error: OSError, count: int) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # takes what is in the buffer, and all that follows
        os.close(nowhere)
        self.problem = error
        if self.needed and error.errno == errno.EPIPE:
            raise BrokenPipeError
        return count


def open_streams() -> None:
    """Make the standard streams usable, whatever they are; one that is closed would be replaced by the next file."""
    codecs.register_error(_ESCAPED, _escaped)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(nowhere := os.open(os.devnull, os.O_RDWR), number)
            if nowhere != number:
                os.close(nowhere)
        stream: Any = getattr(sys, name)
        if name == "stdin":
            sys.stdin = stream or open(number, closefd=False)  # noqa: SIM115  for as long as the process runs
        elif stream is None or type(stream) is io.TextIOWrapper:
            encoding = stream.encoding if stream else "utf-8"
            buffer = stream.detach() if stream else os.fdopen(number, "wb")
            lines = name == "stderr" or os.isatty(number)
            made = Output(buffer, encoding, _ESCAPED, line_buffering=lines)
            setattr(sys, name, made)
            setattr(sys, f"__{name}__", made)
    if isinstance(sys.stdout, Output):
        sys.stdout.needed = True  # of help, and of a command until its settings are known


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""Return letters that an encoding lacks as `\u....`, those of a file name's bytes as what they are in UTF-8."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    with suppress(UnicodeError):
        text = text.encode("utf-8", "surrogateescape").decode()
    return "".join(f"\\u{ord(each):04x}" for each in text), error.end


def printable(text: str, most: int | None = None) -> str:
    r"""Return a text for one line of a table: control characters are written as in Python, such as `\n`.

    Of a text with more than `most` characters, the line says how many there are instead of the rest.
    """
    if most is not None and len(text) > most:
        text = f"{text[:most]}... ({len(text):,} characters)"
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


@contextmanager
def data_on_stdout() -> Iterator[None]:
    """Print on the standard error stream, but for data, which go to `results`."""
    global _results
    _results = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _results = None


def results() -> TextIO:
    """Return the standard output, for data."""
    return _results or sys.stdout


def take_signals() -> None:
    """Let Ctrl-C end the program with 130, SIGTERM with 143, SIGHUP with 129: a first in order, a second at once."""
    handle_signals(_stop)
    sys.unraisablehook = _unraisable


def leave_at_once() -> None:
    """Let these signals end the program immediately: there is nothing to put in order."""
    handle_signals(_leave)


def handle_signals(
    handler: Callable[[int, FrameType | None], object], numbers: Iterable[int] = SIGNALS
) -> None:
    """Install a handler of signals, but not of those that are ignored, as for `nohup`.

    It gets a stack of its own, which `faulthandler` makes: oneDNN's matrix products for AVX-512 point the stack pointer
    at a buffer on the heap, where a signal would overwrite what lies before it ("corrupted size vs. prev_size").
    """
    if not faulthandler.is_enabled():
        faulthandler.enable(2)  # standard error: where a crash is then reported, too
    for number in numbers:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def stopped() -> int:
    """Return the exit status that a signal has asked for, 0 if there was none."""
    return _status


def note_failures(some: bool) -> None:
    """Note whether an input has failed, for a command whose reader goes away."""
    global _input_failed
    _input_failed = some


def status_without_reader() -> int:
    """Return the exit status when the reader of the output has seen enough: 0 unless an input has failed already."""
    return SOME_FAILED if _input_failed else 0


def end(status: int) -> NoReturn:
    """End the program; the status is that of a signal if there was one."""
    leave_at_once()
    out = sys.stdout
    with suppress(BrokenPipeError, ValueError):
        out.flush()
    if isinstance(out, Output) and out.needed and out.problem and out.problem.errno != errno.EPIPE:
        print(f"error: standard output: {out.problem.strerror}", file=sys.stderr)
        status = status or 1
    if _status:
        with suppress(ValueError):
            print(
                "\x1b[?25h" if sys.stderr.isatty() else "", end="", file=sys.stderr, flush=True
            )  # the cursor
        os._exit(_status)  # without waiting for threads that still work
    sys.exit(status)


def child_environment() -> dict[str, str]:
    """Return the environment for a child that is this program, too, and is not to outlive this process."""
    return os.environ | {_PARENT: str(os.getpid())}


def end_with_parent(parent: int | None = None) -> None:
    """Let this process be killed when its parent ends, however that ends.

    Args:
        parent: the process that started this one; None takes it from the environment, where there may be none.
    """
    parent = parent or int(os.environ.pop(_PARENT, 0))
    if not parent:
        return
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    else:
        import threading

        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # ended already
        os._exit(1)


def _follow(parent: int) -> None:
    import time

    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _leave(number: int, frame: FrameType | None = None) -> NoReturn:
    os._exit(128 + number)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    global _status
    if _status:
        os._exit(_status)
    _status = 128 + number
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: os._exit(_status))
        signal.setitimer(signal.ITIMER_REAL, GRACE)
    raise KeyboardInterrupt(_status)


def _unraisable(unraisable: Any) -> None:
    """End the program when an interrupt came where Python must ignore it, as in calls from compilers."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        end(_status)
    sys.__unraisablehook__(unraisable)

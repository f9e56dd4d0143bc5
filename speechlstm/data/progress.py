"""How far a command is: a bar with rate and time left on a terminal, a line now and then in a log.

Both go to the standard error stream: the standard output is for results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from speechlstm.data import console
from speechlstm.data.console import LONGEST, printable
from speechlstm.types import counted

if TYPE_CHECKING:
    from rich.progress import Progress, Task

Item = TypeVar("Item")

LOG_SECONDS = 30.0  # between two lines in a log


class Bar:
    """Counts what is done; one that is not shown counts, too.

    Attributes:
        n: what is done.
        total: what is to be done; None if nobody knows.
        task: what is being done.
        note: figures that are shown beside it.
    """

    def __init__(self, task: str, total: int | None, unit: str, done: int) -> None:
        self.task, self.total, self.unit, self.n, self.note = task, total, unit, done, ""
        self._before, self._begun = done, time.monotonic()
        self._logged = self._begun

    def update(self, n: int = 1) -> None:
        """Count some more as done, and show task and note as they are now."""
        self.n += n
        self._show()

    def _show(self) -> None:
        """Write nothing."""

    def rate(self) -> float:
        """Return what is done in a second."""
        return (self.n - self._before) / max(time.monotonic() - self._begun, 1e-9)


def _pace(rate: float, unit: str) -> str:
    """Return how fast it goes, in a form that says something for slow work, too."""
    return f"{rate:.1f} {unit}" if rate >= 0.1 else f"{1 / rate:.0f} s each"


class _LogBar(Bar):
    """Writes a line after `LOG_SECONDS`, and so on."""

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._logged < LOG_SECONDS or self.n == self._before:
            return
        self._logged = now
        done, left = counted(self.n, self.unit), ""
        if self.total:
            done = f"{self.n:,} of {counted(self.total, self.unit)}"
            left = f", {timedelta(seconds=round((self.total - self.n) / self.rate()))} left"
        note = f"; {self.note}" if self.note else ""
        print(
            f"{self.task}: {done}, {_pace(self.rate(), 'a second')}{left}{note}", file=sys.stderr, flush=True
        )


class _TerminalBar(Bar):
    """Moves a bar of rich."""

    live: Progress | None = None  # what all bars of this process are drawn by

    def __init__(self, task: str, total: int | None, unit: str, done: int, live: Progress) -> None:
        super().__init__(task, total, unit, done)
        self._live, self.number = live, live.add_task(task, total=total, completed=done, unit=unit, note="")

    def _show(self) -> None:
        self._live.update(self.number, completed=self.n, description=self.task, note=self.note)


@contextmanager
def bar(task: str, total: int | None, unit: str = "item", shown: bool = True, done: int = 0) -> Iterator[Bar]:
    """Show a bar while the context lasts.

    Args:
        task: what is being done.
        total: what there is to do; None if nobody knows.
        unit: word for one of it.
        shown: False where another process shows it.
        done: how much of it was done before.
    """
    if not shown:
        yield Bar(task, total, unit, done)
    elif not sys.stderr.isatty():
        yield _LogBar(task, total, unit, done)
    else:
        outer = _TerminalBar.live
        live = outer or _new_live()
        if outer is None:
            live.start()
            _TerminalBar.live = live
        drawn = _TerminalBar(task, total, unit, done, live)
        try:
            yield drawn
        finally:
            live.refresh()  # the last figures: it is drawn ten times a second otherwise
            live.remove_task(drawn.number)
            if outer is None:
                _TerminalBar.live = None
                live.stop()


def track(items: Iterable[Item], task: str, total: int | None = None, unit: str = "item") -> Iterator[Item]:
    """Yield the items, and show how many of them are done; the total is theirs, if they know it."""
    known = len(items) if total is None and isinstance(items, Sized) else total
    with bar(task, known, unit) as shown:
        for item in items:
            yield item
            shown.update()


def warn(name: str, lines: Iterable[str]) -> None:
    """Write on the standard error stream what is wrong with a recording that is used all the same."""
    for line in lines:
        write(f"warning: {printable(name)}: {line}", sys.stderr)


def fail(problem: object) -> None:
    """Write on the standard error stream, on one line, why an input failed."""
    console.note_failures(True)
    write(f"failed: {printable(str(problem), LONGEST)}", sys.stderr)


def write(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Print a line above the bar, if there is one."""
    file = file or sys.stdout
    live = _TerminalBar.live
    if live is not None and file.isatty():  # the terminal that the bar is on
        live.console.print(text, end=end, markup=False, highlight=False, emoji=False, soft_wrap=True)
    else:
        print(text, file=file, end=end, flush=True)


def _new_live() -> Progress:
    from rich.console import Console  # takes a tenth of a second, which only a terminal needs
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_pace(task.speed, f"{task.fields['unit']}/s") if task.speed else "")

    class Note(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(
                task.fields["note"], no_wrap=True, overflow="ellipsis"
            )  # gives way on a narrow terminal

    columns: list[Any] = [
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Rate(Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        Note(),
    ]
    console = Console(stderr=True)
    # Redirected streams would put results on the standard error stream.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)

"""Looking at many inputs before their turn: several at once, and none waits for another that is slow to be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from speechlstm.data.audio import AudioInput
from speechlstm.data.remote import KEPT, is_url
from speechlstm.transcription.jobs import Part
from speechlstm.types import Utterance

Input = AudioInput | Part | Utterance
Given = TypeVar("Given", bound=Input)
Seen = TypeVar("Seen")
Turn = TypeVar("Turn")

_WINDOW = 512  # files at a time: bounds how long results wait for their turn
_FETCHED = KEPT // 2  # inputs at a time where there are URLs: a copy must last until it is read
_SHARED = 4  # the same where processes share the inputs: none is to take many while others have none
_PATIENCE = 2.0  # seconds after which those that are there do not wait for another to be fetched
_THREADS = 2  # that open files
_FETCHERS = 6  # threads that fetch, some of which may stall


def are_remote(inputs: Sequence[Input]) -> bool:
    """Return whether some of the inputs are at URLs."""
    names = (each.audio if isinstance(each, Part) else each for each in inputs)
    return any(isinstance(name, str) and is_url(name) for name in names)


def finders(inputs: Sequence[Input]) -> ThreadPoolExecutor:
    """Return the threads for `found`; nobody is to wait for them at the end, which a server may keep for long."""
    return ThreadPoolExecutor(_FETCHERS if are_remote(inputs) else _THREADS, "finder")


def found(
    inputs: Sequence[Given],
    look: Callable[[int, Given], Seen],
    threads: ThreadPoolExecutor,
    claim: Callable[[], int] | None = None,
) -> Iterator[list[tuple[int, Seen]]]:
    """Yield what a function tells of each input with its number, some at a time.

    Files come in windows of a fixed size, in order. Where there are URLs, inputs come as they are fetched, and no list
    waits for the rest for more than `_PATIENCE` seconds; it may be empty then.

    Args:
        inputs: to look at.
        look: the function, which gets the number of an input, too.
        threads: by `finders`.
        claim: returns the number of the input to look at next, each number to one process; None looks at all.
    """
    remote = are_remote(inputs)
    most = (_SHARED if claim else _FETCHED) if remote else _WINDOW
    numbers = iter(range(len(inputs)))
    turns = claimed(numbers, claim) if claim else numbers
    waiting: dict[Future[Seen], int] = {}
    while True:
        fresh = {
            threads.submit(look, index, inputs[index]): index for index in islice(turns, most - len(waiting))
        }
        waiting |= fresh
        if not waiting:
            return
        wait(fresh or waiting, _PATIENCE if remote else None)
        done = {job: index for job, index in waiting.items() if job.done()}
        waiting = {job: index for job, index in waiting.items() if job not in done}
        yield [(index, job.result()) for job, index in done.items()]


def claimed(turns: Iterator[Turn], claim: Callable[[], int]) -> Iterator[Turn]:
    """Yield those of a sequence that this process claims."""
    last = -1  # until here all have been claimed, by any process
    for number, turn in enumerate(turns):
        if number > last:
            last = claim()
        if number == last:
            yield turn

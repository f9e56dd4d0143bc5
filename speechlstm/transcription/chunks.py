"""Recordings dealt out to workers in chunks, which suit how long they take, and again when a worker has died."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

MOST_DEATHS = 3  # of actors over one recording, before it counts as failed
_FIRST = 8  # recordings an actor gets at once, until it is known how long they take
_LEAST, _MOST = 32, 512  # the same later: among more of them, batches find more of about the same length
_TURN = 10.0  # seconds that an actor is to work before its results come back


@dataclass(frozen=True, slots=True)
class Chunk:
    """Recordings that go to an actor together, by their numbers, and how many actors died over them."""

    numbers: range
    deaths: int = 0

    def again(self) -> list[Chunk]:
        """Return what to do after a death: small chunks, then single recordings, so that one spares the others."""
        deaths, count = self.deaths + 1, len(self.numbers)
        size = math.isqrt(count) if deaths < MOST_DEATHS - 1 else 1
        return [Chunk(self.numbers[start : start + size], deaths) for start in range(0, count, size)]


class Waiting:
    """The recordings that wait, of so many, for so many actors."""

    def __init__(self, count: int, actors: int) -> None:
        self._left, self._again = range(count), deque[Chunk]()
        self._size, self._actors = _FIRST, actors
        self._least = max(1, min(_LEAST, count // (4 * actors)))

    def __len__(self) -> int:
        return len(self._left) + len(self._again)

    def take(self) -> Chunk:
        """Return the next chunk; chunks shrink towards the end, so that all actors end at about the same time."""
        if not self._left:
            return self._again.popleft()
        size = min(self._size, max(self._least, len(self._left) // (2 * self._actors)))
        chunk, self._left = Chunk(self._left[:size]), self._left[size:]
        return chunk

    def took(self, count: int, seconds: float) -> None:
        """Learn how long an actor needed for so many recordings."""
        self._size = max(1, min(_MOST, int(count * _TURN / max(seconds, 1e-3))))

    def put_back(self, chunk: Chunk) -> None:
        """Take back what an actor died over, to be done after the others."""
        self._again.extend(chunk.again())

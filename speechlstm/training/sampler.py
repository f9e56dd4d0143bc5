"""Batches of similar length, in an order determined by seed and epoch, spread evenly over any number of devices."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from torch.utils.data import Sampler

from speechlstm.training.augment import SpeedPerturb
from speechlstm.types import UsageError, counted

Key = tuple[int, float, int]  # utterance number, speed to play it at, seed of the changes of its waveform


class BucketSampler(Sampler[list[Key]]):
    """Batches of similar length whose padded audio stays below a bound, in an order of its own each epoch.

    Every epoch draws the speed of each utterance and the seed of what else is done to it, sorts the utterances by
    the length that results, give or take `JITTER`, so that a batch seldom holds the same neighbors twice, cuts them
    at the same places, and shuffles the batches. So all epochs have equally many batches, and everything follows
    from `seed` and the epoch.

    Several devices get equally many batches: where the number does not come out even, the largest batches are cut in
    two, and no utterance is repeated or left out. The devices' batches of one step are neighbors in length, so that
    none waits long for another. `batch_seconds` bounds `utterances x longest`, even when all are played at their
    slowest; `position` returns the current epoch and how many of its batches are done.

    Raises:
        UsageError: an utterance is longer than `batch_seconds`, or the utterances cannot be shared among the ranks.
    """

    JITTER = 0.02  # random part of the length that is sorted by

    def __init__(
        self,
        durations: Sequence[float],
        batch_seconds: float,
        shuffle: bool = False,
        speed: SpeedPerturb | None = None,
        seed: int = 0,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
        ranks: int = 1,
        rank: int = 0,
    ) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.shuffle, self.speed, self.seed, self.position = shuffle, speed, seed, position
        self.ranks, self.rank = ranks, rank
        self.jitter = self.JITTER if shuffle else 0.0
        slowest = self.durations / (speed.low if speed else 1.0)
        if slowest.max(initial=0.0) > batch_seconds:
            # Only the training part, which is shuffled, is selected by length.
            without = "lower data.max_seconds to train without it" if shuffle else "take it out of data.dev"
            raise UsageError(
                f"data.batch_seconds is {batch_seconds:g}, but the longest utterance has "
                f"{slowest.max():.1f} s; raise data.batch_seconds, or {without}"
            )
        # Where batches begin, after the first.
        self.cuts = self._shared(self._cut(np.sort(slowest), batch_seconds))

    def _cut(self, slowest: np.ndarray, batch_seconds: float) -> list[int]:
        # How much longer than the utterance of a place in the sorted order the one can be that comes to stand there.
        growth = (1 + self.jitter) / (1 - self.jitter)
        cuts: list[int] = []
        start = 0
        for place, duration in enumerate(slowest):
            if duration * growth * (place + 1 - start) > batch_seconds and place > start:
                cuts.append(place)
                start = place
        return cuts

    def _shared(self, cuts: list[int]) -> list[int]:
        """Cut batches in two, those of most utterances first, until the ranks get equally many."""
        edges = [0, *cuts, len(self.durations)]
        while (len(edges) - 1) % self.ranks:
            sizes = np.diff(edges)
            largest = int(sizes.argmax())
            if sizes[largest] < 2:
                raise UsageError(
                    f"{counted(len(self.durations), 'utterance')} cannot be shared evenly among {self.ranks} "
                    "devices; use fewer devices (trainer.devices)"
                )
            edges.insert(largest + 1, edges[largest] + int(sizes[largest]) // 2)
        return edges[1:-1]

    def batches(self, epoch: int) -> list[list[Key]]:
        """Return this rank's batches of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        count = len(self.durations)
        speeds = self.speed.draw(count, rng) if self.speed else np.ones(count)
        order = np.argsort(self.durations / speeds * rng.uniform(1 - self.jitter, 1 + self.jitter, count))
        seeds = rng.spawn(1)[0].integers(2**32, size=count)
        keys = [(int(i), float(speeds[i]), int(seeds[i])) for i in order]
        edges = [0, *self.cuts, count]
        batches = [keys[start:end] for start, end in pairwise(edges)]
        steps = [batches[i : i + self.ranks] for i in range(0, len(batches), self.ranks)]
        if self.shuffle:
            steps = [steps[i] for i in rng.permutation(len(steps))]
        return [step[self.rank] for step in steps]

    def fingerprint(self) -> int:
        """Return a number that changes with anything on which an epoch's batches depend."""
        speed = (self.speed.low, self.speed.high) if self.speed else (1.0, 1.0)
        settings = np.asarray([self.seed, self.ranks, *speed, *self.cuts], dtype=np.float64)
        return zlib.crc32(settings.tobytes(), zlib.crc32(self.durations.tobytes()))

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, done = self.position()
        return iter(self.batches(epoch)[done:])

    def __len__(self) -> int:
        return (len(self.cuts) + 1) // self.ranks

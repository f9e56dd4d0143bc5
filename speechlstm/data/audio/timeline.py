"""Decoded sound, laid where its time stamps say: gaps become silence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio.losses import Losses

JITTER = 0.035  # seconds that time stamps may be off: they are rounded, and clocks of recorders drift
_MAX_SILENCE = 3600.0  # seconds of silence for all gaps: time stamps may say anything, memory has an end
_PIECE = 1 << 16  # samples of silence at a time


class Timeline:
    """Places one decoded frame after the other.

    Args:
        begin: seconds; nothing before it is returned.
        losses: learns of gaps.
        first: where sound may begin, in seconds; None: where the first frame lies, as after seeking.
        complete: sound that begins later has lost its beginning.
    """

    def __init__(self, begin: float, losses: Losses, first: float | None, complete: bool) -> None:
        self.begin, self.losses, self.complete = begin, losses, complete
        self.end = first  # of what has been placed
        self.gap = 0.0  # seconds known to be missing before the next frame without a time stamp
        self.shift = 0.0  # seconds from time stamps to places: clocks may start anew
        self.started, self._silence = False, _MAX_SILENCE

    def place(
        self, data: NDArray[np.float32], rate: int, time: float | None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield what comes next: silence up to the frame, if it lies later, and the frame.

        Args:
            data: `(samples, channels)`.
            rate: Hz.
            time: seconds at which it lies by its time stamp; None: after the one before.
        """
        if self.end is None:
            self.end = self.begin if time is None else min(time, self.begin)
        late = self.gap if time is None else time + self.shift - self.end
        self.gap = 0.0
        if not self.started and late < 0:
            data = data[round(-late * rate) :]  # the decoder's run-up
        elif late > (JITTER if self.started else 0.01):
            if self.started or self.complete:
                self.losses.add(self.end, late)
            if late <= self._silence:
                self._silence -= late
                yield from self._quiet(round(late * rate), data.shape[1], rate)
            else:
                self.shift -= late
        elif late < -JITTER:
            self.shift -= late
        self.started = True
        yield from self._wanted(data, rate)

    def _quiet(self, samples: int, channels: int, rate: int) -> Iterator[NDArray[np.float32]]:
        zero = np.zeros((1, 1), np.float32)
        for start in range(0, samples, _PIECE):
            yield from self._wanted(np.broadcast_to(zero, (min(_PIECE, samples - start), channels)), rate)

    def _wanted(self, data: NDArray[np.float32], rate: int) -> Iterator[NDArray[np.float32]]:
        assert self.end is not None
        early = round((self.begin - self.end) * rate)
        self.end += len(data) / rate
        if early < len(data):
            yield data[max(0, early) :]

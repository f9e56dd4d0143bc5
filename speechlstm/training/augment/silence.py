"""Pauses around the speech and within it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechlstm.training.augment.waveform import Change, Samples, span

_BLOCK = 0.02  # seconds over which the level is measured


class Silence(Change):
    """Puts pauses before, after and into an utterance: digital zeros, or noise as loud as its quietest parts.

    A recognizer that has never been given a pause spells something in it, or loses the words around it. A pause within
    the utterance goes where it is quietest, which splits no word.

    Args:
        sample_rate: Hz of the waveforms.
        seconds: least and greatest length of a pause.
        inside: probability of a pause within the utterance, where there is any.
        probability: of pauses at all; each end then has one with a probability of two thirds.
    """

    def __init__(
        self,
        sample_rate: int,
        seconds: Sequence[float] = (0.1, 3.0),
        inside: float = 0.3,
        probability: float = 0.3,
    ) -> None:
        super().__init__(probability)
        self.sample_rate, self.seconds, self.inside = (
            sample_rate,
            span("silence.seconds", seconds, 0, 60),
            inside,
        )

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform with its pauses, longer than before."""
        before, after = (
            self._pause(waveform, rng) if rng.random() < 2 / 3 else waveform[:0] for _ in range(2)
        )
        parts = [before, waveform, after]
        if rng.random() < self.inside:
            cut = self._quietest(waveform)
            parts[1:2] = [waveform[:cut], self._pause(waveform, rng), waveform[cut:]]
        return np.concatenate(parts)

    def _pause(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        count = round(rng.uniform(*self.seconds) * self.sample_rate)
        if rng.random() < 0.5:
            return np.zeros(count, dtype=np.float32)
        level = np.quantile(self._levels(waveform), 0.1).astype(np.float32)
        return rng.standard_normal(count, dtype=np.float32) * level

    def _levels(self, waveform: Samples) -> Samples:
        """Return the root mean square of each block."""
        block = min(round(_BLOCK * self.sample_rate), len(waveform))
        blocks = waveform[: len(waveform) // block * block].reshape(-1, block)
        levels: Samples = np.sqrt(np.square(blocks).mean(axis=1))
        return levels

    def _quietest(self, waveform: Samples) -> int:
        levels = self._levels(waveform)
        return int((levels.argmin() + 0.5) * (len(waveform) // len(levels)))

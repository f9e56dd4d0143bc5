"""Speed perturbation by resampling, which also changes the pitch."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.types import UsageError


class SpeedPerturb:
    """Draws how much faster or slower each utterance of an epoch is played, which changes its tempo and its pitch.

    Ko, Peddinti, Povey and Khudanpur: Audio augmentation for speech recognition, Interspeech 2015. The batch sampler
    draws, so that it sorts utterances by the lengths they will have; the loaders apply `at_speed`. Factors are drawn
    evenly; one above 1 is faster, so shorter.
    """

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        if low > high:
            raise UsageError(f"augment.speed is from {low} to {high}: low must not be above high")
        self.low, self.high = low, high

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return `(count,)` factors drawn from `rng`."""
        return rng.uniform(self.low, self.high, count)


def at_speed(waveform: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return `(samples / factor,)`, the waveform played that much faster; 1 returns the waveform itself."""
    if factor == 1.0 or round(len(waveform) / factor) < 1:
        return waveform
    changed: NDArray[np.float32] = soxr.resample(waveform, factor, 1.0, quality="HQ")
    return changed

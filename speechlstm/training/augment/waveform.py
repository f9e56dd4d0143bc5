"""The base of all random changes of a waveform."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Span = tuple[float, float]  # least and greatest value


class Change(ABC):
    """A random change of waveforms."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return `(samples,)`, changed or not; the same `rng` gives the same."""
        if len(waveform) == 0 or rng.random() >= self.probability:
            return waveform
        return self.apply(waveform, rng).astype(np.float32, copy=False)

    @abstractmethod
    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return a changed copy of at least one sample."""


def rms(waveform: Samples) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))

"""How fast an utterance is played: resampled, which changes its pitch, or stretched, which does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.types import UsageError

_WINDOW = 0.025  # seconds that are overlapped and added; a few periods of the voice
_SEARCH = 0.01  # seconds by which a window may be moved to fit the one before: the longest period of a voice


class SpeedPerturb:
    """Draws how much faster or slower each utterance of an epoch is played, which changes its tempo and its pitch.

    Ko, Peddinti, Povey and Khudanpur: Audio augmentation for speech recognition, Interspeech 2015. The batch
    sampler draws, so that it sorts utterances by the lengths they will have; the loaders apply `at_speed`.

    Args:
        low: least factor; a factor above 1 is faster, so shorter.
        high: greatest factor; factors are drawn evenly between the two.
        factors: draw one of these instead, for example `[0.9, 1.0, 1.1]`.
    """

    def __init__(self, low: float = 0.9, high: float = 1.1, factors: Sequence[float] | None = None) -> None:
        self.factors = np.asarray(factors, dtype=np.float64) if factors else None
        self.low = low if self.factors is None else float(self.factors.min())
        self.high = high if self.factors is None else float(self.factors.max())
        if not 0.25 <= self.low <= self.high <= 4:
            raise UsageError(
                f"speed perturbation from {self.low} to {self.high}: must lie in 0.25 to 4, low <= high"
            )

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return `(count,)` factors drawn from `rng`."""
        if self.factors is not None:
            return rng.choice(self.factors, count)
        return rng.uniform(self.low, self.high, count)

    def apply(self, waveform: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        """Return `(samples / factor,)`, the waveform played that much faster."""
        return at_speed(waveform, factor)


class TempoPerturb(SpeedPerturb):
    """Draws how much faster or slower each utterance is spoken, its pitch kept, in place of `SpeedPerturb`.

    Args:
        sample_rate: Hz of the waveforms.
        low: least factor; a factor above 1 is faster, so shorter.
        high: greatest factor; factors are drawn evenly between the two.
        factors: draw one of these instead.
    """

    def __init__(
        self, sample_rate: int, low: float = 0.9, high: float = 1.1, factors: Sequence[float] | None = None
    ) -> None:
        super().__init__(low, high, factors)
        self.sample_rate = sample_rate

    def apply(self, waveform: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
        """Return `(samples / factor,)`, the waveform spoken that much faster."""
        return at_tempo(waveform, factor, self.sample_rate)


def at_speed(waveform: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Return `(samples / factor,)`, the waveform played that much faster; 1 returns the waveform itself."""
    if factor == 1.0 or round(len(waveform) / factor) < 1:
        return waveform
    changed: NDArray[np.float32] = soxr.resample(waveform, factor, 1.0, quality="HQ")
    return changed


def at_tempo(waveform: NDArray[np.float32], factor: float, sample_rate: int) -> NDArray[np.float32]:
    """Return `(samples / factor,)`, the waveform spoken that much faster with its pitch kept; 1 returns it itself.

    Verhelst and Roelands: An overlap-add technique based on waveform similarity (WSOLA) for high quality time-scale
    modification of speech, ICASSP 1993. Windows are taken at places `factor` times as far apart as they are put down,
    each moved to where it goes on most like the one before would have.

    Args:
        waveform: `(samples,)`.
        factor: above 1 is faster.
        sample_rate: Hz.
    """
    length = round(len(waveform) / factor)
    if factor == 1.0 or length < 1:
        return waveform
    hop, reach = round(_WINDOW * sample_rate / 2), round(_SEARCH * sample_rate)
    # two windows, half of one apart, add up to one
    window = np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    frames = length // hop + 2
    # so many zeros that no window, however it is moved, begins before or ends after the samples
    padded = np.pad(
        waveform, (hop + reach, max(0, round(frames * hop * factor) - len(waveform)) + 4 * hop + 2 * reach)
    )
    found = np.zeros((frames + 1) * hop, dtype=np.float32)
    start = reach
    for frame in range(frames):
        if frame:
            wanted = padded[start + hop : start + 2 * hop]  # as the window before would go on
            place = round(frame * hop * factor)
            near = np.correlate(padded[place : place + 2 * reach + hop], wanted)
            start = place + int(near.argmax())
        found[frame * hop : (frame + 2) * hop] += window * padded[start : start + 2 * hop]
    return found[hop : hop + length]

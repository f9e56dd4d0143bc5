"""Pauses around the speech and within it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from speechlstm.training.augment.waveform import Change, Samples, span
from speechlstm.types import UsageError

_BLOCK = 0.02  # seconds over which a level is measured
_SHORTEST = 0.15  # seconds; what is shorter may be the closure of a plosive within a word
_BELOW = 40.0  # dB below the loudest block: no speech


class Silence(Change):
    """Puts pauses before, after and into an utterance: digital zeros, or noise as loud as its quietest parts.

    A recognizer that has never been given a pause spells something in it, or loses the words around it. A pause within
    the utterance makes one longer that is there, so that no word is split; where there is none, none is made. Pauses
    come on top of `data.batch_seconds`, which counts the recordings without them: `most` bounds what that can be.

    Args:
        sample_rate: Hz of the waveforms.
        seconds: least and greatest length of a pause.
        most: bound on all pauses of an utterance together, as a share of its length; longer ones are shortened alike.
        inside: probability of a longer pause within the utterance, where there are pauses at all.
        probability: of pauses at all; each end then has one with a probability of two thirds.

    Raises:
        UsageError: settings that cannot be used.
    """

    def __init__(
        self,
        sample_rate: int,
        seconds: Sequence[float] = (0.1, 1.0),
        most: float = 0.3,
        inside: float = 0.3,
        probability: float = 0.2,
    ) -> None:
        super().__init__(probability)
        if not 0 <= inside <= 1 or not most >= 0:
            raise UsageError(
                f"augment: silence.inside is {inside!r} and silence.most {most!r}, "
                "but must be a probability, and a share of 0 or more"
            )
        self.sample_rate, self.most, self.inside = sample_rate, most, inside
        self.seconds = span("silence.seconds", seconds, 0, 60)

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform with its pauses, longer than before."""
        wanted = [rng.random() < chance for chance in (2 / 3, self.inside, 2 / 3)]  # before, within, after
        cut = self._pause(waveform, rng) if wanted[1] else None
        lengths = np.where(wanted, rng.uniform(*self.seconds, 3), 0.0) * self.sample_rate
        if cut is None:
            lengths[1], cut = 0.0, len(waveform)
        lengths *= min(1.0, self.most * len(waveform) / max(lengths.sum(), 1.0))
        level = float(np.quantile(self._levels(waveform), 0.1))
        before, within, after = (
            np.float32(level * (rng.random() < 0.5)) * rng.standard_normal(int(length), dtype=np.float32)
            for length in lengths
        )
        return np.concatenate([before, waveform[:cut], within, waveform[cut:], after])

    def _levels(self, waveform: Samples) -> Samples:
        """Return the root mean square of each block."""
        block = min(round(_BLOCK * self.sample_rate), len(waveform))
        blocks = waveform[: len(waveform) // block * block].reshape(-1, block)
        levels: Samples = np.sqrt(np.square(blocks).mean(axis=1))
        return levels

    def _pause(self, waveform: Samples, rng: np.random.Generator) -> int | None:
        """Return the middle of a pause between two stretches of speech, or None if there is none."""
        import librosa  # takes a second, and only trainings with pauses need it

        block = round(_BLOCK * self.sample_rate)
        speech = librosa.effects.split(waveform, top_db=_BELOW, frame_length=2 * block, hop_length=block)
        gaps = [(end, start) for (_, end), (start, _) in pairwise(speech)]
        pauses = [(end + start) // 2 for end, start in gaps if start - end >= _SHORTEST * self.sample_rate]
        return int(pauses[int(rng.integers(len(pauses)))]) if pauses else None

"""The path of a sound from the mouth to the file, as a chain of random changes."""

from __future__ import annotations

import numpy as np

from speechlstm.training.augment.silence import Silence
from speechlstm.training.augment.waveform import Change, Samples


class Chain:
    """Changes in the order in which they happen to a recording: pauses, room, noise, level, band, codec.

    It works on single waveforms, in the processes that load them. Each change draws from a generator of its own, so
    that leaving one out changes nothing for the others.
    """

    def __init__(
        self,
        reverb: Change | None = None,
        noise: Change | None = None,
        gain: Change | None = None,
        band: Change | None = None,
        codec: Change | None = None,
        silence: Silence | None = None,
    ) -> None:
        self.silence, self.changes = silence, (silence, reverb, noise, gain, band, codec)

    def __call__(self, waveform: Samples, rng: np.random.Generator) -> tuple[Samples, bool]:
        """Return `(samples,)`, changed, and whether the speech is still in it; the same `rng` gives the same."""
        *generators, choice = rng.spawn(len(self.changes) + 1)
        spoken = self.silence is None or len(waveform) == 0 or choice.random() >= self.silence.alone
        if not spoken and self.silence is not None:
            waveform = self.silence.instead(waveform, choice)
        for change, own in zip(self.changes, generators, strict=True):
            if change is not None:
                waveform = change(waveform, own)
        return waveform, spoken

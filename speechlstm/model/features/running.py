"""Features of live speech, normalized by the speech so far instead of the whole utterance."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlstm.model.features.base import Features, scale, speech_frames, speech_statistics

REMEMBERED = 30.0  # seconds whose statistics count


class RunningFeatures:
    """Extracts features of one speaker's live speech.

    Mean and deviation are those of the last `REMEMBERED` seconds, by the rule for whole utterances. So they do not
    depend on where a window that is recognized again begins, and long pauses do not displace the speech before them.
    """

    def __init__(self, features: Features) -> None:
        self.features = features
        self._seen = 0  # frames whose values no later sample changes
        self._values = torch.zeros(0, features.num_features)
        self._levels = torch.zeros(0)

    def __call__(self, waveform: Tensor, start: int, last: bool) -> tuple[Tensor, int]:
        """Return `(frames, num_features)` of what is held of the speech, and how many of them are complete.

        Args:
            waveform: `(samples,)` float32; it goes on where that of the call before ended, or begins before that.
            start: number of its first sample in the speech, a multiple of the hop.
            last: whether the speech ends with it.
        """
        waveform, hop = waveform[None], self.features.hop_length
        lengths = torch.tensor([waveform.shape[1]], device=waveform.device)
        # The window of a frame begins half its length before the frame's number of hops, or, with `KaldiFbank`, there.
        complete = (waveform.shape[1] - self.features.window_length) // hop + 1 - self.features.reach
        running = self.features.normalize == "utterance"
        values, *_ = (self.features.unnormalized if running else self.features)(waveform, lengths)
        complete = values.shape[1] if last else max(0, complete)
        if not running:
            return values[0], complete
        new = slice(self._seen - start // hop, complete)
        self._seen = start // hop + complete
        self._values = torch.cat((self._values.to(values.device), values[0, new]))
        self._levels = torch.cat((self._levels.to(values.device), self.features.levels(waveform)[0, new]))
        if not len(self._levels):
            return values[0, :0], 0
        levels = self._levels[None]
        speech = speech_frames(levels, levels.new_tensor([levels.shape[1]]))
        statistics = speech_statistics(self._values[None], speech, levels)
        self._forget(speech[0, :, 0])
        return scale(values, *statistics, self.features.least_deviation)[0], complete

    def _forget(self, speech: Tensor) -> None:
        """Drop the oldest frames; those of pauses, if they are more than half."""
        most = round(REMEMBERED / self.features.frame_shift)
        excess = len(speech) - most
        if excess > 0:
            pauses = ~speech
            dropped = pauses if int(pauses.sum()) > max(excess, most // 2) else torch.ones_like(speech)
            kept = ~dropped | (dropped.cumsum(0) > excess)
            self._values, self._levels = self._values[kept], self._levels[kept]

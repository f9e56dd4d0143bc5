"""Best path decoding (Graves et al. 2006, section 3.2): each frame's most likely token."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from speechlstm.decoders.base import Decoder
from speechlstm.types import Hypothesis


class GreedyDecoder(Decoder):
    """Takes each frame's most likely token, joins repeats and leaves out blanks.

    A token covers the frames of its repeats; its confidence is their mean probability. The score is the
    probability of this one path, a lower bound of the sequence's.
    """

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance `(frames, vocab)`; always one hypothesis."""
        return self(log_probs[None], torch.tensor([len(log_probs)]))[0]

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch, the maximum over the vocabulary on the batch's own device."""
        self.check(log_probs, lengths)
        best, ids = log_probs.detach().float().max(-1)  # (batch, frames) each
        rows = zip(best.cpu().numpy(), ids.cpu().numpy(), lengths.tolist(), strict=True)
        return [[_collapse(best[:length], ids[:length])] for best, ids, length in rows]


def _collapse(best: np.ndarray, ids: np.ndarray) -> Hypothesis:
    """Join the repeats of a path: `(frames,)` log-probabilities and the tokens they belong to."""
    starts = np.flatnonzero(np.diff(ids, prepend=-1))  # of runs of equal tokens, the blank's too
    ends = np.append(starts[1:], len(ids))
    sums = np.concatenate([[0.0], np.cumsum(np.exp(best, dtype=np.float64))])
    kept = ids[starts] != 0
    starts, ends = starts[kept], ends[kept]
    return Hypothesis(
        tokens=ids[starts].tolist(),
        starts=starts.tolist(),
        ends=ends.tolist(),
        score=float(best.sum(dtype=np.float64)),
        confidences=np.clip((sums[ends] - sums[starts]) / (ends - starts), 0.0, 1.0).tolist(),
    )

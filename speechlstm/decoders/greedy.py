"""Best path decoding (Graves et al. 2006, section 3.2): each frame's most likely token."""

from __future__ import annotations

from torch import Tensor

from speechlstm.decoders.base import Decoder, collapse
from speechlstm.types import Hypothesis


class GreedyDecoder(Decoder):
    """Takes each frame's most likely token, joins repeats and leaves out blanks.

    A token covers the frames of its repeats; its confidence is their mean probability. The score is the
    probability of this one path, a lower bound of the sequence's.
    """

    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch, one hypothesis each; the maximum is taken on the batch's own device."""
        best, ids = log_probs.float().max(-1)  # (batch, frames) each
        rows = zip(best.cpu().numpy(), ids.cpu().numpy(), lengths.tolist(), strict=True)
        return [[collapse(best[:length], ids[:length])] for best, ids, length in rows]

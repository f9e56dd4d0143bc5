"""What every decoder is: a search over CTC log-probabilities, one utterance at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from speechlstm.errors import DecoderError
from speechlstm.tokenizer import Tokenizer
from speechlstm.types import Hypothesis

TOLERANCE = (
    0.05  # of a frame's log total probability: lets bfloat16 pass, but neither logits nor probabilities
)


class Decoder(ABC):
    """Searches CTC log-probabilities for the most likely token sequences.

    A decoder of one's own derives from this, takes `tokenizer` and its parameters as keywords, and writes
    `decode`.

    Args:
        tokenizer: whose ids the columns of the log-probabilities are; column 0 is the blank.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    @abstractmethod
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance.

        Args:
            log_probs: `(frames, vocab)` normalised natural logs, float32 on the CPU, without padding.

        Returns:
            At least one hypothesis, best first.
        """

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch; a decoder that works on batches overrides this.

        Args:
            log_probs: `(batch, frames, vocab)` normalised natural logs on any device; what lies past a
                length is ignored.
            lengths: `(batch,)` frames of each utterance.

        Returns:
            For each utterance its hypotheses, best first.

        Raises:
            DecoderError: the log-probabilities are not what they should be.
        """
        self.check(log_probs, lengths)
        rows = log_probs.detach().to("cpu", torch.float32)
        return [self.decode(row[:length]) for row, length in zip(rows, lengths.tolist(), strict=True)]

    def check(self, log_probs: Tensor, lengths: Tensor) -> None:
        """Raise a DecoderError unless the batch has normalised log-probabilities of the tokenizer's ids."""
        if log_probs.ndim != 3 or lengths.shape != log_probs.shape[:1]:
            got = f"{tuple(log_probs.shape)} and {tuple(lengths.shape)}"
            raise DecoderError(
                f"decoding takes log_probs (batch, frames, vocab) and lengths (batch,), but got {got}"
            )
        batch, frames, vocab = log_probs.shape
        if vocab != len(self.tokenizer):
            raise DecoderError(
                f"log_probs are of {vocab} tokens, but the tokenizer has {len(self.tokenizer)}"
            )
        if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= frames:
            raise DecoderError(
                f"lengths {lengths.tolist()} must lie between 0 and the {frames} frames of log_probs"
            )
        totals = log_probs.detach().float().logsumexp(-1)  # (batch, frames), 0 when normalised
        inside = torch.arange(frames, device=totals.device) < lengths.to(totals.device)[:, None]
        wrong = ~(totals.abs() <= TOLERANCE) & inside  # true for NaN as well
        if bool(wrong.any()):
            row, frame = (int(index) for index in wrong.nonzero()[0])
            what = "are NaN" if bool(totals[row, frame].isnan()) else "are not normalised natural logarithms"
            raise DecoderError(
                f"log_probs {what} at frame {frame} of utterance {row} of the batch"
                f" (logarithm of the total probability is {float(totals[row, frame]):.3g}, not 0)"
            )

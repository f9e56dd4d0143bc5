"""Best path decoding with a penalty on the blank: more tokens, for recognizers that leave words out."""

from __future__ import annotations

import math
from itertools import groupby

from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import Hypothesis

BLANK = 0  # the blank is id 0 in every tokenizer


class BlankPenaltyDecoder(Decoder):
    """Takes each frame's best token after the blank has lost some of its log-probability.

    A CTC recognizer trained on little data, or used in unfamiliar noise, prefers the blank and drops
    words. A penalty trades these deletions for insertions; choose it on a development set.

    Args:
        tokenizer: every decoder gets it, as a keyword; the base class keeps it as `self.tokenizer`.
        blank_penalty: what is taken from the blank's log-probability in each frame, in nats; 0 is best path.

    Raises:
        ValueError: the penalty is not a finite number of 0 or more. It reaches the user as a usage error.
    """

    def __init__(self, tokenizer: Tokenizer, blank_penalty: float = 1.0) -> None:
        super().__init__(tokenizer)
        if not (math.isfinite(blank_penalty) and blank_penalty >= 0):
            raise ValueError(f"blank_penalty is {blank_penalty}, but must be finite and 0 or more")
        self.blank_penalty = blank_penalty

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance: `(frames, vocab)`, float32, on the CPU, without padding, already checked."""
        penalised = log_probs.clone()  # the caller's tensor stays as it is
        penalised[:, BLANK] -= self.blank_penalty
        path = penalised.argmax(-1).tolist()
        frame_scores = [float(log_probs[frame, token]) for frame, token in enumerate(path)]

        tokens, starts, ends, confidences = [], [], [], []
        for token, run in groupby(range(len(path)), key=path.__getitem__):
            frames = list(run)
            if token == BLANK:
                continue
            tokens.append(token)
            starts.append(frames[0])
            ends.append(frames[-1] + 1)  # the frame after the last, so that end - start is a length
            mean = sum(math.exp(frame_scores[frame]) for frame in frames) / len(frames)
            confidences.append(min(mean, 1.0))  # rounding may make it a little more
        # A decoder that knows more readings returns more hypotheses, best first.
        return [Hypothesis(tokens, starts, ends, score=sum(frame_scores), confidences=confidences)]

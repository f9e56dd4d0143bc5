"""The n-gram of tokens that weights label sequences in CTC-CRF, estimated from the training texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from speechlstm.types import UsageError

LARGEST = 2**20  # probabilities in a table: a trigram of 101 tokens, a bigram of 1,024


class TokenNgram(NamedTuple):
    """Probabilities of the next token after each context, as dense tables.

    A context is the last `order - 1` tokens, `(i, j)` say, and has the number `i * vocab + j`; before the first
    token stands 0, the id of the blank, which no label sequence contains. So the last token of a context is its
    number modulo `vocab`, and what follows it has the numbers from `context * vocab % contexts` on.
    """

    follows: np.ndarray  # `(contexts, vocab)` probability that the token comes next; 0 for the blank
    ends: np.ndarray  # `(contexts,)` probability that the sequence ends

    def log_prob(self, tokens: Sequence[int]) -> float:
        """Return the natural logarithm of a whole sequence's probability, its end included."""
        contexts, vocab = self.follows.shape
        context, total = 0, 0.0
        for token in tokens:
            total += float(np.log(self.follows[context, token]))
            context = (context * vocab + token) % contexts
        return total + float(np.log(self.ends[context]))


def estimate(sequences: Iterable[Sequence[int]], vocab_size: int, order: int) -> TokenNgram:
    """Estimate the n-gram with interpolated Witten-Bell smoothing.

    Witten and Bell: The zero-frequency problem, IEEE Transactions on Information Theory 1991, method C: a context
    seen `n` times, with `t` different successors, leaves the share `t / (n + t)` to the shorter context; the
    shortest leaves it to all tokens alike. So everything is possible, as it must be for the gradient to be finite.

    Raises:
        UsageError: the table would be too large; it says what can be done.
    """
    if vocab_size**order > LARGEST:
        smaller = vocab_size**2 <= LARGEST
        advice = (
            "set loss.order=2"
            if smaller
            else f"use at most {int(LARGEST**0.5)} tokens (tokenizer.vocab_size)"
        )
        raise UsageError(
            f"loss.order={order} with {vocab_size} tokens makes a table of {vocab_size**order:,} probabilities, but at "
            f"most {LARGEST:,} are possible: {advice}"
        )
    end = vocab_size  # in the last place of the counts
    counts = [np.zeros((vocab_size**length, vocab_size + 1)) for length in range(order)]
    for sequence in sequences:
        tokens = np.array([0] * (order - 1) + [*sequence, end], dtype=np.int64)
        context = np.zeros(len(tokens) - order + 1, dtype=np.int64)
        for length, count in enumerate(counts):
            if length:
                before = tokens[order - 1 - length : len(tokens) - length]
                context = context + before * vocab_size ** (length - 1)
            np.add.at(count, (context, tokens[order - 1 :]), 1.0)
    probs = np.full((1, vocab_size + 1), 1.0 / vocab_size)
    probs[:, 0] = 0.0  # the blank is no label
    for count in counts:
        seen, kinds = count.sum(1, keepdims=True), (count > 0).sum(1, keepdims=True)
        lower = np.tile(probs, (len(count) // len(probs), 1))  # of the context without its first token
        probs = np.where(seen > 0, (count + kinds * lower) / np.maximum(seen + kinds, 1), lower)
    return TokenNgram(np.ascontiguousarray(probs[:, :-1]), np.ascontiguousarray(probs[:, -1]))

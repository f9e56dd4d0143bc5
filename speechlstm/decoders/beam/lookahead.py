"""Look-ahead with a full n-gram model: the best score among the words that a partial word can become.

Prefixes within a word are compared with others that have paid for their word already, so each is charged in advance
with the best of the words it can become (Ortmanns, Ney and Eiden 1996, "Language-model look-ahead for large vocabulary
speech recognition"). The sharper this is, the narrower the beam can be: here it is the probability after the words
before, not without context. In the order of the lexicon's trie the words below a node are an interval, and the words
that a context knows explicitly are sorted the same way, so that the best of them within an interval is a matter of two
binary searches and a maximum; the rest is what backing off gives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import NGram

MEMO = np.dtype([("state", np.int64), ("place", np.int64), ("ahead", np.float64)])  # place 0: not used yet
MEMO_SIZE = 1 << 16  # a power of two

_BLOCK = 64  # successors whose maximum is known


class Successors(NamedTuple):
    """The words that each context of a language model knows explicitly."""

    first: NDArray[np.int64]  # `(states + 1,)` those of a state are from here to that of the next
    place: NDArray[np.int32]  # their places in the order of the lexicon, ascending for each state
    log_prob: NDArray[np.float32]  # natural log of their probability after the state
    most: NDArray[np.float32]  # the greatest `log_prob` of each `_BLOCK`


def successors(model: NGram | None, words: NDArray[np.int32]) -> Successors:
    """Sort the n-grams of a model by the order of a lexicon.

    Args:
        model: None makes empty arrays.
        words: `(entries,)` the model's word of each entry of the lexicon, in its order; `unk` for those it lacks.
    """
    if model is None:
        return Successors(np.zeros(1, np.int64), np.zeros(0, np.int32), *np.zeros((2, 0), np.float32))
    first, place, log_prob = _sorted(
        *model.longer(), words, model.unk, len(model.words), len(model.arrays.states)
    )
    starts = np.arange(0, len(log_prob), _BLOCK)
    return Successors(
        first, place, log_prob, np.maximum.reduceat(log_prob, starts) if len(starts) else log_prob
    )


@compiled
def _sorted(state, word, log_prob, words, unk, vocabulary, states):
    """Sort n-grams by their states, then by the places that their last words have in the lexicon."""
    times = np.zeros(vocabulary, np.int64)  # a word may have several pronunciations
    for known in words:
        if known != unk:  # those words share its probability, which is asked for in another way
            times[known] += 1
    first, begins = np.zeros(states + 1, np.int64), np.zeros(vocabulary + 1, np.int64)
    for n in range(len(word)):
        first[state[n] + 1] += times[word[n]]
        begins[word[n] + 1] += 1
    first, begins = np.cumsum(first), np.cumsum(begins)
    free, rows = begins.copy(), np.empty(len(word), np.int32)  # the n-grams of each word
    for n in range(len(word)):
        rows[free[word[n]]] = n
        free[word[n]] += 1
    free, places, sorted_log_prob = (
        first.copy(),
        np.empty(first[-1], np.int32),
        np.empty(first[-1], np.float32),
    )
    for place, known in enumerate(words):
        if known == unk:
            continue
        for n in rows[begins[known] : begins[known + 1]]:
            at = free[state[n]]
            free[state[n]] += 1
            places[at], sorted_log_prob[at] = place, log_prob[n]
    return first, places, sorted_log_prob


@compiled
def best_below(node, state, lm, known):
    """Return the greatest log-probability that a word at or below a trie node can have after a state, or a bit more.

    It is more where the best word by backing off is one that the context knows explicitly to be rarer.
    """
    best, gone, context = -np.inf, 0.0, state
    while context > 0:
        begin = _lower(known.place, known.first[context], known.first[context + 1], node.low)
        end = _lower(known.place, begin, known.first[context + 1], node.high)
        if end > begin:
            best = max(best, gone + _greatest(known, begin, end))
            if end - begin == node.high - node.low:  # no word is left to back off for
                return best
        gone += lm.states[context].backoff
        context = np.int64(lm.states[context].shorter)
    return max(best, gone + node.best)


@compiled
def _lower(values, low, high, wanted):
    """Return the first index from `low` to `high` whose value is `wanted` or more."""
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _greatest(known, begin, end):
    """Return the greatest log-probability of some successors."""
    best, at = known.log_prob[begin], begin
    while at < end:
        if at % _BLOCK == 0 and at + _BLOCK <= end:
            best = max(best, known.most[at // _BLOCK])
            at += _BLOCK
        else:
            best = max(best, known.log_prob[at])
            at += 1
    return best

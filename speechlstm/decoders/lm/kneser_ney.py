"""Interpolated modified Kneser-Ney estimation (Chen and Goodman 1998), in the form of lmplz (Heafield et al. 2013).

For an n-gram of context c and word w, with a(c w) its adjusted count,

    p(w | c) = (a(c w) - D(a(c w))) / a(c) + gamma(c) p(w | c without its first word)

where a(c) sums a(c w) over all w. The adjusted count of the longest n-grams, and of those that begin with `<s>`, is
how often they occur; of all others it is how many different words they follow. D is one of three discounts for
each order, for a = 1, 2 and 3 or more; gamma(c) is the mass that they and the pruned n-grams set free, and is the
weight for backing off from c. 1-grams are interpolated with a uniform distribution over the vocabulary, `<unk>` and
`</s>` included, `<s>` not.

Models equal those of lmplz with one exception: where lmplz counts how many n-grams have an adjusted count of 1, 2, 3
and 4, it takes the last n-gram of each order by its occurrences. That changes discounts a little where there are few
n-grams of an order: in texts of a few hundred words, and of characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from speechlstm.data import progress
from speechlstm.decoders.lm.corpus import BOS_ID, EOS_ID, Corpus
from speechlstm.decoders.lm.trie import NEVER, Floats, Ints, Longs, Trie
from speechlstm.types import SpeechlstmError, UsageError

MAX_ORDER = 6
FALLBACK = (0.5, 1.0, 1.5)  # as lmplz --discount_fallback

_LEAST = 1e-6  # a discount of 0 would leave nothing for the words that were not seen

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """What was estimated for one order."""

    distinct: int  # how many different n-grams there are
    kept: int  # how many of them are left after pruning
    discounts: tuple[float, float, float]  # for adjusted counts of 1, 2, and 3 or more
    fallback: str | None  # why the discounts are the fall-back ones; None when they were estimated


@dataclass(eq=False, slots=True)
class _Order:
    """The n-grams of one order, sorted by context (an index into the order below) and word.

    `suffix` is the index, in the order below, of the n-gram without its first word; `after_bos` says which n-grams
    begin with `<s>`.
    """

    context: Ints
    word: Ints
    count: Longs
    suffix: Ints
    after_bos: Bools


def estimate(corpus: Corpus, order: int, prune: Sequence[int] = ()) -> tuple[Trie, list[OrderSummary]]:
    """Estimate a model, in about 110 bytes of memory for each running word (order 3, measured).

    Args:
        corpus: the text.
        order: words in the longest n-grams, 1 to 6. Orders above the longest sentence, marks included, have
            no n-grams and are left out.
        prune: for each order from 1 the count up to which n-grams are left out; never decreasing, the last
            value also holds for the orders after it. `<unk>`, `<s>` and `</s>` always stay.

    Returns:
        The model, and a summary of each of its orders.

    Raises:
        UsageError: an order or thresholds that cannot be.
        SpeechlstmError: the corpus is empty.
    """
    thresholds = _thresholds(order, prune)
    if not len(corpus.stream):
        raise SpeechlstmError("no words to estimate a language model from")
    orders = _count(corpus, order)
    adjusted = [_adjusted(lower, upper) for lower, upper in pairwise(orders)]
    adjusted.append(orders[-1].count)
    adjusted[0][BOS_ID] = 0  # never predicted
    keep = [each.count > threshold for each, threshold in zip(orders, thresholds, strict=False)]
    keep[0][: EOS_ID + 1] = True
    summaries, logs = _probabilities(orders, adjusted, keep)
    return _trie(corpus.words, orders, keep, logs), summaries


def _thresholds(order: int, prune: Sequence[int]) -> list[int]:
    if not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
        raise UsageError(f"order is {order!r}, but must be a whole number from 1 to {MAX_ORDER}")
    given = list(prune)
    if any(not isinstance(value, int) or value < 0 for value in given) or given != sorted(given):
        raise UsageError(f"prune is {given}, but must be counts that never decrease, such as [0,0,1]")
    if len(given) > order:
        raise UsageError(f"prune has thresholds for {len(given)} orders, but the model has {order}")
    return given + (given[-1:] or [0]) * (order - len(given))


def _count(corpus: Corpus, order: int) -> list[_Order]:
    """Count all n-grams up to an order; an n-gram at each place gets its index in the sorted order."""
    stream, vocabulary = corpus.stream, len(corpus.words)
    places = np.arange(len(stream), dtype=np.int32)
    age = places - np.maximum.accumulate(np.where(stream == BOS_ID, places, 0))  # words since <s>
    unigrams = np.arange(vocabulary, dtype=np.int32)
    counts = np.bincount(stream, minlength=vocabulary)
    orders = [_Order(np.zeros_like(unigrams), unigrams, counts, np.zeros_like(unigrams), unigrams == BOS_ID)]
    index = stream  # of the n-gram that ends at each place
    for n in progress.track(range(2, order + 1), "counting n-grams", unit="order"):
        places = places[age[places] >= n - 1]
        if not len(places):
            break
        keys = index[places - 1].astype(np.int64) * vocabulary + stream[places]
        unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        suffix = np.empty(len(unique), np.int32)
        suffix[inverse] = index[places]
        context, word = (part.astype(np.int32) for part in np.divmod(unique, vocabulary))
        orders.append(_Order(context, word, counts, suffix, orders[-1].after_bos[context]))
        index = np.full(len(stream), -1, np.int32)
        index[places] = inverse
    return orders


def _adjusted(lower: _Order, upper: _Order) -> Longs:
    """Return the adjusted counts of an order: different words before, or occurrences after `<s>`."""
    before = np.bincount(upper.suffix, minlength=len(lower.count))
    return np.where(lower.after_bos, lower.count, before)


def _discounts(adjusted: Longs) -> tuple[tuple[float, float, float], str | None]:
    """Return D1, D2, D3+ by Chen and Goodman's equation 26, or the fall-back and why."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).tolist()
    for k in (1, 2, 3):
        if not n[k]:
            return FALLBACK, f"none has an adjusted count of {k}"
    y = n[1] / (n[1] + 2 * n[2])
    d1, d2, d3 = (k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))
    if not (_LEAST < d1 <= 1 and _LEAST < d2 <= 2 and _LEAST < d3 <= 3):
        return FALLBACK, f"the estimated {d1:.3g}, {d2:.3g}, {d3:.3g} are out of range"
    return (d1, d2, d3), None


def _probabilities(
    orders: list[_Order], adjusted: list[Longs], keep: list[Bools]
) -> tuple[list[OrderSummary], list[tuple[Floats, Floats]]]:
    """Return the summaries, and for all n-grams of each kept order the logs of probability and back-off."""
    summaries, probs, backoffs = [], list[Doubles](), list[Doubles]()
    vocabulary = np.count_nonzero(keep[0]) - 1  # <s> is never predicted
    for each, count, kept in zip(orders, adjusted, keep, strict=True):
        discounts, fallback = _discounts(count)
        discount = np.array([0.0, *discounts])[np.minimum(count, 3)]
        contexts = len(probs[-1]) if probs else 1
        total = np.bincount(each.context, count, contexts)
        freed = np.bincount(each.context, np.where(kept, discount, count), contexts)
        known = total > 0
        gamma = np.divide(freed, total, where=known, out=np.ones(contexts))
        shorter = probs[-1][each.suffix] if probs else 1.0 / vocabulary
        own = np.divide(
            count - discount, total[each.context], where=known[each.context], out=np.zeros(len(count))
        )
        probs.append(own + gamma[each.context] * shorter)
        backoffs.append(gamma)
        summaries.append(OrderSummary(len(count), int(kept.sum()), discounts, fallback))
    backoffs.append(np.ones(len(probs[-1])))
    logs = [
        (np.log(prob).astype(np.float32), np.log(backoff).astype(np.float32))
        for prob, backoff in zip(probs, backoffs[1:], strict=True)
    ]
    logs[0][0][BOS_ID] = NEVER
    return summaries, logs


def _trie(
    words: list[str], orders: list[_Order], keep: list[Bools], logs: list[tuple[Floats, Floats]]
) -> Trie:
    """Return the kept n-grams; the context and suffix of a kept one are kept, as they occur as often."""
    zero = np.zeros(1, np.int32)
    parts: list[tuple[npt.NDArray[np.generic], ...]] = [
        (zero, zero, np.zeros(1, np.float32), np.zeros(1, np.float32))
    ]
    ends, node = [1], zero
    number = np.cumsum(keep[0]) - 1  # of a kept word
    for each, kept, (log_prob, backoff) in zip(orders, keep, logs, strict=True):
        if not kept.any():
            break
        context = node[each.context[kept]]
        parts.append((context, number[each.word[kept]].astype(np.int32), log_prob[kept], backoff[kept]))
        node = (ends[-1] - 1 + np.cumsum(kept)).astype(np.int32)
        ends.append(ends[-1] + int(kept.sum()))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Trie([word for word, kept in zip(words, keep[0], strict=True) if kept], ends, *columns)

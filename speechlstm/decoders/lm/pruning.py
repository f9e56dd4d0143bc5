"""Pruning by relative entropy (Stolcke 1998, "Entropy-based pruning of backoff language models").

Leaving out the n-gram of context h and word w moves its probability to what backing off gives. With h' the context
without its first word, and the back-off weight of h changing from alpha to alpha', the relative entropy between the
two models grows by (equation 8 there)

    D = -p(h) { p(w|h) [log p(w|h') + log alpha' - log p(w|h)] + [log alpha' - log alpha] (1 - sum_v p(v|h)) }

where the sum is over the words v that have an n-gram after h. p(h) is the share of h among the n-grams of the text:
the lower orders of a Kneser-Ney model do not predict it (Chelba et al. 2010).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speechlstm.decoders.lm.corpus import UNK_ID, Corpus
from speechlstm.decoders.lm.trie import Trie

_LEAST = 1e-9  # what is left for words without an n-gram, however the probabilities were rounded

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pruner:
    """A model, and what leaving out each of its n-grams costs.

    Attributes:
        trie: the model.
        costs: `(nodes,)` by how much the relative entropy grows, natural log; infinite for those that always stay.
    """

    trie: Trie
    costs: Doubles

    @classmethod
    def of(cls, trie: Trie, corpus: Corpus) -> Pruner:
        """Compute the costs; the corpus is the text that the model was estimated from."""
        costs = np.full(len(trie.context), np.inf)
        histories = _occurrences(trie, corpus) / max(1, len(corpus.stream))
        for begin, end in zip(trie.ends[1:], trie.ends[2:], strict=False):
            context, log_prob = trie.context[begin:end], trie.log_prob[begin:end].astype(np.float64)
            shorter = trie.after(trie.link[context], trie.word[begin:end])
            own, lower = np.exp(log_prob), np.exp(shorter)
            left, left_lower = (_left(context, part, begin)[context] for part in (own, lower))
            before, after = np.log(left / left_lower), np.log((left + own) / (left_lower + lower))
            change = own * (shorter + after - log_prob) + left * (after - before)
            costs[begin:end] = -histories[context] * change
        return cls(trie, costs)

    def keep(self, count: int) -> Trie:
        """Return the model with about `count` n-grams: those that cost the most, and the contexts that they need."""
        prunable = np.sort(self.costs[np.isfinite(self.costs)])
        low, high = 0, len(prunable)  # how many of the cheapest go
        while low < high:
            middle = (low + high + 1) // 2
            kept = self._kept(prunable[middle - 1])
            low, high = (middle, high) if np.count_nonzero(kept) - 1 >= count else (low, middle - 1)
        return self.above(prunable[low - 1] if low else -np.inf)

    def above(self, threshold: float) -> Trie:
        """Return the model without the n-grams that cost no more than a threshold, unless a longer one needs them."""
        kept = self._kept(threshold)
        trie = self.trie
        number = (np.cumsum(kept) - 1).astype(np.int32)
        ends = [int(np.count_nonzero(kept[:end])) for end in trie.ends]
        while len(ends) > 2 and ends[-1] == ends[-2]:  # an order without n-grams
            ends.pop()
        pruned = Trie(
            trie.words,
            ends,
            number[trie.context[kept]],
            trie.word[kept],
            trie.log_prob[kept],
            np.zeros(ends[-1], np.float32),
        )
        return _weighted(pruned)

    def _kept(self, threshold: float) -> Bools:
        kept, trie = self.costs > threshold, self.trie
        for begin, end in list(zip(trie.ends[1:], trie.ends[2:], strict=False))[::-1]:
            kept[trie.context[begin:end][kept[begin:end]]] = True
        return kept


def _occurrences(trie: Trie, corpus: Corpus) -> Doubles:
    """Return how often the text has each n-gram that may be a context."""
    ids = {word: index for index, word in enumerate(trie.words)}
    stream = np.array([ids.get(word, UNK_ID) for word in corpus.words], np.int32)[corpus.stream]
    counts = np.zeros(len(trie.context))
    node, ended = 1 + stream, np.arange(len(stream))  # n-grams, and where in the text they end
    for _ in range(1, trie.order):
        counts += np.bincount(node, minlength=len(counts))
        inside = ended < len(stream) - 1
        node, ended = node[inside], ended[inside] + 1
        node = trie.find(node, stream[ended])
        node, ended = node[node >= 0], ended[node >= 0]
    return counts


def _left(context: npt.NDArray[np.int32], probs: Doubles, contexts: int) -> Doubles:
    """Return `(contexts,)`: what the probabilities of the n-grams of each context leave for other words."""
    left = np.subtract(1.0, np.bincount(context, probs, contexts), dtype=np.float64)
    return np.maximum(left, _LEAST)


def _weighted(trie: Trie) -> Trie:
    """Return a model with the back-off weights that make its probabilities sum to 1, shortest contexts first."""
    backoff = np.zeros(len(trie.context), np.float32)
    trie = replace(trie, backoff=backoff)  # filled in place: longer contexts back off to these
    for begin, end in zip(trie.ends[1:], trie.ends[2:], strict=False):
        context = trie.context[begin:end]
        lower = np.exp(trie.after(trie.link[context], trie.word[begin:end]))
        own = np.exp(trie.log_prob[begin:end].astype(np.float64))
        used = np.bincount(context, minlength=begin) > 0
        weights = np.log(_left(context, own, begin) / _left(context, lower, begin))
        backoff[:begin][used] = weights[used]
    return trie

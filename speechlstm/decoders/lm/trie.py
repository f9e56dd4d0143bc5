"""All n-grams of a model as one sorted trie of flat arrays: the form between files, estimation and search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

LN10 = float(np.log(10.0))
NEVER = -99.0 * LN10  # an ARPA file's -99: what is never predicted, such as <s>


@dataclass(frozen=True, eq=False)
class Trie:
    """Every n-gram as a node: a context, which is the node of its first n - 1 words, and its last word.

    Node 0 is the empty n-gram, node `1 + w` the word `w`; then come the 2-grams, the 3-grams and so on. Nodes
    are sorted by context, then by word, so each order is a range of nodes. The context of a node is always
    there; the n-gram without its first word need not be.
    """

    words: list[str]  # the word of each id
    # for each order from 0 the node after its last; `ends[0] == 1`, `ends[1] == 1 + len(words)`
    ends: list[int]
    context: Ints  # `(nodes,)`; 0 for node 0
    word: Ints  # `(nodes,)`; 0 for node 0
    log_prob: Floats  # `(nodes,)` natural log of the probability of the last word after the context
    # `(nodes,)` natural log of the weight of shorter contexts where this one does not know a word
    backoff: Floats

    @property
    def order(self) -> int:
        """The number of words of the longest n-grams."""
        return len(self.ends) - 1

    @property
    def counts(self) -> list[int]:
        """How many n-grams there are of each order from 1."""
        return np.diff(self.ends).tolist()

    @cached_property
    def _keys(self) -> Longs:
        keys = self.context.astype(np.int64) * len(self.words) + self.word
        keys[0] = -1
        return keys

    def find(self, context: Ints, word: Ints) -> Ints:
        """Return the nodes of n-grams, given as context and last word, each; -1 for those not there."""
        keys = context.astype(np.int64) * len(self.words) + word
        nodes = np.searchsorted(self._keys, keys)
        nodes[nodes == len(self._keys)] = 0
        return np.where(self._keys[nodes] == keys, nodes, -1).astype(np.int32)

    @cached_property
    def link(self) -> Ints:
        """For each node the longest n-gram in the trie that ends like it and is shorter; 0 for node 0."""
        link = np.zeros(len(self.context), np.int32)
        for begin, end in zip(self.ends[1:], self.ends[2:], strict=False):
            shorter = link[self.context[begin:end]]
            match = self.find(shorter, self.word[begin:end])
            while len(missing := np.flatnonzero(match < 0)):  # ends: after node 0 there is every word
                shorter[missing] = link[shorter[missing]]
                match[missing] = self.find(shorter[missing], self.word[begin:end][missing])
            link[begin:end] = match
        return link

    def after(self, context: Ints, word: Ints) -> npt.NDArray[np.float64]:
        """Return the natural log probability of each word after a context, a node, backing off as far as it takes."""
        context, match = context.copy(), np.full(len(context), -1, np.int32)
        total = np.zeros(len(context))
        while len(missing := np.flatnonzero(match < 0)):
            match[missing] = self.find(context[missing], word[missing])
            missing = missing[match[missing] < 0]
            total[missing] += self.backoff[context[missing]]
            context[missing] = self.link[context[missing]]
        return total + self.log_prob[match]

    def fill(self) -> None:
        """Give n-grams whose `log_prob` is NaN the probability that backing off from their context gives."""
        for begin, end in zip(self.ends[1:], self.ends[2:], strict=False):
            nodes = begin + np.flatnonzero(np.isnan(self.log_prob[begin:end]))
            context = self.context[nodes]
            lower = self.after(self.link[context], self.word[nodes])
            self.log_prob[nodes] = self.backoff[context] + lower

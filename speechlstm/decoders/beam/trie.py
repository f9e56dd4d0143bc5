"""Tries as flat arrays: the words of a lexicon, and hotwords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Trie:
    """Sequences of tokens that share their beginnings; nodes are numbered by depth, then by their tokens."""

    # `(nodes + 1,)` the children of a node are `first[node]` to `first[node + 1]`, sorted by token
    first: NDArray[np.int32]
    token: NDArray[np.int32]  # `(nodes,)` the token that leads to a node; -1 for the root, node 0
    parent: NDArray[np.int32]  # `(nodes,)` the node before; -1 for the root
    # `(nodes + 1,)` the sequences that end at a node are `entry[first_entry[node]]` and so on
    first_entry: NDArray[np.int32]
    # `(sequences,)` numbers of the sequences, as they were given, by the node where they end
    entry: NDArray[np.int32]
    # `(sequences,)` the same in the order of their tokens; a sequence comes before those it begins
    order: NDArray[np.int32]
    low: NDArray[np.int32]  # `(nodes,)` the sequences at or below a node are `order[low[node]]` and so on,
    high: NDArray[np.int32]  # `(nodes,)` to before `order[high[node]]`

    def best_below(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each node the greatest of the values of the sequences that end there or further on."""
        ordered = np.append(values[self.order], -np.inf)
        best: NDArray[np.float64] = np.maximum.reduceat(ordered, np.stack([self.low, self.high], 1).ravel())
        return best[::2]


def build_trie(sequences: Sequence[Sequence[int]]) -> Trie:
    """Make a trie of token sequences, none of them empty; equal ones share their node."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    table = np.full((len(sequences), int(lengths.max(initial=0))), -1, dtype=np.int32)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([[], *sequences])
    order = np.lexsort(table.T[::-1]) if table.size else np.zeros(0, dtype=np.int64)
    table, lengths = table[order], lengths[order]

    tokens, parents, lows = [np.array([-1])], [np.array([-1])], [np.array([0])]
    highs = [np.array([len(table)])]
    above = np.zeros(len(table), dtype=np.int64)  # the node of each sequence's part so far
    ends = np.zeros(len(table), dtype=np.int64)
    nodes = 1
    for depth in range(table.shape[1]):
        inside = np.flatnonzero(lengths > depth)
        column, from_node = table[inside, depth], above[inside]
        new = np.ones(len(inside), dtype=bool)
        new[1:] = (column[1:] != column[:-1]) | (from_node[1:] != from_node[:-1])
        above[inside] = nodes + np.cumsum(new) - 1
        begins = np.flatnonzero(new)
        lows.append(inside[begins])
        highs.append(inside[begins] + np.diff(np.append(begins, len(inside))))
        tokens.append(column[new])
        parents.append(from_node[new])
        nodes += int(new.sum())
        ends[inside] = above[inside]
    parent = np.concatenate(parents).astype(np.int32)
    by_end = np.argsort(ends, kind="stable")
    return Trie(
        first=(np.searchsorted(parent[1:], np.arange(nodes + 1)) + 1).astype(np.int32),
        token=np.concatenate(tokens).astype(np.int32),
        parent=parent,
        first_entry=np.searchsorted(ends[by_end], np.arange(nodes + 1)).astype(np.int32),
        entry=order[by_end].astype(np.int32),
        order=order.astype(np.int32),
        low=np.concatenate(lows).astype(np.int32),
        high=np.concatenate(highs).astype(np.int32),
    )

"""The best hypotheses of a search with recombination: the beam, and what alternatives make of it.

An alternative changes the score of all that continues a prefix alike, so that the best are found in order: whatever
is taken from the heap is written as a prefix of its own, and its alternatives nearer to the beginning go onto the heap
(Huang and Chiang 2005, "Better k-best parsing"). Texts that were there before are left out with what follows from them.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.beam.endings import endings
from speechlstm.decoders.beam.fusion import SEPARATES, Options, Rules
from speechlstm.decoders.beam.prefixes import begin
from speechlstm.decoders.beam.workspace import Search
from speechlstm.decoders.compiled import compiled

_ROOM = 1 << 20  # most prefixes that are written anew


class Found(NamedTuple):
    """Complete hypotheses, best first."""

    nodes: NDArray[np.int32]  # `(hypotheses,)` their prefixes
    words: NDArray[np.int64]  # `(hypotheses,)` the last word of each as in `endings`
    logs: NDArray[np.float64]  # `(hypotheses, 4)` natural logs: score, acoustic, lm, bonus


def complete(
    search: Search,
    rules: Rules,
    options: Options,
    names: NDArray[np.int32],
    most: int,
    floor: float = math.inf,
) -> Found:
    """Return the best hypotheses with different texts, none if a strict lexicon leaves all within words.

    Texts are told apart by their tokens, or by their words if these have `names`.

    Args:
        search: after the last frame.
        rules: of the search.
        options: of the search.
        names: `(words,)` a number for the text of each word of the lexicon; may be empty.
        most: how many.
        floor: how far below the best they may lie, natural log.
    """
    ends = endings(search.tree.states, search.beam, rules, options)
    search.make_room(min(_ROOM, most * (1 + int(search.beam.now["frame"][0]))))
    return Found(*_best(search.tree, search.beam, *ends, rules.tokens, names, options.lm_weight, most, floor))


@compiled
def _best(tree, beam, of, logs, words, kinds, names, lm_weight, most, floor):
    """Return what makes up `Found`, from the `endings` of the beam."""
    now, lanes = beam.now[0], beam.lanes
    nodes, values, ends = np.empty(most, np.int32), np.empty((most, 4)), np.empty(most, np.int64)
    seen, count = {np.int64(-1)}, 0
    least = logs[:, 0].max() - floor
    # minus the score, the hypothesis or ending, the prefix to replace (-1 of an ending: none), and the alternative
    nothing = np.int64(-1)
    heap = [(0.0, 0, nothing, nothing)]
    heap.clear()
    for i in range(len(logs)):
        if logs[i, 0] > -np.inf and logs[i, 0] >= least:
            heapq.heappush(heap, (-logs[i, 0], i, nothing, nothing))
    while len(heap) > 0 and count < most:
        score, base, owner, index = heapq.heappop(heap)
        if owner < 0:
            leaf = start = lanes[of[base]].node
            values[count], ends[count] = logs[base], words[base]
        else:
            leaf, start = _replaced(tree, now, nodes[base], owner, index)
            if leaf < 0:
                break
            other = tree.alternatives[index]
            lm, bonus = values[base, 2] + other.lm, values[base, 3] + other.bonus
            values[count, 0], values[count, 1] = -score, -score - lm_weight * lm - bonus
            values[count, 2], values[count, 3], ends[count] = lm, bonus, ends[base]
        text = _text(tree.nodes, leaf, ends[count], kinds, names)
        if text in seen:
            continue
        seen.add(text)
        nodes[count] = leaf
        at, time, reached, later = leaf, tree.nodes[leaf].time, False, np.int32(2**31 - 1)
        while tree.nodes[at].parent >= 0:
            reached = reached or at == start
            if reached:
                index = tree.nodes[at].alternative
                while index >= 0:
                    other = tree.alternatives[index]
                    begins = other.start if other.word >= -1 else tree.times[other.time].start
                    if begins < later and score - other.gain <= -least:
                        heapq.heappush(heap, (score - other.gain, count, np.int64(at), np.int64(index)))
                    index = other.next
            later, at, time = tree.times[time].start, tree.nodes[at].parent, tree.times[time].before
        count += 1
    return nodes[:count], ends[:count], values[:count]


@compiled
def _replaced(tree, now, leaf, owner, index):
    """Write a hypothesis anew with an alternative for one of its prefixes.

    Returns:
        the new prefix, -1 if there is no room, and that from which on it is not as before.
    """
    nodes, times, other = tree.nodes, tree.times, tree.alternatives[index]
    length, at = 0, leaf
    while at != owner:
        length, at = length + 1, nodes[at].parent
    if now.nodes + length + 1 > len(nodes) or now.times + length + 1 > len(times):
        return np.int32(-1), np.int32(-1)
    start, before = other.node, other.time
    if other.word >= -1:
        begin(times, now.times, other.time, other.start, other.peak)
        start, before = np.int32(now.nodes), np.int32(now.times)
        now.times += 1
        _copied(nodes, now, nodes[owner].token, other.word, other.node, before)
    if leaf == owner:
        return start, start
    made, at, time = np.int32(now.nodes), leaf, nodes[leaf].time
    for k in range(length):
        last = k == length - 1
        record, copy = times[time], times[now.times]
        copy.start, copy.end, copy.peak = record.start, record.end, record.peak
        copy.before = before if last else now.times + 1
        parent = start if last else now.nodes + 1
        _copied(nodes, now, nodes[at].token, nodes[at].word, parent, now.times)
        now.times += 1
        at, time = nodes[at].parent, record.before
    return made, start


@compiled
def _copied(nodes, now, token, word, parent, time):
    """Make a node that its parent does not know of."""
    node = nodes[now.nodes]
    node.parent, node.token, node.word, node.time = parent, token, word, time
    node.child, node.sibling, node.alternative = -1, -1, -1
    now.nodes += 1


@compiled
def _text(nodes, leaf, word, kinds, names):
    """Return a number that hypotheses with the same text share, and others do not."""
    value, between, spoken, at = np.int64(1469598103934665603), False, False, leaf
    if len(names) > 0 and word >= 0:
        value = _mixed(value, names[word])
    while nodes[at].parent >= 0:
        node = nodes[at]
        if len(names) > 0:
            if node.word >= 0:
                value = _mixed(value, names[node.word])
        elif kinds[node.token].kind == SEPARATES:
            between = spoken
        else:
            if between:
                value = _mixed(value, -1)
            between, spoken = False, True
            value = _mixed(value, node.token)
        at = node.parent
    return value


@compiled
def _mixed(value, number):
    """Return a hash of a number and all before it."""
    value = (value ^ np.int64(number + 2)) * np.int64(1099511628211)
    return value ^ (value >> np.int64(29))

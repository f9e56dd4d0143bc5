"""Prefixes of a beam search: a tree of token sequences, where their tokens lie, and how certain they are."""

from __future__ import annotations

import numpy as np

from speechlstm.decoders.compiled import compiled

VOTE = 1e-3  # least weight of a vote that is counted
NEAR = 2  # frames by which the same token of two hypotheses may be apart

NODE = np.dtype(
    [
        ("parent", np.int32),
        ("token", np.int32),
        ("child", np.int32),  # first child
        ("sibling", np.int32),  # next child of the same parent
        ("word", np.int32),  # the word that ended when this token came, -1 none or unknown
        ("time", np.int32),  # where the last token lies
        ("alternative", np.int32),  # the first of those with the same future, -1 if there is none
    ],
    align=True,
)

# Where a token lies in the alignments that matter. They may change for a prefix, but not for those that continue it.
TIME = np.dtype(
    [
        ("start", np.int32),  # first frame
        ("end", np.int32),  # the frame after the last
        ("before", np.int32),  # where the token before lies
        ("peak", np.float32),  # greatest probability of the token within its frames
    ],
    align=True,
)

# What a prefix may be replaced by, as it has the same future: another one, or that with the prefix's last token.
ALTERNATIVE = np.dtype(
    [
        ("node", np.int32),  # the other one
        ("word", np.int32),  # that ends with the token, -1 an unknown one; -2: no token is added
        ("next", np.int32),  # the next alternative of the same prefix, -1 if there is none
        ("time", np.int32),  # where the other's last token lies
        ("start", np.int32),  # the frame of the token
        ("peak", np.float32),  # and its probability
        ("gain", np.float64),  # what the score changes by: natural logs, 0 or less
        ("lm", np.float64),  # what it changes by in `lm`
        ("bonus", np.float64),  # and in `bonus`
    ],
    align=True,
)


@compiled
def find(nodes, parent, token, word):
    """Return the child of a prefix by a token, and by the word that ended before it; -1 if there is none."""
    index = nodes[parent].child
    while index >= 0 and (nodes[index].token != token or nodes[index].word != word):
        index = nodes[index].sibling
    return index


@compiled
def append(nodes, index, parent, token, word):
    """Make a node of a prefix with one more token."""
    node = nodes[index]
    node.parent, node.token, node.word, node.child, node.alternative = parent, token, word, -1, -1
    node.sibling = nodes[parent].child
    nodes[parent].child = index


@compiled
def begin(times, index, before, frame, probability):
    """Make a record of a token that is reached in a frame, with where the token before lies."""
    time = times[index]
    time.start, time.end, time.before, time.peak = frame, frame + 1, before, probability


@compiled
def prepend(nodes, index, first, alternatives):
    """Give a prefix the alternatives from `first` on, before those that it has."""
    if first >= 0:
        last = first
        while alternatives[last].next >= 0:
            last = alternatives[last].next
        alternatives[last].next, nodes[index].alternative = nodes[index].alternative, first


@compiled
def describe(nodes, times, index, voters, weights):
    """Return the tokens of a prefix, and how certain they are.

    The `voters`, itself among them, are asked whether they have the same tokens, too, about where it does; `weights`
    are those of their votes.

    Returns:
        `(tokens, 4)` token, start, end and word, and `(tokens,)` the greatest probability of each within its frames
        times the weight of those that agree.
    """
    count, at = 0, index
    while nodes[at].parent >= 0:
        at = nodes[at].parent
        count += 1
    spans, certain, agreed = np.empty((count, 4), np.int64), np.empty(count), np.zeros(count)
    for v in range(len(weights)):
        if weights[v] < VOTE:
            continue
        mine, other, k = index, voters[v], count - 1
        at, other_at = nodes[mine].time, nodes[other].time
        while nodes[mine].parent >= 0 and nodes[other].parent >= 0:
            if mine == other:
                for same in range(k + 1):
                    agreed[same] += weights[v]
                break
            start, other_start = times[at].start, times[other_at].start
            forward, backward = start >= other_start, start <= other_start
            if nodes[mine].token == nodes[other].token and abs(start - other_start) <= NEAR:
                agreed[k] += weights[v]
                forward = backward = True
            if forward:
                at, mine, k = times[at].before, nodes[mine].parent, k - 1
            if backward:
                other_at, other = times[other_at].before, nodes[other].parent
    at, limit = nodes[index].time, np.int32(2**31 - 1)
    for k in range(count - 1, -1, -1):
        node, time = nodes[index], times[at]
        spans[k, 0], spans[k, 1], spans[k, 2], spans[k, 3] = (
            node.token,
            time.start,
            min(time.end, limit),
            node.word,
        )
        certain[k] = min(1.0, time.peak * agreed[k])
        limit, at, index = time.start, time.before, node.parent
    return spans, certain

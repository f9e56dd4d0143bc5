"""Prefixes of a beam search: a tree of token sequences with what words, language model and hotwords make of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlstm.lm import query

CONTINUES, SEPARATES, BEGINS = 0, 1, 2  # what a token does to words
OUTSIDE = -1  # place in the lexicon of a word that it does not have
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

# What language model, lexicon and hotwords know of a prefix; not touched by a search without them.
STATE = np.dtype(
    [
        ("place", np.int32),  # in the lexicon: 0 between words, a trie node within one, or OUTSIDE
        ("hot", np.int32),  # in the trie of hotwords
        ("ended", np.int32),  # whether the next three are known: 0 no, 1 yes, 2 no word can end here
        ("end_word", np.int32),  # the word that ends here
        ("end_lm", np.float64),  # its log-probability
        ("end_state", np.int64),  # the language model's state after it
        ("state", np.int64),  # and before
        ("lm", np.float64),  # log-probability of the words (or tokens) so far, unweighted
        ("bonus", np.float64),  # word bonus, price of unknown words, hotwords
        ("fusion", np.float64),  # all that multiplied into the probability, in logs: lm, bonus and look-ahead
    ],
    align=True,
)


class Rules(NamedTuple):
    """What follows from the tokens, the lexicon and the hotwords; the same for all utterances."""

    kind: NDArray[np.int8]  # of each token: CONTINUES, SEPARATES or BEGINS
    lm_token: NDArray[np.int32]  # the language model's word of each token, if it is a model of tokens
    first: NDArray[np.int32]  # lexicon trie: a node's children are first[node] to first[node + 1]
    token: NDArray[np.int32]  # the token that leads to a node; children are sorted by it
    first_word: NDArray[np.int32]  # a node's words are first_word[node] to first_word[node + 1]
    lm_word: NDArray[np.int32]  # the language model's word of each lexicon word
    ahead: NDArray[
        np.float64
    ]  # weighted logs: the best that can still come of a partial word; ahead[-1]: OUTSIDE
    hot_first: NDArray[np.int32]  # trie of hotwords, as above
    hot_token: NDArray[np.int32]
    hot_fail: NDArray[np.int32]  # where to go on when a phrase breaks off
    hot_score: NDArray[np.float64]  # bonus of a partial phrase
    hot_kept: NDArray[np.float64]  # what of it stays when it breaks off: that of a whole phrase within
    hot_whole: NDArray[np.float64]  # the same, if a word ends here


class Options(NamedTuple):
    """The numbers that steer the search."""

    beam_size: int
    max_tokens: int
    token_threshold: float  # natural log
    beam_threshold: float  # linear, share of the best
    lm_kind: int  # 0 none, 1 of tokens, 2 of words
    lm_weight: float
    word_bonus: float
    unk_score: float
    lm_unknown: int  # the language model's unknown word
    lm_end: int  # and its end of a sentence
    lexicon: bool  # whether words are followed in the trie
    strict: bool
    hot: bool
    gain: float  # most that a token within a word can gain, natural log


@njit(nogil=True, cache=True)
def child(first, token, node, wanted):
    """Return the child of a trie node by a token, -1 if there is none."""
    low, high = first[node], first[node + 1]
    while low < high:
        middle = (low + high) >> 1
        if token[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < first[node + 1] and token[low] == wanted else -1


@njit(nogil=True, cache=True)
def variants_of(place, rules):
    """Return how many words end at a place of the lexicon; at least 1, the unknown word."""
    return max(1, rules.first_word[place + 1] - rules.first_word[place]) if place > 0 else 1


@njit(nogil=True, cache=True)
def end_of_word(state, variant, rules, options, lm):
    """Return `(allowed, word, log-probability, state)` of ending the word that a prefix is in."""
    word, known = -1, options.lm_unknown
    if state.place > 0:
        index = rules.first_word[state.place] + variant
        if index < rules.first_word[state.place + 1]:
            word, known = index, rules.lm_word[index]
    if word < 0 and options.strict:
        return False, word, 0.0, state.state
    if options.lm_kind != 2:
        return True, word, 0.0, state.state
    log_prob, after = query(lm, state.state, known)
    return True, word, log_prob, after


@njit(nogil=True, cache=True)
def ending(state, rules, options, lm):
    """Make sure that a state knows what the end of its word means; return whether a word can end here."""
    if state.ended == 0:
        allowed, word, log_prob, after = end_of_word(state, 0, rules, options, lm)
        state.ended = 1 if allowed else 2
        state.end_word, state.end_lm, state.end_state = word, log_prob, after
    return state.ended == 1


@njit(nogil=True, cache=True)
def gain_of_ending(state, rules, options, lm):
    """Return what the logs of a prefix can gain at most by the end of its word."""
    if not ending(state, rules, options, lm):
        return 0.0
    price = options.unk_score if state.end_word < 0 else 0.0
    gain = options.lm_weight * state.end_lm + options.word_bonus + price - rules.ahead[state.place]
    return max(0.0, gain)


@njit(nogil=True, cache=True)
def hot_step(place, token, kind, between, rules):
    """Return where a token leads in the trie of hotwords, and what the bonus changes by.

    Args:
        place: in the trie, OUTSIDE within a word that is part of no phrase.
        token: the next one.
        kind: of the token.
        between: no word has begun before it.
        rules: with the trie.
    """
    begins = kind == BEGINS or (kind == CONTINUES and between)
    gain = 0.0
    if place == OUTSIDE:
        if not (begins or kind == SEPARATES):
            return place, gain
        place = 0
    while place != 0 or begins:
        to = child(rules.hot_first, rules.hot_token, place, token)
        if to >= 0:
            return to, gain + rules.hot_score[to] - rules.hot_score[place]
        if place == 0:
            break
        kept = rules.hot_kept[place] if kind == CONTINUES else rules.hot_whole[place]
        back = rules.hot_fail[place]
        gain += kept - rules.hot_score[place] + rules.hot_score[back]
        place = back
    return (0 if kind == SEPARATES else OUTSIDE), gain


@njit(nogil=True, cache=True)
def extend(states, index, token, variant, rules, options, lm):
    """Return what a prefix becomes with one more token.

    Returns:
        `(allowed, fusion, word, place, hot, state, lm, bonus)`, as in STATE
    """
    before = states[index]
    kind = rules.kind[token]
    place, state, total, bonus, word, ahead = before.place, before.state, before.lm, before.bonus, -1, 0.0
    if options.lm_kind == 1:
        log_prob, state = query(lm, state, rules.lm_token[token])
        total += log_prob
    if kind != CONTINUES and place != 0:
        if variant > 0:
            _, word, log_prob, after = end_of_word(before, variant, rules, options, lm)
        elif ending(before, rules, options, lm):
            word, log_prob, after = before.end_word, before.end_lm, before.end_state
        else:
            return False, 0.0, word, place, 0, state, total, bonus
        if options.lm_kind == 2:
            total, state = total + log_prob, after
        bonus += options.word_bonus
        if word < 0:
            bonus += options.unk_score
        place = 0
    if kind != SEPARATES:
        if not options.lexicon:
            place = OUTSIDE
        elif place >= 0:
            place = child(rules.first, rules.token, place, token)  # OUTSIDE where there is none
        if place == OUTSIDE and options.strict:
            return False, 0.0, word, place, 0, state, total, bonus
        ahead = rules.ahead[place]
    hot = 0
    if options.hot:
        hot, gain = hot_step(before.hot, token, kind, before.place == 0, rules)
        bonus += gain
    return True, options.lm_weight * total + bonus + ahead, word, place, hot, state, total, bonus


@njit(nogil=True, cache=True)
def find(nodes, parent, token, word):
    """Return the child of a prefix by a token, and by the word that ended before it; -1 if there is none."""
    index = nodes[parent].child
    while index >= 0 and (nodes[index].token != token or nodes[index].word != word):
        index = nodes[index].sibling
    return index


@njit(nogil=True, cache=True)
def append(nodes, index, parent, token, word):
    """Make a node of a prefix with one more token."""
    node = nodes[index]
    node.parent, node.token, node.word, node.child = parent, token, word, -1
    node.sibling = nodes[parent].child
    nodes[parent].child = index


@njit(nogil=True, cache=True)
def begin(times, index, before, frame, probability):
    """Make a record of a token that is reached in a frame, with where the token before lies."""
    time = times[index]
    time.start, time.end, time.before, time.peak = frame, frame + 1, before, probability


@njit(nogil=True, cache=True)
def finish(states, index, rules, options, lm):
    """Return `(allowed, word, lm, bonus)` of a prefix at the end of the utterance."""
    at = states[index]
    total, bonus, state, word = at.lm, at.bonus, at.state, -1
    if options.hot and at.hot > 0:
        bonus += rules.hot_whole[at.hot] - rules.hot_score[at.hot]
    if at.place != 0:
        allowed, word, best, state = end_of_word(at, 0, rules, options, lm)
        if not allowed:
            return False, word, total, bonus
        for variant in range(1, variants_of(at.place, rules)):
            _, other, log_prob, after = end_of_word(at, variant, rules, options, lm)
            if log_prob > best:
                word, best, state = other, log_prob, after
        total += best
        bonus += options.word_bonus
        if word < 0:
            bonus += options.unk_score
    if options.lm_kind != 0:
        total += query(lm, state, options.lm_end)[0]
    return True, word, total, bonus


@njit(nogil=True, cache=True)
def describe(nodes, times, index, voters, weights):
    """Return the tokens of a prefix, and how certain they are.

    Args:
        nodes: the tree.
        times: where the tokens lie.
        index: the prefix.
        voters: `(prefixes,)` that are asked which tokens they have, too, about where it does; itself among them.
        weights: `(prefixes,)` of their votes.

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

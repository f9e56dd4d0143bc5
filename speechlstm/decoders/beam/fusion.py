"""Fusion: what language model, lexicon and hotwords make of a prefix, and of each token that may continue it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlstm.decoders.lm import query

CONTINUES, SEPARATES, BEGINS = 0, 1, 2  # what a token does to words
OUTSIDE = -1  # place in the lexicon of a word that it does not have

# What language model, lexicon and hotwords know of a prefix; not touched by a search without them.
STATE = np.dtype(
    [
        ("place", np.int32),  # in the lexicon: 0 between words, a trie node within one, or OUTSIDE
        ("hot", np.int32),  # in the trie of hotwords
        ("ended", np.int32),  # whether the next three are known: 0 no, 1 yes, 2 no word can end here
        ("end_word", np.int32),  # the word that ends here
        ("end_lm", np.float64),  # its log-probability
        ("end_factor", np.float64),  # and what its end multiplies into the probability
        ("end_state", np.int64),  # the language model's state after it
        ("state", np.int64),  # and before
        ("lm", np.float64),  # log-probability of the words (or tokens) so far, unweighted
        ("bonus", np.float64),  # word bonus, price of unknown words, hotwords
        ("fusion", np.float64),  # all that multiplied into the probability, in logs: lm, bonus and look-ahead
    ],
    align=True,
)


TOKEN = np.dtype([("kind", np.int32), ("lm", np.int32)])  # CONTINUES and so on; the word of a model of tokens

# The lexicon as a trie. The last record closes the one before it, and is OUTSIDE, which numba finds at index -1.
PLACE = np.dtype(
    [
        (
            "first",
            np.int32,
        ),  # the children of a node are from here to `first` of the next; sorted by their tokens
        ("token", np.int32),  # that leads to the node
        ("first_word", np.int32),  # its words are from here to `first_word` of the next
        ("ahead", np.float64),  # weighted logs: the best that can still come of a partial word
        ("down", np.float64),  # what the step to the node multiplies into the probability
        ("out", np.float64),  # and the step from the node to OUTSIDE
    ],
    align=True,
)

# Hotwords as a trie.
HOT = np.dtype(
    [
        ("first", np.int32),  # children, as above
        ("token", np.int32),
        ("fail", np.int32),  # where to go on when a phrase breaks off
        ("score", np.float64),  # bonus of a partial phrase
        ("kept", np.float64),  # what of it stays when it breaks off: that of a whole phrase within
        ("whole", np.float64),  # the same, if a word ends here
    ],
    align=True,
)


class Rules(NamedTuple):
    """What follows from the tokens, the lexicon and the hotwords; the same for all utterances.

    Compiled functions are given the arrays one by one: to take one out of a tuple is to count references, which costs
    more than what is looked up.
    """

    tokens: NDArray[Any]  # (vocab,) TOKEN
    trie: NDArray[Any]  # (nodes + 1,) PLACE
    words: NDArray[np.int32]  # (words,) the language model's word of each, in the order of the trie
    hot: NDArray[Any]  # (nodes + 1,) HOT


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
    homophones: int  # most words of the lexicon that are spelled alike
    hot: bool
    gain: float  # most that a token within a word can gain, natural log


@njit(nogil=True, cache=True, inline="always")
def child(trie, node, wanted):
    """Return the child of a trie node by a token, -1 if there is none."""
    low, high = trie[node].first, trie[node + 1].first
    end = high
    while low < high:
        middle = (low + high) >> 1
        if trie[middle].token < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and trie[low].token == wanted else -1


@njit(nogil=True, cache=True)
def variants_of(place, trie):
    """Return how many words end at a place of the lexicon; at least 1, the unknown word."""
    return max(1, trie[place + 1].first_word - trie[place].first_word) if place > 0 else 1


@njit(nogil=True, cache=True)
def end_of_word(state, variant, trie, words, options, lm):
    """Return `(allowed, word, log-probability, state)` of ending the word that a prefix is in."""
    word, known = -1, options.lm_unknown
    if state.place > 0:
        index = trie[state.place].first_word + variant
        if index < trie[state.place + 1].first_word:
            word, known = index, words[index]
    if word < 0 and options.strict:
        return False, word, 0.0, state.state
    if options.lm_kind != 2:
        return True, word, 0.0, state.state
    log_prob, after = query(lm, state.state, known)
    return True, word, log_prob, after


@njit(nogil=True, cache=True)
def ending(state, trie, words, options, lm):
    """Make sure that a state knows what the end of its word means; return whether a word can end here."""
    if state.ended == 0:
        allowed, word, log_prob, after = end_of_word(state, 0, trie, words, options, lm)
        state.ended = 1 if allowed else 2
        state.end_word, state.end_lm, state.end_state = word, log_prob, after
        price = options.unk_score if word < 0 else 0.0
        change = options.lm_weight * log_prob + options.word_bonus + price - trie[state.place].ahead
        state.end_factor = math.exp(change) if allowed else 0.0
    return state.ended == 1


@njit(nogil=True, cache=True, inline="always")
def quick_factor(state, token, kind, trie, options):
    """Return what a token multiplies into the probability of a prefix, 0 if it is not allowed.

    For searches without hotwords and models of tokens, where it is a matter of looking up; `ending` has been asked.
    """
    factor, place = 1.0, state.place
    if kind != CONTINUES and place != 0:
        factor, place = state.end_factor, 0
    if kind == SEPARATES or not options.lexicon or place == OUTSIDE or factor == 0.0:
        return factor
    to = child(trie, place, token)
    if to >= 0:
        return factor * trie[to].down
    return 0.0 if options.strict else factor * trie[place].out


@njit(nogil=True, cache=True)
def hot_step(place, token, kind, between, hot):
    """Return where a token leads in the trie of hotwords, and what the bonus changes by.

    Args:
        place: in the trie, OUTSIDE within a word that is part of no phrase.
        token: the next one.
        kind: of the token.
        between: no word has begun before it.
        hot: the trie.
    """
    begins = kind == BEGINS or (kind == CONTINUES and between)
    gain = 0.0
    if place == OUTSIDE:
        if not (begins or kind == SEPARATES):
            return place, gain
        place = 0
    while place != 0 or begins:
        to = child(hot, place, token)
        if to >= 0:
            return to, gain + hot[to].score - hot[place].score
        if place == 0:
            break
        kept = hot[place].kept if kind == CONTINUES else hot[place].whole
        back = hot[place].fail
        gain += kept - hot[place].score + hot[back].score
        place = back
    return (0 if kind == SEPARATES else OUTSIDE), gain


@njit(nogil=True, cache=True)
def extend(states, index, token, variant, kinds, trie, words, hot, options, lm):
    """Return what a prefix becomes with one more token.

    Returns:
        `(allowed, fusion, word, place, hot, state, lm, bonus)`, as in STATE
    """
    before = states[index]
    kind = kinds[token].kind
    place, state, total, bonus, word, ahead = before.place, before.state, before.lm, before.bonus, -1, 0.0
    if options.lm_kind == 1:
        log_prob, state = query(lm, state, kinds[token].lm)
        total += log_prob
    if kind != CONTINUES and place != 0:
        if variant > 0:
            _, word, log_prob, after = end_of_word(before, variant, trie, words, options, lm)
        elif ending(before, trie, words, options, lm):
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
            place = child(trie, place, token)  # OUTSIDE where there is none
        if place == OUTSIDE and options.strict:
            return False, 0.0, word, place, 0, state, total, bonus
        ahead = trie[place].ahead
    phrase = 0
    if options.hot:
        phrase, gain = hot_step(before.hot, token, kind, before.place == 0, hot)
        bonus += gain
    return True, options.lm_weight * total + bonus + ahead, word, place, phrase, state, total, bonus


@njit(nogil=True, cache=True)
def finish(states, index, trie, words, hot, options, lm):
    """Return `(allowed, word, lm, bonus)` of a prefix at the end of the utterance."""
    at = states[index]
    total, bonus, state, word = at.lm, at.bonus, at.state, -1
    if options.hot and at.hot > 0:
        bonus += hot[at.hot].whole - hot[at.hot].score
    if at.place != 0:
        allowed, word, best, state = end_of_word(at, 0, trie, words, options, lm)
        if not allowed:
            return False, word, total, bonus
        for variant in range(1, variants_of(at.place, trie)):
            _, other, log_prob, after = end_of_word(at, variant, trie, words, options, lm)
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
def endings(states, beam, rules, options, lm):
    """Return what the prefixes of the beam are worth as whole utterances.

    Returns:
        `(prefixes, 4)` natural logs of each: score (-inf if a word is incomplete), acoustic, lm, bonus; `(prefixes,)`
        the last word as `finish` gives it; `(prefixes,)` their probabilities among each other; which is the best.
    """
    width, best = beam.numbers[2], 0
    logs, words, weights, total_weight = np.zeros((width, 4)), np.empty(width, np.int64), np.zeros(width), 0.0
    fused = options.lm_kind != 0 or options.lexicon or options.hot or options.word_bonus != 0.0
    for i in range(width):
        both = beam.blank[i] + beam.token[i]
        words[i] = -1
        logs[i, 0] = logs[i, 1] = beam.scale[0] + (math.log(both) if both > 0.0 else -np.inf)
        if fused:
            index = beam.node[i]
            allowed, words[i], total, bonus = finish(
                states, index, rules.trie, rules.words, rules.hot, options, lm
            )
            logs[i, 1] -= states[index].fusion
            logs[i, 2], logs[i, 3] = total, bonus
            logs[i, 0] = logs[i, 1] + options.lm_weight * total + bonus if allowed else -np.inf
        if logs[i, 0] > logs[best, 0]:
            best = i
    if logs[best, 0] > -np.inf:
        for i in range(width):
            weights[i] = math.exp(logs[i, 0] - logs[best, 0])
            total_weight += weights[i]
        for i in range(width):
            weights[i] /= total_weight
    return logs, words, weights, best

"""Fusion: scores of language model, lexicon, and hotwords for a prefix and each token that may continue it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlstm.decoders.beam.lookahead import Successors, best_below
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import NGramArrays, query

CONTINUES, SEPARATES, BEGINS = 0, 1, 2  # what a token does to words
OUTSIDE = -1  # place in the lexicon of a word that it does not have

# What language model, lexicon and hotwords know of a prefix; not used by a search without them.
STATE = np.dtype(
    [
        ("place", np.int32),  # in the lexicon: 0 between words, a trie node within one, or OUTSIDE
        ("hot", np.int32),  # in the trie of hotwords
        ("asked", np.bool_),  # whether it is known what the end of its word means, which is:
        ("allowed", np.bool_),  # that a word can end here,
        ("end_word", np.int32),  # which one,
        ("end_lm", np.float64),  # its log-probability,
        ("end_bonus", np.float64),  # what it adds to `bonus`,
        ("end_factor", np.float64),  # what its end multiplies into the probability,
        ("end_state", np.int64),  # and the language model's state after it
        ("state", np.int64),  # of the language model
        ("lm", np.float64),  # log-probability of the words (or tokens) so far, unweighted
        ("bonus", np.float64),  # word bonus, price of unknown words, hotwords
        ("ahead", np.float64),  # weighted log of the best that can still come of a partial word
        ("fusion", np.float64),  # all that multiplied into the probability, in logs: lm, bonus and ahead
    ],
    align=True,
)


class Rules(NamedTuple):
    """What follows from the tokens, the lexicon, the hotwords and the language model; the same for all utterances."""

    tokens: NDArray[Any]  # (vocab,) TOKEN
    trie: NDArray[Any]  # (nodes + 1,) PLACE
    below: NDArray[Any]  # (nodes,) BELOW
    words: NDArray[Any]  # (words,) WORD
    hot: NDArray[Any]  # (nodes + 1,) HOT
    lm: NGramArrays
    successors: Successors


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
    lm_share: float  # natural log of the share of its probability that each word of the lexicon gets
    lm_end: int  # the language model's end of a sentence
    lexicon: bool  # whether words are followed in the trie
    strict: bool
    context: bool  # whether the look-ahead takes account of the words before
    homophones: int  # most words of the lexicon that are spelled alike
    hot: bool
    bound: float  # most that a token within a word can multiply into a probability
    fused: bool  # whether there is anything but the acoustic model: language model, lexicon, hotwords, word bonus
    recombines: bool  # whether of prefixes with the same future only the best is kept
    quick: bool  # whether what a token multiplies into a probability can be looked up: see `quick_factor`


class Ending(NamedTuple):
    """What it means to end the word that a prefix is in."""

    allowed: bool
    word: int | np.int64  # of the lexicon, -1 none
    log_prob: float
    bonus: float  # of the word, the price of an unknown one, and how often it is pronounced so
    state: int | np.int64  # of the language model


class Continuation(NamedTuple):
    """A prefix with one more token; all but `allowed` and `word`, which has just ended, as in STATE."""

    allowed: bool
    fusion: float
    word: int
    place: int | np.int64
    hot: int
    state: int | np.int64
    lm: float
    bonus: float
    ahead: float


@compiled
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


@compiled
def variants_of(place, trie):
    """Return how many words end at a place of the lexicon; at least 1, the unknown word."""
    return max(1, trie[place + 1].first_word - trie[place].first_word) if place > 0 else 1


@compiled
def end_of_word(state, variant, trie, words, options, lm):
    """Return the `Ending` of the word that a prefix is in, as the variant-th of its homophones."""
    word, known, share, bonus = -1, options.lm_unknown, 0.0, options.word_bonus
    if state.place > 0:
        index = trie[state.place].first_word + variant
        if index < trie[state.place + 1].first_word:
            word, known = index, words[index].lm
            bonus += words[index].spoken
            if known == options.lm_unknown:
                share = options.lm_share
    if word < 0:
        if options.strict:
            return Ending(False, word, 0.0, 0.0, state.state)
        bonus += options.unk_score
    if options.lm_kind != 2:
        return Ending(True, word, 0.0, bonus, state.state)
    log_prob, after = query(lm, state.state, known)
    return Ending(True, word, log_prob + share, bonus, np.int64(after))


@compiled
def ending(state, trie, words, options, lm):
    """Note in a state what the end of its word means; of homophones `end_factor` has the best."""
    end = end_of_word(state, 0, trie, words, options, lm)
    state.asked, state.allowed = True, end.allowed
    state.end_word, state.end_state = end.word, end.state
    state.end_lm, state.end_bonus = end.log_prob, end.bonus
    best = worth(end, options)
    for variant in range(1, variants_of(state.place, trie)):
        best = max(best, worth(end_of_word(state, variant, trie, words, options, lm), options))
    state.end_factor = math.exp(best - state.ahead) if end.allowed else 0.0


@compiled
def worth(end, options):
    """Return what an `Ending` adds to a score."""
    return options.lm_weight * end.log_prob + end.bonus


@njit(inline="always")
def look_ahead(memo, state, place, rules, options):
    """Return the weighted log of the best that can come of a partial word after a state, remembered in `memo`."""
    known = memo[(state * 40503 + place * 30011) & (len(memo) - 1)]
    if known.place != place or known.state != state:
        best = best_below(rules.below[place], state, rules.lm, rules.successors)
        if rules.below[place].lacks:
            best = max(best, query(rules.lm, state, options.lm_unknown)[0] + options.lm_share)
        # At most 0 and not too small for the exponential of a difference; what it is exactly changes no result.
        known.ahead = min(0.0, max(-600.0, options.lm_weight * best))
        known.state, known.place = state, place
    return known.ahead


@njit(inline="always")
def quick_factor(known, state, token, kind, memo, rules, options):
    """Tell what a token multiplies into the probability of a prefix, 0 if it is not allowed, and where it leads.

    For searches without hotwords and models of tokens, where it is a matter of looking up; `ending` has been asked.
    """
    factor, place, after, ahead = 1.0, state.place, state.state, state.ahead
    if kind != CONTINUES and place != 0:
        factor, place, after, ahead = state.end_factor, 0, state.end_state, 0.0
    known.state, known.rival = after, -1
    if kind != SEPARATES and options.lexicon and place != OUTSIDE and factor > 0.0:
        to = child(rules.trie, place, token)
        if to >= 0 and options.context:
            factor *= math.exp(look_ahead(memo, after, to, rules, options) - ahead)
        elif to >= 0:
            factor *= rules.trie[to].down
        else:
            factor = 0.0 if options.strict else factor * rules.trie[place].out
        place = to
    elif kind != SEPARATES:
        place = OUTSIDE
    known.value, known.place = factor, place


@compiled
def hot_step(place, token, kind, between, hot):
    """Return where a token leads in the trie of hotwords, and what the bonus changes by.

    `place` is OUTSIDE within a word that is part of no phrase; `between`: no word has begun before the token.
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


@compiled
def continuation(before, token, variant, memo, rules, options):
    """Return the `Continuation` of a prefix by a token, its word ended as the variant-th homophone."""
    kind, phrase = rules.tokens[token].kind, 0
    place, state, total, bonus, word, ahead = before.place, before.state, before.lm, before.bonus, -1, 0.0
    if options.lm_kind == 1:
        log_prob, state = query(rules.lm, state, rules.tokens[token].lm)
        total += log_prob
    if kind != CONTINUES and place != 0:
        if variant == 0 and not before.asked:
            ending(before, rules.trie, rules.words, options, rules.lm)
        if variant > 0:
            end = end_of_word(before, variant, rules.trie, rules.words, options, rules.lm)
        else:
            ended, own = np.int64(before.end_word), before.end_bonus
            end = Ending(before.allowed, ended, before.end_lm, own, before.end_state)
        if not end.allowed:
            return Continuation(False, 0.0, -1, 0, 0, 0, 0.0, 0.0, 0.0)
        word = end.word
        if options.lm_kind == 2:
            total, state = total + end.log_prob, end.state
        bonus += end.bonus
        place = 0
    if kind != SEPARATES:
        if not options.lexicon:
            place = OUTSIDE
        elif place >= 0:
            place = child(rules.trie, place, token)  # OUTSIDE where there is none
        if place == OUTSIDE and options.strict:
            return Continuation(False, 0.0, -1, 0, 0, 0, 0.0, 0.0, 0.0)
        ahead = rules.trie[place].ahead
        if options.context:
            ahead = look_ahead(memo, np.int64(state), place, rules, options)
    if options.hot:
        phrase, gain = hot_step(before.hot, token, kind, before.place == 0, rules.hot)
        bonus += gain
    fusion = options.lm_weight * total + bonus + ahead
    return Continuation(True, fusion, word, np.int64(place), phrase, np.int64(state), total, bonus, ahead)

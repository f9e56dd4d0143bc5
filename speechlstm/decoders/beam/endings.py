"""The end of an utterance: scores of the prefixes in the beam as complete texts."""

from __future__ import annotations

import math

import numpy as np

from speechlstm.decoders.beam.fusion import end_of_word, variants_of, worth
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import query


@compiled
def finish(at, rules, options):
    """Return `(allowed, word, lm, bonus)` of a prefix at the end of the utterance."""
    total, bonus, word = at.lm, at.bonus, -1
    if options.hot and at.hot > 0:
        bonus += rules.hot[at.hot].whole - rules.hot[at.hot].score
    if at.place == 0:
        return True, word, total + end_of_text(at.state, rules, options), bonus
    score, log_prob, own = -np.inf, 0.0, 0.0
    for variant in range(variants_of(at.place, rules.trie)):
        end = end_of_word(at, variant, rules.trie, rules.words, options, rules.lm)
        if not end.allowed:
            return False, end.word, total, bonus
        last = end_of_text(end.state, rules, options)
        if worth(end, options) + options.lm_weight * last > score:
            score = worth(end, options) + options.lm_weight * last
            word, log_prob, own = end.word, end.log_prob + last, end.bonus
    return True, word, total + log_prob, bonus + own


@compiled
def end_of_text(state, rules, options):
    """Return the log-probability that the language model ends the text after a state."""
    return query(rules.lm, state, options.lm_end)[0] if options.lm_kind != 0 else 0.0


@compiled
def endings(states, beam, rules, options):
    """Return what the prefixes of the beam are worth as whole utterances.

    Returns:
        `(prefixes, 4)` natural logs of each: score (-inf if a word is incomplete), acoustic, lm, bonus; `(prefixes,)`
        the last word as `finish` gives it.
    """
    now = beam.now[0]
    logs, words = np.zeros((now.width, 4)), np.empty(now.width, np.int64)
    for i in range(now.width):
        lane = beam.lanes[i]
        both = lane.blank + lane.token
        words[i] = -1
        logs[i, 0] = logs[i, 1] = now.scale + (math.log(both) if both > 0.0 else -np.inf)
        if options.fused:
            allowed, words[i], total, bonus = finish(states[lane.node], rules, options)
            logs[i, 1] -= states[lane.node].fusion
            logs[i, 2], logs[i, 3] = total, bonus
            logs[i, 0] = logs[i, 1] + options.lm_weight * total + bonus if allowed else -np.inf
    return logs, words

"""The end of an utterance: scores of the prefixes in the beam as complete texts."""

from __future__ import annotations

import math

import numpy as np

from speechlstm.decoders.beam.fusion import end_of_word, variants_of
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import query


@compiled
def finish(at, rules, options):
    """Return `(allowed, word, lm, bonus)` of a prefix at the end of the utterance."""
    total, bonus, state, word = at.lm, at.bonus, at.state, -1
    if options.hot and at.hot > 0:
        bonus += rules.hot[at.hot].whole - rules.hot[at.hot].score
    if at.place != 0:
        best = end_of_word(at, 0, rules.trie, rules.words, options, rules.lm)
        if not best.allowed:
            return False, best.word, total, bonus
        for variant in range(1, variants_of(at.place, rules.trie)):
            other = end_of_word(at, variant, rules.trie, rules.words, options, rules.lm)
            if other.log_prob > best.log_prob:
                best = other
        word, state = best.word, best.state
        total += best.log_prob
        bonus += options.word_bonus
        if word < 0:
            bonus += options.unk_score
    if options.lm_kind != 0:
        total += query(rules.lm, state, options.lm_end)[0]
    return True, word, total, bonus


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

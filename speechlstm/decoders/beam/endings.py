"""The end of an utterance: scores of the prefixes in the beam as complete texts."""

from __future__ import annotations

import math

import numpy as np

from speechlstm.decoders.beam.fusion import end_of_word, variants_of
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import query


@compiled
def finish(at, variant, rules, options):
    """Return `(allowed, word, lm, bonus)` of a prefix at the end of the utterance, with the variant-th homophone."""
    total, bonus, word = at.lm, at.bonus, -1
    if options.hot and at.hot > 0:
        bonus -= rules.hot[at.hot].score
        place = at.hot
        while place > 0:
            bonus += rules.hot[place].whole
            place = rules.hot[place].fail
    if at.place == 0:
        return True, word, total + end_of_text(at.state, rules, options), bonus
    end = end_of_word(at, variant, rules.trie, rules.words, options, rules.lm)
    if not end.allowed:
        return False, end.word, total, bonus
    total += end.log_prob + end_of_text(end.state, rules, options)
    return True, end.word, total, bonus + end.bonus


@compiled
def end_of_text(state, rules, options):
    """Return the log-probability that the language model ends the text after a state."""
    return query(rules.lm, state, options.lm_end)[0] if options.lm_kind != 0 else 0.0


@compiled
def endings(states, beam, rules, options):
    """Return what the prefixes of the beam are worth as whole utterances, with each homophone of their last words.

    Returns:
        `(endings,)` the lane of each; `(endings, 4)` natural logs: score (-inf if a word is incomplete), acoustic, lm,
        bonus; `(endings,)` the last word as `finish` gives it.
    """
    now, count = beam.now[0], 0
    most = now.width * options.homophones
    lanes, logs, words = np.empty(most, np.int32), np.zeros((most, 4)), np.empty(most, np.int64)
    for i in range(now.width):
        lane = beam.lanes[i]
        both = lane.blank + lane.token
        score = now.scale + (math.log(both) if both > 0.0 else -np.inf)
        variants = variants_of(states[lane.node].place, rules.trie) if options.fused else 1
        for variant in range(variants):
            lanes[count], words[count] = i, -1
            logs[count, 0] = logs[count, 1] = score
            if options.fused:
                allowed, words[count], total, bonus = finish(states[lane.node], variant, rules, options)
                logs[count, 1] -= states[lane.node].fusion
                logs[count, 2], logs[count, 3] = total, bonus
                logs[count, 0] = logs[count, 1] + options.lm_weight * total + bonus if allowed else -np.inf
            count += 1
    return lanes[:count], logs[:count], words[:count]

"""Extending: the prefixes with one more token that can come into the beam in a frame."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from speechlstm.decoders.beam.fusion import CONTINUES, continuation, ending, quick_factor, variants_of
from speechlstm.decoders.beam.prefixes import find
from speechlstm.decoders.compiled import compiled


@njit(inline="always")
def extend(
    lanes, candidates, taken, tokens, probs, count, nodes, states, kinds, trie, words, hot, options, lm, now
):  # fmt: skip
    """Collect the prefixes with one more token, as long as they can be among the best."""
    ends = False  # whether one of the tokens ends words
    for k in range(count):
        if kinds[tokens[k]].kind != CONTINUES:
            ends = True
    if options.quick and count > 0:
        lead(lanes, taken, tokens[0], probs[0], ends, states, kinds, trie, words, options, lm, now)
    now.worst = max(now.worst if now.width == options.beam_size else 0.0, now.best * options.beam_threshold)
    if options.quick:
        extend_quickly(
            lanes, candidates, taken, tokens, probs, count, states, kinds, trie, words, ends, options, lm, now
        )
    else:
        extend_all(
            lanes, candidates, taken, tokens, probs, count, nodes,
            states, kinds, trie, words, hot, ends, options, lm, now,
        )  # fmt: skip


@njit(inline="always")
def extend_quickly(
    lanes, candidates, taken, tokens, probs, count, states, kinds, trie, words, ends, options, lm, now
):  # fmt: skip
    """Collect them where what a token multiplies into a probability can be looked up."""
    best, worst, total, frame, bound = now.best, now.worst, 0, now.frame, options.bound
    for j in range(now.width):
        lane = lanes[j]
        gain, both = bound, lane.both
        if options.fused and ends and states[lane.node].place != 0:
            at = states[lane.node]
            if not at.asked:
                ending(at, trie, words, options, lm)
            gain *= max(1.0, at.end_factor)
        for k in range(count):
            token = tokens[k]
            value = both * probs[k]
            if value * gain < worst:
                break
            if taken[j, token] == frame or (kinds[token].kind == CONTINUES and value * bound < worst):
                continue
            if k == 0:
                value = lane.lead
            else:
                if token == lane.last:  # a doubled token needs a blank between
                    value = lane.blank * probs[k]
                if options.fused:
                    value *= quick_factor(states[lane.node], token, kinds[token].kind, trie, options)
            if value >= worst and value > 0.0:
                new = candidates[total]
                new.score, new.lane, new.node, new.token = value, j, lane.node, token
                new.variant, new.alike = 0, False
                best = max(best, value)
                total += 1
    now.best, now.candidates = best, total


@compiled
def extend_all(
    lanes, candidates, taken, tokens, probs, count, nodes, states, kinds, trie, words, hot, ends, options, lm, now
):  # fmt: skip
    """Collect them where hotwords, words that sound alike or a model of tokens have a say."""
    best, worst, total, frame, bound = now.best, now.worst, 0, now.frame, options.bound
    for j in range(now.width):
        lane = lanes[j]
        gain, alike = bound, 1
        if options.fused and ends and states[lane.node].place != 0:
            at = states[lane.node]
            if not at.asked:
                ending(at, trie, words, options, lm)
            gain *= max(1.0, at.end_factor)
            if options.homophones > 1:
                alike = variants_of(at.place, trie)
        for k in range(count):
            token = tokens[k]
            share = lane.both * probs[k]
            if share * gain < worst:
                break
            continues = kinds[token].kind == CONTINUES
            if (continues and share * bound < worst) or (
                taken[j, token] == frame and (continues or alike == 1)
            ):
                continue
            if token == lane.last:  # a doubled token needs a blank between
                share = lane.blank * probs[k]
            variants = 1 if continues else alike
            for variant in range(variants):
                known = continuation(states, lane.node, token, variant, kinds, trie, words, hot, options, lm)
                if not known.allowed or (
                    variants > 1 and in_beam(find(nodes, lane.node, token, known.word), lanes, now)
                ):
                    continue
                value = share * math.exp(known.fusion - states[lane.node].fusion)
                if value >= worst and value > 0.0:
                    new = candidates[total]
                    new.score, new.lane, new.node, new.token = value, j, lane.node, token
                    new.variant, new.alike = variant, variants > 1
                    best = max(best, value)
                    total += 1
    now.best, now.candidates = best, total


@njit(inline="always")
def lead(lanes, taken, token, prob, ends, states, kinds, trie, words, options, lm, now):
    """Score all prefixes with the frame's best token.

    Each prefix that stays, or else that with this token, is one of those that all others must beat.
    """
    best, worst, frame = now.best, np.inf, now.frame
    for j in range(now.width):
        lane = lanes[j]
        lane.lead = 0.0
        if taken[j, token] != frame:
            lane.lead = (lane.blank if token == lane.last else lane.both) * prob
            if options.fused:
                at = states[lane.node]
                if ends and not at.asked:
                    ending(at, trie, words, options, lm)
                lane.lead *= quick_factor(at, token, kinds[token].kind, trie, options)
        best, worst = max(best, lane.lead), min(worst, max(lane.score, lane.lead))
    now.best, now.worst = best, worst


@compiled
def in_beam(index, lanes, now):
    """Return whether a node is in the beam."""
    for i in range(now.width):  # noqa: SIM110 (numba knows no `any` of a generator)
        if lanes[i].node == index:
            return True
    return False

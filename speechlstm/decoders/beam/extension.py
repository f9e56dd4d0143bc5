"""Extending: the prefixes with one more token that can enter the beam in a frame."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from speechlstm.decoders.beam.fusion import CONTINUES, continuation, ending, quick_factor, variants_of
from speechlstm.decoders.beam.prefixes import find
from speechlstm.decoders.compiled import compiled


@njit(inline="always")
def extend(beam, tree, count, rules, options, now):
    """Collect the prefixes with one more token, as long as they can be among the best."""
    lanes, tokens, probs, kinds, frame = beam.lanes, beam.tokens, beam.probs, rules.tokens, now.frame
    ends = False  # whether one of the tokens ends words
    for k in range(count):
        if kinds[tokens[k]].kind != CONTINUES:
            ends = True
    if options.quick and count > 0:
        lead(beam, tree, ends, rules, options, now)
    now.worst = max(now.worst if now.width == options.beam_size else 0.0, now.best * options.beam_threshold)
    best, worst, total, bound = now.best, now.worst, 0, options.bound
    for j in range(now.width):
        lane = lanes[j]
        gain, alike = bound, 1
        if options.fused and ends and tree.states[lane.node].place != 0:
            at = tree.states[lane.node]
            if not at.asked:
                ending(at, rules.trie, rules.words, options, rules.lm)
            gain *= max(1.0, at.end_factor)
            if options.homophones > 1:
                alike = variants_of(at.place, rules.trie)
        for k in range(count):
            token = tokens[k]
            value = lane.both * probs[k]
            if value * gain < worst:
                break
            kind = kinds[token].kind
            variants = 1 if kind == CONTINUES else alike
            if (kind == CONTINUES and value * bound < worst) or (
                variants == 1 and beam.taken[j, token] == frame
            ):
                continue
            if token == lane.last:  # a doubled token needs a blank between
                value = lane.blank * probs[k]
            if variants > 1 or not options.quick:
                best, total = extend_alike(
                    j, token, variants, value, best, total, beam, tree, rules, options, now
                )
                continue
            if k == 0:
                value = lane.lead
            elif options.fused:
                value *= factor_of(j, token, beam, tree, rules, options)
            if value >= worst and value > 0.0:
                new = beam.candidates[total]
                new.score, new.lane, new.node, new.token = value, j, lane.node, token
                new.variant, new.alike = 0, False
                if options.recombines:
                    known = beam.factors[j, token]
                    new.place, new.state, new.hot = known.place, known.state, 0
                best = max(best, value)
                total += 1
    now.best, now.candidates = best, total


@njit(inline="always")
def extend_alike(j, token, variants, share, best, total, beam, tree, rules, options, now):
    """Collect a prefix with one more token, once for each homophone of the word that has ended."""
    lane = beam.lanes[j]
    before = tree.states[lane.node]
    for variant in range(variants):
        known = continuation(before, token, variant, beam.memo, rules, options)
        if not known.allowed or (
            variants > 1 and in_beam(find(tree.nodes, lane.node, token, known.word), beam.lanes, now)
        ):
            continue
        value = share * math.exp(known.fusion - before.fusion)
        if value >= now.worst and value > 0.0:
            new = beam.candidates[total]
            new.score, new.lane, new.node, new.token = value, j, lane.node, token
            new.variant, new.alike = variant, variants > 1
            new.place, new.state, new.hot = known.place, known.state, known.hot
            best = max(best, value)
            total += 1
    return best, total


@njit(inline="always")
def lead(beam, tree, ends, rules, options, now):
    """Score all prefixes with the frame's best token.

    Each prefix that stays, or else that with this token, is one of those that all others must beat.
    """
    best, worst, token, prob = now.best, np.inf, beam.tokens[0], beam.probs[0]
    for j in range(now.width):
        lane = beam.lanes[j]
        lane.lead = 0.0
        if beam.taken[j, token] != now.frame:
            lane.lead = (lane.blank if token == lane.last else lane.both) * prob
            if options.fused:
                at = tree.states[lane.node]
                if ends and not at.asked:
                    ending(at, rules.trie, rules.words, options, rules.lm)
                lane.lead *= factor_of(j, token, beam, tree, rules, options)
        best, worst = max(best, lane.lead), min(worst, max(lane.score, lane.lead))
    now.best, now.worst = best, worst


@njit(inline="always")
def factor_of(j, token, beam, tree, rules, options):
    """Return what a token multiplies into the probability of the prefix in a lane."""
    known, index = beam.factors[j, token], beam.lanes[j].node
    if known.node != index:
        kind = rules.tokens[token].kind
        quick_factor(known, tree.states[index], token, kind, beam.memo, rules, options)
        known.node = index
    return known.value


@compiled
def in_beam(index, lanes, now):
    """Return whether a node is in the beam."""
    for i in range(now.width):  # noqa: SIM110 (numba knows no `any` of a generator)
        if lanes[i].node == index:
            return True
    return False

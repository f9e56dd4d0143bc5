"""Recombination: of the prefixes that anything would continue alike, only the best stays in the beam.

What comes after a prefix depends on its last token, where it is in the lexicon, the language model's state, and the
hotwords; what was before these decides nothing any more. Where two prefixes agree in all of them, the better one will
stay the better one, and the other would only take room (Ney and Aubert 1994, "A word graph algorithm for large
vocabulary, continuous speech recognition"). What it said is noted as an alternative at the boundary between words from
which on they agree, so that lists of hypotheses and confidences know it: see `alternatives`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from speechlstm.decoders.beam.fusion import CONTINUES, continuation
from speechlstm.decoders.compiled import compiled

LEAST = 1e-300  # so that a logarithm is finite


@njit(inline="always")
def place_of(slots, place, state):
    """Return where to look first for a place of the lexicon and a state of the language model."""
    return (state * 40503 + place * 30011) & (len(slots) - 1)


@compiled
def recombine(beam, tree, rules, options, now):
    """Take out the prefixes, new or not, that have a better one like them; in a lane, by a negative score."""
    lanes, candidates, slots, stamp = beam.lanes, beam.candidates, beam.slots, np.int32(now.frame + 1)
    for i in range(now.width):
        lane = lanes[i]
        if lane.place >= 0:
            at = place_of(slots, lane.place, lane.state)
            while slots[at].stamp == stamp:
                at = (at + 1) & (len(slots) - 1)
            slots[at].stamp, slots[at].holder = stamp, i
    kept, now.room = 0, now.alternatives + 2 * options.beam_size
    for c in range(now.candidates):
        new = candidates[c]
        new.alternative = -1
        if new.place >= 0:
            at = place_of(slots, new.place, new.state)
            lost = False
            while slots[at].stamp == stamp:
                holder = slots[at].holder
                if holder >= 0:
                    lane = lanes[holder]
                    if (
                        lane.place == new.place and lane.state == new.state
                        and lane.last == new.token and lane.hot == new.hot
                    ):  # fmt: skip
                        lost = lane.score >= new.score
                        note(holder, c, lost, beam, tree, rules, options, now)
                        if not lost:
                            lane.score = -1.0
                        break
                else:
                    other = candidates[~holder]
                    if (
                        other.place == new.place and other.state == new.state
                        and other.token == new.token and other.hot == new.hot
                    ):  # fmt: skip
                        lost = other.score >= new.score
                        note_new(~holder, c, lost, beam, tree, rules, options, now)
                        if not lost:
                            move(other, new)
                            lost = True
                        break
                at = (at + 1) & (len(slots) - 1)
            if lost:
                continue
            slots[at].stamp, slots[at].holder = stamp, ~kept
        if kept < c:
            move(candidates[kept], new)
        kept += 1
    now.candidates = kept


@njit(inline="always")
def move(to, new):
    """Copy a candidate."""
    to.score, to.lane, to.node, to.token, to.variant = new.score, new.lane, new.node, new.token, new.variant
    to.alike, to.place, to.hot, to.state = new.alike, new.place, new.hot, new.state
    to.alternative = new.alternative


@compiled
def note(j, c, lost, beam, tree, rules, options, now):
    """Note what a new prefix and that in a lane, of which one is taken out, say differently."""
    lane, new, nodes = beam.lanes[j], beam.candidates[c], tree.nodes
    if lost and options.quick and not new.alike:
        known = beam.factors[new.lane, new.token]
        if known.rival == lane.node:
            return  # it was noted when it came first
        known.rival = lane.node
    if rules.tokens[new.token].kind == CONTINUES:
        if lost:
            lift(nodes[lane.node].parent, new.node, new.score / lane.score, tree, rules, now)
        else:
            lift(new.node, nodes[lane.node].parent, max(lane.score, LEAST) / new.score, tree, rules, now)
        return
    if new.node == lane.node or now.alternatives == now.room:
        return
    after = continuation(tree.states[new.node], new.token, new.variant, beam.memo, rules, options)
    own, is_homophone = tree.states[lane.node], nodes[lane.node].parent == new.node
    if is_homophone and nodes[lane.node].word == after.word:
        return
    lm, bonus = after.lm - own.lm, after.bonus - own.bonus
    if lost:
        # the same tokens: what one more frame brings is only a part of what the other would have by now
        gain = after.fusion - own.fusion if is_homophone else math.log(new.score / lane.score)
        if not again(nodes[lane.node].alternative, new.node, after.word, gain, tree):
            following, peak = nodes[lane.node].alternative, beam.prob[new.token]
            nodes[lane.node].alternative = record(
                new.node, after.word, gain, lm, bonus, peak, following, tree, now
            )
    else:
        gain = math.log(max(lane.score, LEAST) / new.score)
        new.alternative = record(lane.node, -2, gain, -lm, -bonus, 0.0, new.alternative, tree, now)


@compiled
def note_new(b, c, lost, beam, tree, rules, options, now):
    """Note what two new prefixes say differently, of which the c-th is taken out if it is `lost`, else the b-th."""
    best, worse = (b, c) if lost else (c, b)
    winner, loser = beam.candidates[best], beam.candidates[worse]
    ratio = loser.score / winner.score
    if rules.tokens[winner.token].kind == CONTINUES:
        lift(winner.node, loser.node, ratio, tree, rules, now)
        return
    gain, index = math.log(ratio), loser.alternative
    before, behind = tree.states[loser.node], tree.states[winner.node]
    after = continuation(before, loser.token, loser.variant, beam.memo, rules, options)
    own = continuation(behind, winner.token, winner.variant, beam.memo, rules, options)
    lm, bonus = after.lm - own.lm, after.bonus - own.bonus
    while index >= 0:  # what was worse than the loser is worse than the winner
        other = tree.alternatives[index]
        other.gain, other.lm, other.bonus = other.gain + gain, other.lm + lm, other.bonus + bonus
        following = other.next
        other.next, winner.alternative = winner.alternative, index
        index = following
    if now.alternatives < now.room:
        following, peak = winner.alternative, beam.prob[loser.token]
        winner.alternative = record(loser.node, after.word, gain, lm, bonus, peak, following, tree, now)


@compiled
def lift(winner, loser, ratio, tree, rules, now):
    """Note a prefix as the other's alternative where the word began that both are in."""
    nodes = tree.nodes
    while winner != loser and nodes[winner].parent >= 0 and nodes[loser].parent >= 0:
        if rules.tokens[nodes[winner].token].kind != CONTINUES:
            break
        winner, loser = nodes[winner].parent, nodes[loser].parent
    if (
        winner == loser or nodes[winner].parent < 0 or nodes[loser].parent < 0
        or nodes[winner].parent == loser or nodes[loser].parent == winner
        or now.alternatives == now.room
    ):  # fmt: skip
        return
    gain = math.log(ratio)
    if again(nodes[winner].alternative, loser, -2, gain, tree):
        return
    own, other = tree.states[winner], tree.states[loser]
    lm, bonus, following = other.lm - own.lm, other.bonus - own.bonus, nodes[winner].alternative
    nodes[winner].alternative = record(loser, -2, gain, lm, bonus, 0.0, following, tree, now)


@compiled
def again(index, node, word, gain, tree):
    """Return whether an alternative is among those from `index` on, with the greater of both gains then."""
    while index >= 0:
        known = tree.alternatives[index]
        if known.node == node and known.word == word:
            known.gain = max(known.gain, gain)
            return True
        index = known.next
    return False


@compiled
def record(node, word, gain, lm, bonus, peak, following, tree, now):
    """Make the record of an alternative, before the one that is `following`, and return its number."""
    new = tree.alternatives[now.alternatives]
    new.node, new.word, new.gain, new.lm, new.bonus = node, word, gain, lm, bonus
    new.time, new.start, new.peak, new.next = tree.nodes[node].time, now.frame, peak, following
    now.alternatives += 1
    return now.alternatives - 1

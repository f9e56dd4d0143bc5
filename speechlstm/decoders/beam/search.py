"""The inner loop of beam search: CTC prefixes, one frame after another, compiled by numba.

Prefix beam search (Graves 2006, section 3.2; Hannun et al. 2014, "First-pass large vocabulary continuous speech
recognition using bi-directional recurrent DNNs", algorithm 1) keeps the most likely token sequences, each with the
probability that its alignments end in a blank and that they end in its last token; both share one place in the beam.

What makes it fast: probabilities are linear float64 that are rescaled, so there is no logarithm in the loop; language
model and bonuses multiply into them when a token is added; only the tokens that survive a frame's threshold are looked
at, and of the continuations only those that beat the worst prefix that merely stays; prefixes are nodes of a tree, and
a node's parent tells without any hashing whether two alignments have met.

Compiled functions are given arrays as views whose references are not counted: counting, in each call and wherever an
array is taken out of a tuple, would cost as much as the search itself. Tuples of arrays are copied in each call, so
what is called for each candidate is either inlined or gets only the arrays that it reads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from speechlstm.decoders.beam.extension import extend
from speechlstm.decoders.beam.fusion import Rules, continuation
from speechlstm.decoders.beam.lookahead import Successors
from speechlstm.decoders.beam.prefixes import append, begin, find, prepend
from speechlstm.decoders.beam.recombination import recombine
from speechlstm.decoders.beam.selection import select, survivors
from speechlstm.decoders.beam.workspace import Beam, Tree
from speechlstm.decoders.compiled import compiled, uncounted
from speechlstm.decoders.lm import NGramArrays

STUCK = 1e-30  # what a frame costs that no prefix can explain; it counts as a blank


@compiled
def advance(log_probs, tree, beam, rules, options):
    """Take the beam through `(frames, vocab)` log-probabilities.

    The nodes and states of `tree` have room for `beam_size` more for each frame, its times for twice as many.
    """
    now = beam.now[0]
    beam = Beam(
        beam.now, uncounted(beam.lanes), uncounted(beam.candidates), uncounted(beam.children),
        uncounted(beam.taken), uncounted(beam.tokens), uncounted(beam.probs), uncounted(beam.prob),
        uncounted(beam.ranked), uncounted(beam.renewed), uncounted(beam.free), uncounted(beam.memo),
        uncounted(beam.factors), uncounted(beam.slots),
    )  # fmt: skip
    tree = Tree(
        uncounted(tree.nodes), uncounted(tree.times), uncounted(tree.states), uncounted(tree.alternatives)
    )
    lm, far = rules.lm, rules.successors
    rules = Rules(
        uncounted(rules.tokens), uncounted(rules.trie), uncounted(rules.below),
        uncounted(rules.words), uncounted(rules.hot),
        NGramArrays(uncounted(lm.table), uncounted(lm.states), uncounted(lm.unigrams), lm.places),
        Successors(
            uncounted(far.first), uncounted(far.place), uncounted(far.log_prob), uncounted(far.most)
        ),
    )  # fmt: skip
    only_blanks = False
    for row in uncounted(log_probs):
        count = survivors(row, options, beam.tokens, beam.probs)
        if count == 0 and row[0] > -np.inf:  # all prefixes stay and lose alike
            if not only_blanks:
                rest(beam.lanes, now)
            only_blanks = True
            now.scale += row[0]
            now.frame += 1
            continue
        only_blanks = False
        for k in range(count):
            beam.prob[beam.tokens[k]] = beam.probs[k]
        stay(beam, tree, now, math.exp(row[0]))
        extend(beam, tree, count, rules, options, now)
        if now.best > 0.0:
            if options.recombines:
                recombine(beam, tree, rules, options, now)
            prune(beam, options, now)
            commit(beam, tree, rules, options, now)
            for r in range(now.renewals):  # only now: continuations of this frame follow what was before it
                tree.nodes[beam.renewed[r]].time = now.first_renewal + r
            close_gaps(beam.lanes, beam.free, now)
            now.scale += math.log(now.best)
            now.width = now.kept
        else:  # nothing explains this frame
            rest(beam.lanes, now)
            now.scale += math.log(STUCK)
        for k in range(count):
            beam.prob[beam.tokens[k]] = 0.0
        now.frame += 1


@njit(inline="always")
def rest(lanes, now):
    """Take a frame for a blank."""
    for i in range(now.width):
        lanes[i].blank, lanes[i].token = lanes[i].blank + lanes[i].token, 0.0


@njit(inline="always")
def stay(beam, tree, now, p_blank):
    """Score the prefixes that stay: with a blank, with the last token again, or reached anew from the parent."""
    lanes, nodes, times, prob = beam.lanes, tree.nodes, tree.times, beam.prob
    best, worst, frame, recorded, renewals = 0.0, np.inf, now.frame, now.times, 0
    now.first_renewal = recorded
    for i in range(now.width):
        lanes[i].both = lanes[i].blank + lanes[i].token
    for i in range(now.width):
        lane = lanes[i]
        p_last = prob[lane.last]
        stays, again = lane.both * p_blank, 0.0
        if p_last > 0.0:
            again = lane.token * p_last
            if again > stays:
                time = times[nodes[lane.node].time]
                if time.end == frame:
                    time.end, time.peak = frame + 1, max(time.peak, p_last)
            if lane.parent >= 0:
                parent = lanes[lane.parent]
                beam.taken[lane.parent, lane.last] = frame
                coming = (parent.blank if parent.last == lane.last else parent.both) * p_last * lane.factor
                if coming > stays + again:
                    begin(times, recorded, nodes[parent.node].time, frame, p_last)
                    beam.renewed[renewals] = lane.node
                    renewals += 1
                    recorded += 1
                again += coming
        lane.new_blank, lane.new_token, lane.score = stays, again, stays + again
        best, worst = max(best, lane.score), min(worst, lane.score)
    now.best, now.worst, now.renewals, now.times = best, worst, renewals, recorded


@njit(inline="always")
def prune(beam, options, now):
    """Find the least score that the beam has room for, and keep the prefixes that stay and have it."""
    lanes, free = beam.lanes, beam.free
    now.least, now.equals = max(now.worst, now.best * options.beam_threshold), options.beam_size
    if now.width + now.candidates > options.beam_size:
        select(lanes, beam.candidates, beam.ranked, now, options.beam_size)
    scale, least, equals, kept, freed = 1.0 / now.best, now.least, now.equals, 0, 0
    for i in range(now.width):
        lane = lanes[i]
        if lane.score == least:
            equals -= 1
        if (lane.score > least or (lane.score == least and equals >= 0)) and kept < options.beam_size:
            lane.kept = True
            lane.blank, lane.token = lane.new_blank * scale, lane.new_token * scale
            kept += 1
        else:
            lane.kept, lane.node = False, -1
            free[freed] = i
            freed += 1
    if freed:
        for i in range(now.width):
            lane = lanes[i]
            if lane.parent >= 0 and not lanes[lane.parent].kept:
                lane.parent = -1
    now.kept, now.freed, now.equals = kept, freed, equals


@njit(inline="always")
def commit(beam, tree, rules, options, now):
    """Give the best of the new prefixes nodes in the tree, and the lanes of those that were dropped."""
    lanes, children, nodes, times, states = beam.lanes, beam.children, tree.nodes, tree.times, tree.states
    scale = 1.0 / now.best
    for c in range(now.candidates):
        new = beam.candidates[c]
        if new.score == now.least:
            now.equals -= 1
        if (
            new.score < now.least
            or (new.score == now.least and now.equals < 0)
            or now.kept == options.beam_size
        ):
            continue
        source, word, factor = lanes[new.lane], -1, 1.0
        if options.fused:
            known = continuation(states[new.node], new.token, new.variant, beam.memo, rules, options)
            word, factor = known.word, math.exp(known.fusion - states[new.node].fusion)
        child = children[new.lane, new.token]
        index = -1
        if new.alike or not source.kept or source.returned:
            index = find(nodes, new.node, new.token, word)
        elif child.parent == new.node:
            index = child.node
        i = now.kept
        if now.freed:
            now.freed -= 1
            i = beam.free[now.freed]
        now.kept += 1
        lane = lanes[i]
        lane.returned = index >= 0
        if index < 0:
            index = now.nodes
            now.nodes += 1
            append(nodes, index, new.node, new.token, word)
            if options.fused:
                state = states[index]
                state.asked, state.fusion, state.place = False, known.fusion, known.place
                state.ahead = known.ahead
                state.hot, state.state, state.lm, state.bonus = known.hot, known.state, known.lm, known.bonus
        else:  # it was dropped and comes back; its own continuations may be here
            for m in range(now.width):
                if lanes[m].above == index and lanes[m].node >= 0:
                    lanes[m].parent = i
        if options.recombines:
            lane.place, lane.state, lane.hot = new.place, new.state, new.hot
            prepend(nodes, index, new.alternative, tree.alternatives)
        if source.kept:
            child.node, child.parent = index, new.node
        begin(times, now.times, nodes[new.node].time, now.frame, beam.prob[new.token])
        nodes[index].time = now.times
        now.times += 1
        lane.node, lane.above, lane.last, lane.factor = index, new.node, new.token, factor
        lane.parent = new.lane if source.kept else -1
        lane.blank, lane.token = 0.0, new.score * scale


@njit(inline="always")
def close_gaps(lanes, free, now):
    """Fill the lanes that are left empty, lowest first, with the prefixes of the highest lanes."""
    top = now.width - 1
    for hole in free[: now.freed]:
        while top > hole and lanes[top].node < 0:
            top -= 1
        if top <= hole:
            break
        to, of = lanes[hole], lanes[top]
        to.node, to.above, to.parent, to.last = of.node, of.above, of.parent, of.last
        to.factor, to.blank, to.token, to.returned = of.factor, of.blank, of.token, True
        to.place, to.state, to.hot = of.place, of.state, of.hot
        lanes[top].node = -1
        for i in range(top):
            if lanes[i].parent == top:
                lanes[i].parent = hole

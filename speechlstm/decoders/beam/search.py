"""The inner loop of beam search: CTC prefixes, one frame after another, compiled by numba.

Prefix beam search (Graves 2006, section 3.2; Hannun et al. 2014, "First-pass large vocabulary continuous speech
recognition using bi-directional recurrent DNNs", algorithm 1) keeps the most likely token sequences, each with the
probability that its alignments end in a blank and that they end in its last token; both share one place in the beam.

What makes it fast: probabilities are linear float64 that are rescaled, so there is no logarithm in the loop; language
model and bonuses multiply into them when a token is added; only the tokens that survive a frame's threshold are looked
at, and of the continuations only those that beat the worst prefix that merely stays; prefixes are nodes of a tree, and
a node's parent tells without any hashing whether two alignments have met.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from speechlstm.decoders.beam.fusion import CONTINUES, ending, extend, quick_factor, variants_of
from speechlstm.decoders.beam.prefixes import append, begin, find

STUCK = 1e-30  # what a frame costs that no prefix can explain; it counts as a blank


@njit(nogil=True, cache=True)
def largest(values, count, keep):
    """Return the `keep`-th largest of the first `count` values, reordering them (Hoare's quickselect)."""
    low, high, place = 0, count - 1, keep - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return values[place]


@njit(nogil=True, cache=True)
def survivors(row, options, tokens, probs):
    """Put a frame's tokens above the threshold, most likely first, into `tokens` and `probs`; return how many."""
    count = 0
    for token in range(1, len(row)):
        value = row[token]
        if value < options.token_threshold or value == -np.inf:
            continue
        if count == options.max_tokens:
            if value <= probs[count - 1]:
                continue
            count -= 1
        place = count
        while place > 0 and probs[place - 1] < value:
            probs[place], tokens[place] = probs[place - 1], tokens[place - 1]
            place -= 1
        probs[place], tokens[place] = value, token
        count += 1
    for place in range(count):
        probs[place] = math.exp(probs[place])
    return count


@njit(nogil=True, cache=True)
def advance(log_probs, nodes, times, states, beam, rules, options, lm):
    """Take the beam through `(frames, vocab)` log-probabilities.

    `nodes` and `states` have room for `beam_size` more for each frame, `times` for twice as many.
    """
    # Taking an array out of a tuple counts references: here, not in the loops.
    node, above, parent, last, factor = beam.node, beam.above, beam.parent, beam.last, beam.factor
    blank, tail, both, new_blank, new_tail = (
        beam.blank, beam.token, beam.both, beam.new_blank, beam.new_token
    )  # fmt: skip
    moved, free, back, born, born_of, taken = (
        beam.moved, beam.free, beam.back, beam.born, beam.born_of, beam.taken
    )  # fmt: skip
    tokens, probs, prob, lead = beam.tokens, beam.probs, beam.prob, beam.lead
    score, ranked = beam.score, beam.ranked
    source, source_node, added, variant_of = beam.source, beam.source_node, beam.added, beam.variant
    renewed, frame = beam.renewed, beam.numbers[0]
    used, width, recorded = beam.numbers[1], beam.numbers[2], beam.numbers[3]
    kinds, trie, known_words, hot = rules.tokens, rules.trie, rules.words, rules.hot
    log_scale = beam.scale[0]
    size, threshold, bound = options.beam_size, options.beam_threshold, math.exp(options.gain)
    fused = options.lm_kind != 0 or options.lexicon or options.hot or options.word_bonus != 0.0
    quick = options.lm_kind != 1 and not options.hot and options.homophones == 1
    only_blanks = False
    for row in log_probs:
        count = survivors(row, options, tokens, probs)
        if count == 0 and row[0] > -np.inf:  # all prefixes stay and lose alike
            if not only_blanks:
                for i in range(width):
                    blank[i], tail[i] = blank[i] + tail[i], 0.0
                only_blanks = True
            log_scale += row[0]
            frame += 1
            continue
        only_blanks = False
        for k in range(count):
            prob[tokens[k]] = probs[k]
        p_blank = math.exp(row[0])

        first_renewal = recorded
        # Prefixes that stay: their alignments go on with a blank or the last token again, or come from the parent.
        best, worst, renewals = 0.0, np.inf, 0
        for i in range(width):
            both[i] = blank[i] + tail[i]
        for i in range(width):
            p_last = prob[last[i]]
            stays, again = both[i] * p_blank, 0.0
            if p_last > 0.0:
                again = tail[i] * p_last
                if again > stays:
                    time = times[nodes[node[i]].time]
                    if time.end == frame:
                        time.end, time.peak = frame + 1, max(time.peak, p_last)
                j = parent[i]
                if j >= 0:
                    taken[j, last[i]] = frame
                    coming = (blank[j] if last[j] == last[i] else both[j]) * p_last * factor[i]
                    if coming > stays + again:
                        begin(times, recorded, nodes[node[j]].time, frame, p_last)
                        renewed[renewals] = node[i]
                        renewals += 1
                        recorded += 1
                    again += coming
            new_blank[i], new_tail[i], score[i] = stays, again, stays + again
            best, worst = max(best, score[i]), min(worst, score[i])

        # Prefixes with one more token, as long as they can be among the best. The frame's best token goes first: each
        # prefix that stays, or else that with this token, is one of those that the others must beat.
        total, bar = width, np.inf
        ends = False  # whether one of the tokens ends words
        for k in range(count):
            if kinds[tokens[k]].kind != CONTINUES:
                ends = True
        if quick and count > 0:
            token = tokens[0]
            for j in range(width):
                lead[j] = 0.0
                if taken[j, token] != frame:
                    lead[j] = (blank[j] if token == last[j] else both[j]) * probs[0]
                    if fused:
                        at = states[node[j]]
                        if at.ended == 0 and ends:
                            ending(at, trie, known_words, options, lm)
                        lead[j] *= quick_factor(at, token, kinds[token].kind, trie, options)
                best, bar = max(best, lead[j]), min(bar, max(score[j], lead[j]))
            worst = bar
        worst = max(worst if width == size else 0.0, best * threshold)
        for j in range(width):
            gain, words = bound, 1
            if fused and ends and states[node[j]].place != 0:
                at = states[node[j]]
                if at.ended == 0:
                    ending(at, trie, known_words, options, lm)
                gain *= max(1.0, at.end_factor)
                if options.homophones > 1:
                    words = variants_of(at.place, trie)
            for k in range(count):
                token = tokens[k]
                share = both[j] * probs[k]
                if share * gain < worst:
                    break
                continues = kinds[token].kind == CONTINUES
                if (continues and share * bound < worst) or (
                    taken[j, token] == frame and (continues or words == 1)
                ):
                    continue
                if token == last[j]:  # a doubled token needs a blank between
                    share = blank[j] * probs[k]
                variants = 1 if continues else words
                for variant in range(variants):
                    value = share
                    if quick:
                        if k == 0:
                            value = lead[j]
                        elif fused:
                            value *= quick_factor(states[node[j]], token, kinds[token].kind, trie, options)
                    elif fused:
                        known = extend(
                            states, node[j], token, variant, kinds, trie, known_words, hot, options, lm
                        )
                        if not known[0]:
                            continue
                        if variants > 1 and in_beam(find(nodes, node[j], token, known[2]), node, width):
                            continue
                        value *= math.exp(known[1] - states[node[j]].fusion)
                    if value >= worst and value > 0.0:
                        score[total], source[total], source_node[total] = value, j, node[j]
                        added[total], variant_of[total] = token, variant if variants > 1 else -1
                        best = max(best, value)
                        total += 1

        if best == 0.0:  # nothing explains this frame
            for i in range(width):
                blank[i], tail[i] = both[i], 0.0
            for k in range(count):
                prob[tokens[k]] = 0.0
            log_scale += math.log(STUCK)
            frame += 1
            continue

        # The best of both: those that stay, then the new ones in the lanes of those that do not.
        least = max(worst, best * threshold)
        if total > size:
            count_ranked = total - width
            for c in range(count_ranked):
                ranked[c] = score[width + c]
            for i in range(width):
                if score[i] >= least:
                    ranked[count_ranked] = score[i]
                    count_ranked += 1
            if count_ranked > size:
                least = max(least, largest(ranked, count_ranked, size))
        scale = 1.0 / best
        kept = freed = 0
        for i in range(width):
            if score[i] >= least and kept < size:
                moved[i] = i
                blank[i], tail[i] = new_blank[i] * scale, new_tail[i] * scale
                kept += 1
            else:
                moved[i], node[i] = -1, -1
                free[freed] = i
                freed += 1
        if freed:
            for i in range(width):
                if parent[i] >= 0:
                    parent[i] = moved[parent[i]]
        for c in range(width, total):
            if score[c] < least or kept == size:
                continue
            j, at_node, token, word, multiplied = source[c], source_node[c], added[c], -1, 1.0
            if fused:
                known = extend(
                    states, at_node, token, max(variant_of[c], 0), kinds, trie, known_words, hot, options, lm
                )
                word, multiplied = known[2], math.exp(known[1] - states[at_node].fusion)
            index = -1
            if variant_of[c] >= 0 or moved[j] < 0 or back[j]:
                index = find(nodes, at_node, token, word)
            elif born_of[j, token] == at_node:
                index = born[j, token]
            if freed:
                freed -= 1
                i = free[freed]
            else:
                i = kept
            kept += 1
            back[i] = index >= 0
            if index < 0:
                index = used
                used += 1
                append(nodes, index, at_node, token, word)
                if fused:
                    at_state = states[index]
                    at_state.ended = 0
                    at_state.fusion, at_state.place, at_state.hot = known[1], known[3], known[4]
                    at_state.state, at_state.lm, at_state.bonus = known[5], known[6], known[7]
            else:  # it was dropped and comes back; its own continuations may be here
                for m in range(width):
                    if above[m] == index and node[m] >= 0:
                        parent[m] = i
            if moved[j] >= 0:
                born[j, token], born_of[j, token] = index, at_node
            begin(times, recorded, nodes[at_node].time, frame, prob[token])
            nodes[index].time = recorded
            recorded += 1
            node[i], above[i], parent[i], last[i], factor[i] = index, at_node, moved[j], token, multiplied
            blank[i], tail[i] = 0.0, score[c] * scale
        for r in range(renewals):  # only now: continuations of this frame follow what was before it
            nodes[renewed[r]].time = first_renewal + r
        top = width - 1
        for hole in free[:freed]:  # close the gaps, lowest first, with the prefixes of the highest lanes
            while top > hole and node[top] < 0:
                top -= 1
            if top <= hole:
                break
            node[hole], above[hole], parent[hole], last[hole] = node[top], above[top], parent[top], last[top]
            factor[hole], blank[hole], tail[hole], back[hole] = factor[top], blank[top], tail[top], True
            node[top] = -1
            for i in range(top):
                if parent[i] == top:
                    parent[i] = hole
        for k in range(count):
            prob[tokens[k]] = 0.0
        log_scale += math.log(best)
        width = kept
        frame += 1
    beam.scale[0] = log_scale
    beam.numbers[0], beam.numbers[1], beam.numbers[2], beam.numbers[3] = frame, used, width, recorded


@njit(nogil=True, cache=True)
def in_beam(index, node, width):
    """Return whether a node is in the beam."""
    for i in range(width):  # noqa: SIM110 (numba knows no `any` of a generator)
        if node[i] == index:
            return True
    return False

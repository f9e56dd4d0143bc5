"""Selecting: the tokens of a frame that are worth trying, and the lowest score that enters the beam."""

from __future__ import annotations

import math

import numpy as np

from speechlstm.decoders.compiled import compiled


@compiled
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


@compiled
def select(lanes, candidates, ranked, now, size):
    """Raise `least` until the beam has room for the prefixes above it and for some, `equals`, of those at it."""
    count = now.candidates
    for c in range(count):
        ranked[c] = candidates[c].score
    for i in range(now.width):
        if lanes[i].score >= now.least:
            ranked[count] = lanes[i].score
            count += 1
    now.equals = count
    if count > size:
        now.least = max(now.least, largest(ranked, count, size))
        now.equals = size
        for place in range(size):  # the largest come first now
            if ranked[place] > now.least:
                now.equals -= 1


@compiled
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

"""The best path through a chain of states, some of which can be reached from an earlier one within a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.compiled import compiled

NEVER = -1  # no state is reached from another in the same frame

# How a state is reached: from one that is so many states below it a frame before, or, in the same frame, ...
_SKIP = 3  # from another at the full price
_GO_ON = 4  # from another at the lower price, as a word before has been left out
_WENT_ON = 8  # added where the word before the one that may have been left out here has been, too

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Skips(NamedTuple):
    """How words can be left out: for each state, how it is reached from another in the same frame.

    Attributes:
        before: `(states,)` the other state, or -1.
        prices: `(states,)` natural log that this costs.
        opening: `(states,)` whether a word is left out; otherwise it is a separator, or a word that cannot be spelled.
        more: `(states,)` what it costs where a word has been left out right before.
    """

    before: Ints
    prices: NDArray[np.float64]
    opening: NDArray[np.bool_]
    more: NDArray[np.float64]

    @classmethod
    def none(cls, states: int) -> Skips:
        """Return that no word can be left out."""
        nothing = np.zeros(states)
        return cls(np.full(states, NEVER, np.int64), nothing, np.zeros(states, np.bool_), nothing)


@compiled
def viterbi(
    emissions: Floats,
    columns: Ints,
    before: Ints,
    prices: NDArray[np.float64],
    opening: NDArray[np.bool_],
    more: NDArray[np.float64],
) -> tuple[Ints, float]:
    """Return the best path `(frames,)` and its score, prices included; state 2i + 1 is token i, even ones are between.

    A state is reached from itself, from the one before, a token from another token before it, and, in the same frame,
    as `Skips` says. That all words in a row are left out in one frame is enough: the states between them are alike, so
    that every frame between them could as well have been before the first.
    """
    frames, states = len(emissions), len(columns)
    moves = np.zeros((frames, states), np.uint8)  # how the best path to each state in each frame came
    skipping = bool((before >= 0).any())
    runs = np.full(states, -np.inf)  # best score of a path that has left out a word right before a state
    best = np.full(states, -np.inf)
    best[0] = emissions[0, columns[0]]
    if states > 1:
        best[1] = emissions[0, columns[1]]
    for frame in range(frames):
        # Without leaving out, only states that the first frame reaches and that reach the last one.
        top = states if skipping else min(states, 2 * frame + 2)
        bottom = 0 if skipping else max(0, states - 2 - 2 * (frames - 1 - frame))
        if frame:
            for state in range(top - 1, bottom - 1, -1):  # downwards, so `best` can be overwritten
                score, move = best[state], 0
                if state > 0 and best[state - 1] > score:
                    score, move = best[state - 1], 1
                if (
                    state % 2
                    and state > 1
                    and columns[state] != columns[state - 2]
                    and best[state - 2] > score
                ):
                    score, move = best[state - 2], 2
                best[state] = score + emissions[frame, columns[state]]
                moves[frame, state] = move
        if skipping:
            for state in range(states):
                source = before[state]
                if source < 0:
                    continue
                score, going_on = best[source] - prices[state], runs[source] - more[state]
                if max(score, going_on) > best[state]:
                    best[state] = max(score, going_on)
                    moves[frame, state] = _GO_ON if going_on > score else _SKIP
                runs[state] = going_on
                if opening[state] and score >= going_on:
                    runs[state] = score
                else:
                    moves[frame, state] += _WENT_ON
    last = states - 1
    if states > 1 and best[states - 2] >= best[states - 1]:
        last = states - 2
    return _traced(moves, before, last), best[last]


@compiled
def _traced(moves: NDArray[np.uint8], before: Ints, last: int) -> Ints:
    """Return the path `(frames,)` that leads to a state in the last frame."""
    path = np.empty(len(moves), np.int64)
    state = last
    for frame in range(len(moves) - 1, -1, -1):
        move = moves[frame, state] % _WENT_ON
        while move >= _SKIP:
            state = before[state]
            if move == _GO_ON:
                while moves[frame, state] >= _WENT_ON:
                    state = before[state]
                state = before[state]
            move = moves[frame, state] % _WENT_ON
        path[frame] = state
        state -= move
    return path

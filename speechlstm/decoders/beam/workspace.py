"""The memory of a search: the tree of prefixes, the beam, and buffers that are reused across utterances."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.beam.fusion import OUTSIDE, STATE, Options
from speechlstm.decoders.beam.lookahead import MEMO, MEMO_SIZE
from speechlstm.decoders.beam.prefixes import ALTERNATIVE, NODE, TIME

_ROOM = 4096  # nodes at first


# A prefix of the beam. It stays in its lane as long as it is kept, so that a frame writes little but what it changes.
LANE = np.dtype(
    [
        ("node", np.int32),  # -1 if it was dropped in this frame
        ("above", np.int32),  # the node without the last token
        ("parent", np.int32),  # and its lane, -1 if it is not kept
        ("last", np.int32),  # the last token
        ("factor", np.float64),  # what the last token multiplied into the probability besides its own
        ("blank", np.float64),  # probability of the alignments that end in a blank
        ("token", np.float64),  # and of those that end in the last token
        ("both", np.float64),  # their sum
        ("new_blank", np.float64),  # the same after the frame, if it stays
        ("new_token", np.float64),
        ("score", np.float64),
        ("lead", np.float64),  # probability with the frame's best token
        ("kept", np.bool_),  # after the frame
        ("returned", np.bool_),  # from before, or from another lane: `children` does not know its children
        ("place", np.int32),  # in the lexicon, OUTSIDE also in a search that is not fused
        ("hot", np.int32),  # in the trie of hotwords
        ("state", np.int64),  # of the language model
    ],
    align=True,
)

# A prefix with one more token, which may come into the beam.
CANDIDATE = np.dtype(
    [
        ("score", np.float64),  # its probability
        ("lane", np.int32),  # of the prefix that it continues
        ("node", np.int32),  # and its node
        ("token", np.int32),
        ("variant", np.int32),  # which homophone has ended
        ("alike", np.bool_),  # whether there are several
        ("place", np.int32),  # where it leads: as in LANE
        ("hot", np.int32),
        ("state", np.int64),
        ("alternative", np.int32),  # the first of those that were taken out in this frame, -1 if none was
    ],
    align=True,
)

# The child of the prefix in a lane by a token, known as long as the prefix is the same.
CHILD = np.dtype([("node", np.int32), ("parent", np.int32)])

# What a token multiplies into the probability of a prefix, known as long as the lane has the same.
FACTOR = np.dtype(
    [
        ("node", np.int32),
        ("value", np.float64),
        ("place", np.int32),  # where it leads: as in LANE
        ("state", np.int32),
        ("rival", np.int32),  # the prefix that it last had to give way to, -1 if there was none
    ],
    align=True,
)

# Which lane, or which candidate (its complement), leads where its key says; empty unless it was written in this frame.
SLOT = np.dtype([("stamp", np.int32), ("holder", np.int32)])

# How far the search is, and what the steps of a frame pass on.
PROGRESS = np.dtype(
    [
        ("frame", np.int64),  # frames done
        ("nodes", np.int64),  # in use
        ("times", np.int64),  # in use
        ("width", np.int64),  # lanes in use
        ("scale", np.float64),  # natural log of what the probabilities have been divided by
        ("best", np.float64),  # the greatest score in the frame so far
        ("worst", np.float64),  # what others must beat
        ("least", np.float64),  # what the beam has room for
        ("equals", np.int64),  # and for how many of those whose score is just that
        ("candidates", np.int64),
        ("renewals", np.int64),  # prefixes that most alignments reach anew in this frame
        ("first_renewal", np.int64),  # where the first of their times lies
        ("kept", np.int64),  # prefixes that are in the beam after the frame
        ("freed", np.int64),  # lanes of prefixes that were dropped, not yet taken
        ("alternatives", np.int64),  # in use
        ("room", np.int64),  # for alternatives until the end of the frame
    ]
)


class Beam(NamedTuple):
    """The prefixes that are kept, and room to work in."""

    now: NDArray[Any]  # (1,) PROGRESS
    lanes: NDArray[Any]  # (beam_size,) LANE
    candidates: NDArray[Any]  # (candidates,) CANDIDATE
    children: NDArray[Any]  # (beam_size, vocab) CHILD
    taken: NDArray[np.int32]  # (beam_size, vocab) the last frame in which that continuation was in the beam
    tokens: NDArray[np.int32]  # (max_tokens,) of a frame
    probs: NDArray[np.float64]  # (max_tokens,)
    prob: NDArray[np.float64]  # (vocab + 1,) the same by token, 0 below the threshold and for the root's -1
    ranked: NDArray[np.float64]  # (candidates,) scores, to be selected from
    renewed: NDArray[np.int32]  # (beam_size,) nodes of the renewals
    free: NDArray[np.int32]  # (beam_size,) the freed lanes
    memo: NDArray[Any]  # (MEMO_SIZE,) MEMO, look-aheads that were asked for
    factors: NDArray[Any]  # (beam_size, vocab) FACTOR, if the search is fused
    slots: NDArray[Any]  # (a power of two,) SLOT, if it recombines


class Tree(NamedTuple):
    """The prefixes that were ever in the beam."""

    nodes: NDArray[Any]  # NODE of each
    times: NDArray[Any]  # TIME, where their tokens lie
    states: NDArray[Any]  # STATE of each, if the search is fused
    alternatives: NDArray[Any]  # ALTERNATIVE, if it recombines


class Search:
    """An utterance that is being searched.

    Attributes:
        tree: all prefixes.
        beam: those that are kept.
    """

    def __init__(self, options: Options, vocab_size: int, language_state: int) -> None:
        size, most = options.beam_size, options.max_tokens
        room = size * (1 + most + options.homophones)
        self.size, self.fused, self.recombines = size, options.fused, options.recombines
        self.beam = Beam(
            now=np.zeros(1, PROGRESS),
            lanes=np.zeros(size, LANE),
            candidates=np.empty(room, CANDIDATE),
            children=np.empty((size, vocab_size), CHILD),
            taken=np.empty((size, vocab_size), np.int32),
            tokens=np.empty(most, np.int32),
            probs=np.empty(most),
            prob=np.zeros(vocab_size + 1),
            ranked=np.empty(room),
            renewed=np.zeros(size, np.int32),
            free=np.zeros(size, np.int32),
            memo=np.zeros(MEMO_SIZE if options.context else 1, MEMO),
            factors=np.empty((size, vocab_size) if self.fused else (1, 1), FACTOR),
            slots=np.empty(1 << (2 * (size + room)).bit_length() if options.recombines else 1, SLOT),
        )
        room = _ROOM if self.fused else 1
        others = np.empty(_ROOM if self.recombines else 1, ALTERNATIVE)
        self.tree = Tree(np.empty(_ROOM, NODE), np.empty(_ROOM, TIME), np.empty(room, STATE), others)
        self._root, self._start = np.zeros((), LANE), np.zeros((), PROGRESS)  # where each search begins
        self._unspoken = np.zeros((), STATE)
        self._root["above"] = self._root["parent"] = self._root["last"] = -1
        self._root["factor"] = self._root["blank"] = 1.0
        for name in ("nodes", "times", "width"):
            self._start[name] = 1
        self._unspoken["end_word"], self._unspoken["state"] = -1, language_state
        self._root["state"], self._root["place"] = language_state, 0 if self.recombines else OUTSIDE
        self.reset()

    @property
    def lanes(self) -> NDArray[Any]:
        """The prefixes that are kept."""
        kept: NDArray[Any] = self.beam.lanes[: self.beam.now["width"][0]]
        return kept

    @property
    def logs(self) -> NDArray[np.float64]:
        """Natural log of the probability of each, with what the language model and the others multiply into it."""
        both = self.lanes["blank"] + self.lanes["token"]
        logs: NDArray[np.float64] = np.log(np.maximum(both, 1e-300)) + self.beam.now["scale"][0]
        return logs

    def reset(self) -> None:
        """Go back to the empty prefix, before the first frame."""
        beam = self.beam
        beam.children.view(np.int32).fill(-1)
        beam.taken.fill(-1)
        beam.factors["node"] = -1
        beam.slots["stamp"] = 0
        beam.lanes[0], beam.now[0] = self._root, self._start
        self.tree.nodes[0] = (-1, -1, -1, -1, -1, 0, -1)
        self.tree.times[0] = (0, 0, 0, 0.0)
        self.tree.states[0] = self._unspoken

    def grow(self, frames: int) -> None:
        """Make room for what so many frames may add."""
        more = frames * self.size
        nodes = int(self.beam.now["nodes"][0])
        states = _grown(self.tree.states, nodes, more) if self.fused else self.tree.states
        others = self.tree.alternatives
        if self.recombines:
            others = _grown(others, int(self.beam.now["alternatives"][0]), 2 * more)
        self.tree = self.tree._replace(states=states, alternatives=others)
        self.make_room(more, 2 * more)

    def make_room(self, nodes: int, times: int | None = None) -> None:
        """Make room for so many prefixes, without states, and times; None: as many."""
        now = self.beam.now[0]
        self.tree = self.tree._replace(
            nodes=_grown(self.tree.nodes, int(now["nodes"]), nodes),
            times=_grown(self.tree.times, int(now["times"]), nodes if times is None else times),
        )


def _grown(array: NDArray[Any], used: int, more: int) -> NDArray[Any]:
    if used + more <= len(array):
        return array
    grown = np.empty(max(used + more, 2 * len(array)), array.dtype)
    grown[:used] = array[:used]
    return grown

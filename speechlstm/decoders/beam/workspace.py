"""What a search works in: the tree of prefixes, the beam, and room that is reused from utterance to utterance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.beam.fusion import STATE, Options
from speechlstm.decoders.beam.prefixes import NODE, TIME
from speechlstm.decoders.lm import NGramArrays
from speechlstm.decoders.lm.ngram import DTYPES

_ROOM = 4096  # nodes at first


class Beam(NamedTuple):
    """The prefixes that are kept, each in a lane of its own, and room to work in.

    A prefix stays in its lane as long as it is kept, so that a frame writes little but what it changes.
    """

    node: NDArray[np.int32]  # (beam_size,)
    above: NDArray[np.int32]  # (beam_size,) the node without the last token
    parent: NDArray[np.int32]  # (beam_size,) and its lane, -1 if it is not kept
    last: NDArray[np.int32]  # (beam_size,) the last token
    factor: NDArray[
        np.float64
    ]  # (beam_size,) what the last token multiplied into the probability besides its own
    blank: NDArray[np.float64]  # (beam_size,) probability of the alignments that end in a blank
    token: NDArray[np.float64]  # (beam_size,) and of those that end in the last token
    both: NDArray[np.float64]  # (beam_size,) their sum
    new_blank: NDArray[np.float64]  # (beam_size,) the same after the frame
    new_token: NDArray[np.float64]  # (beam_size,)
    moved: NDArray[np.int32]  # (beam_size,) the lane after the frame, -1 if it is dropped
    free: NDArray[np.int32]  # (beam_size,) lanes of prefixes that were dropped
    back: NDArray[
        np.bool_
    ]  # (beam_size,) it was here before, or in another lane: `born` does not know its children
    born: NDArray[np.int32]  # (beam_size, vocab) a child of the prefix in a lane by a token
    born_of: NDArray[np.int32]  # (beam_size, vocab) and the prefix whose child it is
    taken: NDArray[
        np.int32
    ]  # (beam_size, vocab) the last frame in which a prefix's continuation was in the beam
    lead: NDArray[np.float64]  # (beam_size,) probability of a prefix with the frame's best token
    tokens: NDArray[np.int32]  # (max_tokens,) of a frame
    probs: NDArray[np.float64]  # (max_tokens,)
    prob: NDArray[np.float64]  # (vocab + 1,) the same by token, 0 below the threshold and for the root's -1
    score: NDArray[np.float64]  # (candidates,) probability, those that stay first
    ranked: NDArray[np.float64]  # (candidates,) the same, to be selected from
    source: NDArray[np.int32]  # (candidates,) for each new one the lane of the prefix it continues
    source_node: NDArray[np.int32]  # (candidates,) and its node
    added: NDArray[np.int32]  # (candidates,) its token
    variant: NDArray[np.int32]  # (candidates,) and which of the words that sound alike has ended
    renewed: NDArray[np.int32]  # (beam_size,) prefixes that most alignments reach anew in this frame
    numbers: NDArray[np.int64]  # (4,) frames done, nodes in use, lanes in use, times in use
    scale: NDArray[np.float64]  # (1,) natural log of what the probabilities have been divided by


class Search:
    """An utterance that is being searched.

    Args:
        options: of the search.
        vocab_size: tokens, the blank included.
        fused: whether there is a language model, a lexicon, hotwords or a word bonus.
        language_state: of the language model, before the first word.

    Attributes:
        nodes: the tree of prefixes.
        times: where their tokens lie.
        states: what is known of each prefix, if `fused`.
        beam: those that are kept.
    """

    def __init__(self, options: Options, vocab_size: int, fused: bool, language_state: int) -> None:
        size, most = options.beam_size, options.max_tokens
        room = size * (1 + most + options.homophones)
        self.size, self.fused, self.language_state = size, fused, language_state
        self.beam = Beam(
            node=np.zeros(size, np.int32),
            above=np.zeros(size, np.int32),
            parent=np.zeros(size, np.int32),
            last=np.zeros(size, np.int32),
            factor=np.zeros(size),
            blank=np.zeros(size),
            token=np.zeros(size),
            both=np.zeros(size),
            new_blank=np.zeros(size),
            new_token=np.zeros(size),
            moved=np.zeros(size, np.int32),
            free=np.zeros(size, np.int32),
            back=np.zeros(size, np.bool_),
            born=np.empty((size, vocab_size), np.int32),
            born_of=np.empty((size, vocab_size), np.int32),
            taken=np.empty((size, vocab_size), np.int32),
            lead=np.zeros(size),
            tokens=np.empty(most, np.int32),
            probs=np.empty(most),
            prob=np.zeros(vocab_size + 1),
            score=np.empty(room),
            ranked=np.empty(room),
            source=np.empty(room, np.int32),
            source_node=np.empty(room, np.int32),
            added=np.empty(room, np.int32),
            variant=np.empty(room, np.int32),
            renewed=np.zeros(size, np.int32),
            numbers=np.zeros(4, np.int64),
            scale=np.zeros(1),
        )
        self.nodes: NDArray[Any] = np.empty(_ROOM, NODE)
        self.times: NDArray[Any] = np.empty(_ROOM, TIME)
        self.states: NDArray[Any] = np.empty(_ROOM if fused else 1, STATE)
        self.reset()

    @property
    def prefixes(self) -> list[int]:
        """The nodes that are kept."""
        kept: list[int] = self.beam.node[: self.beam.numbers[2]].tolist()
        return kept

    @property
    def masses(self) -> NDArray[np.float64]:
        """The probability of each, as far as it has been divided."""
        width = self.beam.numbers[2]
        return self.beam.blank[:width] + self.beam.token[:width]

    def reset(self) -> None:
        """Go back to the empty prefix, before the first frame."""
        beam = self.beam
        beam.born_of.fill(-1)
        beam.taken.fill(-1)
        beam.node[0], beam.token[0] = 0, 0.0
        beam.above[0] = beam.parent[0] = beam.last[0] = -1
        beam.factor[0] = beam.blank[0] = 1.0
        beam.back[0] = False
        beam.numbers[:], beam.scale[0] = (0, 1, 1, 1), 0.0
        self.nodes[0] = (-1, -1, -1, -1, -1, 0)
        self.times[0] = (0, 0, 0, 0.0)
        self.states[0] = (0, 0, 0, -1, 0.0, 1.0, 0, self.language_state, 0.0, 0.0, 0.0)

    def line(self, index: int) -> list[int]:
        """Return the nodes from the first token of a prefix to its last."""
        nodes = []
        while index > 0:
            nodes.append(index)
            index = int(self.nodes["parent"][index])
        return nodes[::-1]

    def grow(self, frames: int) -> None:
        """Make room for what so many frames may add."""
        more = frames * self.size
        _, nodes, _, times = self.beam.numbers.tolist()
        self.nodes = _grown(self.nodes, nodes, more)
        self.times = _grown(self.times, times, 2 * more)
        if self.fused:
            self.states = _grown(self.states, nodes, more)


def _grown(array: NDArray[Any], used: int, more: int) -> NDArray[Any]:
    if used + more <= len(array):
        return array
    grown = np.empty(max(used + more, 2 * len(array)), array.dtype)
    grown[:used] = array[:used]
    return grown


def _no_model() -> NGramArrays:
    arrays = {name: np.zeros(1, dtype) for name, dtype in DTYPES.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return NGramArrays(**arrays, places=1)


NO_MODEL = _no_model()  # never looked at, but of the type that compiled code expects

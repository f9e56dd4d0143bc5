"""Hotwords: phrases that a search prefers, as an automaton (Aho and Corasick 1975) over tokens."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.lines import read_lines
from speechlstm.data.names import expanded
from speechlstm.decoders.beam.fusion import BEGINS, CONTINUES, SEPARATES
from speechlstm.decoders.beam.trie import Trie, build_trie
from speechlstm.types import DecoderError, UsageError

MOST_BOOST = 100.0  # natural log for each token: more makes probabilities infinite


def read_hotwords(given: str | Path | Iterable[Any] | Mapping[Any, Any], boost: float) -> dict[str, float]:
    """Return phrases with their boosts.

    Args:
        given: a file with a phrase a line and, after a tab, a boost of its own if it has one; or the phrases; or
            phrases with their boosts.
        boost: of phrases without one of their own, natural log for each token.

    Raises:
        UsageError: what is given is none of these, or a boost is not a number from 0 to 100.
        SpeechlstmError: the file cannot be read, or a line's boost is not such a number; the message begins with
            `path:line`.
    """
    if isinstance(given, str | Path):
        if not os.path.exists(path := expanded(given)):  # noqa: PTH110 (never raises)
            raise UsageError(
                f"{str(given)[:60]}: no such file; phrases are given as a list, hotwords=[{str(given)[:60]}]"
            )
        lines = ((f"{path}:{number}", line.partition("\t")) for number, line in read_lines(path))
        listed = [(where, phrase, own if tab else boost) for where, (phrase, tab, own) in lines]
    elif isinstance(given, Mapping):
        listed = [("hotwords", _text(phrase), own) for phrase, own in given.items()]
    elif isinstance(given, Iterable):
        listed = [("hotwords", _text(phrase), boost) for phrase in given]
    else:
        raise UsageError(f"hotwords is {given!r}, but must be a list of phrases or a file")
    phrases: dict[str, float] = {}
    for where, phrase, own in listed:
        try:
            value = float(own)
        except (TypeError, ValueError):
            value = np.nan
        if not 0 <= value <= MOST_BOOST:
            kind = UsageError if where == "hotwords" else DecoderError
            boosted = f"the boost of {phrase[:60]!r} is {repr(own)[:60]}"
            raise kind(f"{where}: {boosted}, but must be a number from 0 to {MOST_BOOST:g}")
        if name := " ".join(phrase.split()):
            phrases[name] = value
    return phrases


def _text(phrase: Any) -> str:
    """Return a phrase as it was written, though YAML took it for something else."""
    if isinstance(phrase, Mapping | list | tuple):
        raise UsageError(f"hotwords: {phrase!r} is not a phrase")
    return {"None": "null", "True": "true", "False": "false"}.get(str(phrase), str(phrase))


class Hotwords:
    """The automaton of some phrases: a trie, and where to go on when a phrase breaks off.

    Each token of a phrase adds its boost. When a phrase breaks off or its last word goes on, what it has gathered is
    taken back, except what whole phrases within it earn: the most that some of them do that do not overlap. Phrases
    begin where words do. Of a phrase that can begin within itself ("new new"), not every repetition may count.

    Attributes:
        trie: of the phrases.
        fail: `(nodes,)` the longest other beginning of a phrase that a node ends with; 0 for none.
        score: `(nodes,)` what a prefix that has come here has gathered.
        kept: `(nodes,)` what stays if it breaks off within a word, besides what then stays of `fail`.
        whole: `(nodes,)` the same at the end of a word.
        gain: the most that one token can add.
    """

    def __init__(
        self, phrases: Sequence[Sequence[int]], boosts: Sequence[float], kind: NDArray[np.int8]
    ) -> None:
        self.trie = trie = build_trie(phrases)
        count = len(trie.token)
        each = np.maximum(trie.best_below(np.asarray(boosts, dtype=np.float64)), 0.0)
        self.score, within, ended = np.zeros(count), np.zeros(count), np.zeros(count)
        self.fail = np.zeros(count, dtype=np.int32)
        found = np.zeros(count, dtype=np.int32)  # the longest whole phrase that a node ends with, 0 for none
        ends, change = np.diff(trie.first_entry) > 0, np.zeros(count)
        for node in range(1, count):  # by depth, so all that a node needs is known
            parent, fail = int(trie.parent[node]), _suffix(trie, self.fail, kind, node)
            self.score[node], self.fail[node] = self.score[parent] + each[node], fail
            # What the whole phrases within it earn, those that end with its last word left out, and with them.
            within[node] = (within if kind[trie.token[node]] == CONTINUES else ended)[parent]
            ended[node], phrase = within[node], node if ends[node] else int(found[fail])
            found[node] = phrase
            while phrase:
                before = ended[_without(trie, node, phrase)]
                ended[node] = max(ended[node], before + self.score[phrase])
                phrase = int(found[self.fail[phrase]])
            # A phrase that breaks off can go over into one with a greater boost, and that into another.
            stays = max(within[node] - within[fail], ended[node] - ended[fail])
            change[node] = max(0.0, self.score[fail] + stays - self.score[node] + change[fail])
        self.kept, self.whole = within - within[self.fail], ended - ended[self.fail]
        self.gain = float(each.max(initial=0.0) + change.max(initial=0.0))


def _without(trie: Trie, node: int, phrase: int) -> int:
    """Return the node that comes before a phrase at the end of a node."""
    while phrase:
        node, phrase = int(trie.parent[node]), int(trie.parent[phrase])
    return node


def _suffix(trie: Trie, fail: NDArray[np.int32], kind: NDArray[np.int8], node: int) -> int:
    """Return the longest other beginning of a phrase that the tokens up to a node end with, 0 if there is none."""
    place, token = int(trie.parent[node]), int(trie.token[node])
    begins = kind[token] == BEGINS or (kind[token] == CONTINUES and kind[trie.token[place]] == SEPARATES)
    while place:
        place = int(fail[place])
        if place or begins:  # at the root only a token that begins a word leads on
            low, high = trie.first[place], trie.first[place + 1]
            index = low + int(np.searchsorted(trie.token[low:high], token))
            if index < high and trie.token[index] == token:
                return int(index)
    return 0

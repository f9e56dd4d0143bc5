"""Hotwords: phrases that a search hears more readily, as an automaton (Aho and Corasick 1975) over tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.beam.fusion import BEGINS, CONTINUES, SEPARATES
from speechlstm.decoders.beam.trie import Trie, build_trie
from speechlstm.types import DecoderError, UsageError


def read_hotwords(given: str | Path | Iterable[str] | Mapping[str, float], boost: float) -> dict[str, float]:
    """Return phrases with their boosts.

    Args:
        given: a file with a phrase a line and, after a tab, a boost of its own if it has one; or the phrases; or
            phrases with their boosts.
        boost: of phrases without one of their own, natural log for each token.

    Raises:
        DecoderError: the file cannot be read, or a line's boost is not a number.
        UsageError: a boost is negative or not finite.
    """
    phrases: dict[str, float] = {}
    if isinstance(given, str | Path):
        try:
            lines = Path(given).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise DecoderError(f"{given}: cannot read the hotwords: {reason}") from None
        for number, line in enumerate(lines, 1):
            phrase, tab, own = line.partition("\t")
            try:
                phrases[" ".join(phrase.split())] = float(own) if tab else boost
            except ValueError:
                raise DecoderError(
                    f"{given}:{number}: {own!r} after the tab must be a number, the boost"
                ) from None
    elif isinstance(given, Mapping):
        phrases = {" ".join(str(phrase).split()): float(value) for phrase, value in given.items()}
    else:
        phrases = {" ".join(str(phrase).split()): boost for phrase in given}
    phrases.pop("", None)
    for phrase, value in phrases.items():
        if not 0 <= value < np.inf:
            raise UsageError(f"the boost of hotword {phrase!r} is {value}, but must be 0 or more and finite")
    return phrases


class Hotwords:
    """The automaton of some phrases: a trie, and where to go on when a phrase breaks off.

    Each token of a phrase adds its boost; what a phrase has gathered is taken back when it breaks off or its last
    word goes on, except what a whole phrase within it has earned. Phrases begin where words do.

    Args:
        phrases: token ids of each, not empty.
        boosts: of each, natural log for each token.
        kind: of each token, whether it begins or separates words.

    Attributes:
        trie: of the phrases.
        fail: `(nodes,)` the longest other beginning of a phrase that a node ends with; 0 for none.
        score: `(nodes,)` what a prefix that has come here has gathered.
        kept: `(nodes,)` what of it stays if it breaks off within a word.
        whole: `(nodes,)` and at the end of a word.
        gain: the most that one token can add.
    """

    def __init__(
        self, phrases: Sequence[Sequence[int]], boosts: Sequence[float], kind: NDArray[np.int8]
    ) -> None:
        self.trie = trie = build_trie(phrases)
        count = len(trie.token)
        each = np.maximum(trie.best_below(np.asarray(boosts, dtype=np.float64)), 0.0)
        self.score, self.kept, self.whole = np.zeros(count), np.zeros(count), np.zeros(count)
        self.fail = np.zeros(count, dtype=np.int32)
        ends = np.diff(trie.first_entry) > 0
        for node in range(1, count):  # by depth, so all that a node needs is known
            parent = int(trie.parent[node])
            at_boundary = kind[trie.token[node]] != CONTINUES
            self.score[node] = self.score[parent] + each[node]
            self.kept[node] = self.whole[parent] if at_boundary else self.kept[parent]
            self.whole[node] = self.score[node] if ends[node] else self.kept[node]
            self.fail[node] = _suffix(trie, self.fail, kind, node)
        # A phrase that breaks off can go over into one with a greater boost.
        change = np.maximum(self.score[self.fail] + self.whole - self.score, 0.0)
        self.gain = float(each.max(initial=0.0) + change.max(initial=0.0))


def _suffix(trie: Trie, fail: NDArray[np.int32], kind: NDArray[np.int8], node: int) -> int:
    """Return the longest other beginning of a phrase that the tokens up to a node end with, 0 if there is none."""
    place, token = int(trie.parent[node]), int(trie.token[node])
    begins = kind[token] == BEGINS or (kind[token] == CONTINUES and kind[trie.token[place]] == SEPARATES)
    while place:
        place = int(fail[place])
        if place or begins:  # at the root only a token that begins a word leads on
            low, high = trie.first[place], trie.first[place + 1]
            found = low + int(np.searchsorted(trie.token[low:high], token))
            if found < high and trie.token[found] == token:
                return int(found)
    return 0

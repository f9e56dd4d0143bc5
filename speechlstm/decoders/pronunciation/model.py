"""Letters to phones: an n-gram over graphones, searched with a beam (Bisani and Ney 2008)."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import NGram, estimate
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.decoders.lm.ngram import NGramArrays, query
from speechlstm.decoders.pronunciation.alignment import Graphone, align
from speechlstm.model.tokenizer.lexicon import Pronunciations
from speechlstm.types import SpeechlstmError

ORDER = 6  # graphones in the longest n-grams
_BEAM = 40  # ways to pronounce the letters so far that are kept
_SEPARATOR = "\t"  # neither letters nor phones have white space

Ints = npt.NDArray[np.int32]


class _Choices(NamedTuple):
    """The graphones of each unit of letters: `word[first[unit]:first[unit + 1]]` are their ids in the n-gram."""

    first: Ints
    word: Ints


class Pronouncer:
    """Pronounces words by what a lexicon says of others.

    Raises:
        SpeechlstmError: the lexicon has too little to learn from.
    """

    def __init__(self, entries: Pronunciations, order: int = ORDER) -> None:
        pairs = [(word, variant) for word, variants in entries.items() for variant in variants]
        cut = [graphones for graphones in align(pairs) if graphones]
        if not cut:
            raise SpeechlstmError("no word of the lexicon has letters that can be matched with its phones")
        names = {graphone: _name(graphone) for graphones in cut for graphone in graphones}
        trie, _ = estimate(make_corpus([names[each] for each in graphones] for graphones in cut), order)
        self._model = NGram.from_trie(trie)
        self._phones: list[tuple[str, ...]] = [()] * len(self._model.words)
        words: defaultdict[str, list[int]] = defaultdict(list)
        for graphone, name in names.items():
            words[graphone.letters].append(self._model.ids[name])
            self._phones[self._model.ids[name]] = graphone.phones
        self._units = {letters: index for index, letters in enumerate(words)}
        first = np.cumsum([0, *map(len, words.values())]).astype(np.int32)
        self._choices = _Choices(first, np.array([each for ids in words.values() for each in ids], np.int32))

    def pronounce(self, word: str, variants: int = 1) -> list[tuple[list[str], float]]:
        """Return the most probable pronunciations of a word, best first, each with its probability.

        Returns:
            An empty list where the lexicon has none of the word's letters, or no phones for them.
        """
        units = np.full((len(word), 2), -1, np.int32)
        for start in range(len(word)):
            for size in range(1, min(2, len(word) - start) + 1):
                units[start, size - 1] = self._units.get(word[start : start + size], -1)
        model = self._model
        scores, paths = _search(units, self._choices, model.arrays, model.start, model.eos, _BEAM)
        summed: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for score, path in zip(scores.tolist(), paths.tolist(), strict=True):
            phones = tuple(phone for each in path if each >= 0 for phone in self._phones[each])
            if phones:
                summed[phones] += math.exp(score - scores.max())
        total = sum(summed.values())
        ordered = sorted(summed.items(), key=lambda item: -item[1])[:variants]
        return [(list(phones), weight / total) for phones, weight in ordered]


def _name(graphone: Graphone) -> str:
    return _SEPARATOR.join((graphone.letters, *graphone.phones))


@compiled
def _search(units: Ints, choices: _Choices, arrays: NGramArrays, start: int, eos: int, beam: int) -> Any:
    """Return the log probabilities of the best ways through a word, and the graphones of each.

    Args:
        units: `(letters, 2)` the units of one and of two letters that begin at each letter; -1: none.
        choices: the graphones of each unit.
        arrays: the n-gram over graphones.
        start: its state at the beginning of a word.
        eos: its word for the end.
        beam: how many ways to keep after each letter.

    Returns:
        `(ways,)` the log probabilities, and `(ways, letters)` the graphones, -1 after the last.
    """
    length = len(units)
    widest = 0
    for unit in range(len(choices.first) - 1):
        widest = max(widest, choices.first[unit + 1] - choices.first[unit])
    room = 2 * beam * widest + 1
    score = np.full((length + 1, room), -np.inf)
    state = np.zeros((length + 1, room), np.int64)
    path = np.full((length + 1, room, length), -1, np.int32)
    steps = np.zeros((length + 1, room), np.int64)
    used = np.zeros(length + 1, np.int64)
    score[0, 0], state[0, 0], used[0] = 0.0, start, 1
    for place in range(length):
        best = np.argsort(-score[place, : used[place]])[:beam]
        for way in best:
            for size in range(1, 3):
                unit = units[place, size - 1]
                if unit < 0:
                    continue
                to = place + size
                for index in range(choices.first[unit], choices.first[unit + 1]):
                    word = choices.word[index]
                    log_prob, after = query(arrays, state[place, way], word)
                    new = used[to]
                    score[to, new] = score[place, way] + log_prob
                    state[to, new] = after
                    path[to, new] = path[place, way]
                    path[to, new, steps[place, way]] = word
                    steps[to, new] = steps[place, way] + 1
                    used[to] += 1
    for way in range(used[length]):
        log_prob, _ = query(arrays, state[length, way], eos)
        score[length, way] += log_prob
    best = np.argsort(-score[length, : used[length]])[:beam]
    return score[length][best], path[length][best]

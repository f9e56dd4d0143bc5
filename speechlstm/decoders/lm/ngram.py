"""An n-gram model in memory: three flat arrays that compiled code queries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm.corpus import BOS, BOS_ID, EOS, UNK, Corpus
from speechlstm.decoders.lm.trie import Ints, Trie

FLOOR = math.log(1e-10)  # natural log probability of <unk>, <s> and </s> in a model without them

Records = npt.NDArray[np.void]

DTYPES = {
    "table": np.dtype([("key", np.uint64), ("log_prob", np.float32), ("next", np.int32)], align=True),
    "states": np.dtype([("backoff", np.float32), ("shorter", np.int32)], align=True),
    "unigrams": np.dtype([("log_prob", np.float32), ("next", np.int32)], align=True),
}  # of the arrays in `NGramArrays`

_LOAD = 0.8  # n-grams to places in the table: fuller is smaller, and slower
_SHIFT, _LAST = np.uint64(32), np.uint64(0xFFFFFFFF)
NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)  # the key of the place after the last n-gram
_ODD1, _ODD2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_INVERSE1, _INVERSE2 = (np.uint64(pow(int(odd), -1, 1 << 64)) for odd in (_ODD1, _ODD2))


class NGramArrays(NamedTuple):
    """The arrays of a model, as compiled functions take them.

    A state is a context: the longest one that can still matter, which is one that n-grams continue or
    whose back-off weight is not 1. State 0 is the empty context.
    """

    # `(places,)` the n-grams of two words and more, by the hash of state and word: `key`, `log_prob` and
    # `next`, the state after it. Keys never decrease; a free place repeats the record after it
    table: Records
    states: Records  # `(states,)` `backoff` (natural log), and `shorter`, the state to back off to
    unigrams: Records  # `(words,)` `log_prob` and `next` of each word after the empty context
    places: int  # how many places of the table keys hash to; a few more follow, for those pushed over the end


@compiled
def _key(state: Any, word: Any) -> Any:
    """Return a number that no other state and word have; never the largest, unless the state is 0."""
    key = (state << _SHIFT) | word
    key = key * _ODD1
    key = key ^ (key >> _SHIFT)
    return (key * _ODD2) ^ NOWHERE


@compiled
def _longer(table: Any, states: int, words: int) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
    """Return the states, last words, and log probabilities of the n-grams in a table."""
    state, word = np.empty(len(table), np.int32), np.empty(len(table), np.int32)
    log_prob = np.empty(len(table), np.float32)
    count = 0
    for place in range(len(table)):
        key = table[place].key
        if key == (table[place + 1].key if place + 1 < len(table) else NOWHERE):
            continue  # a free place
        key = (key ^ NOWHERE) * _INVERSE2  # `_key` backwards
        key = (key ^ (key >> _SHIFT)) * _INVERSE1
        context, last = key >> _SHIFT, key & _LAST
        if context < np.uint64(states) and last < np.uint64(words):  # whatever a file has made of it
            state[count], word[count], log_prob[count] = context, last, table[place].log_prob
            count += 1
    return state[:count], word[:count], log_prob[:count]


@compiled
def query(arrays: NGramArrays, state: int, word: int) -> tuple[float, int]:
    """Return the natural log of a word's probability after a state, and the state after the word.

    To be called from compiled functions; states begin with `NGram.start` or `NGram.null`. Equal states have
    equal futures. Nothing is checked: states and words must be the model's.
    """
    log_prob = 0.0
    context = np.uint64(state)
    while context:
        key = _key(context, np.uint64(word))
        place = ((key >> _SHIFT) * np.uint64(arrays.places)) >> _SHIFT
        while arrays.table[place].key < key:
            place += np.uint64(1)
        record = arrays.table[place]
        if record.key == key:
            return log_prob + record.log_prob, int(record.next)
        log_prob += arrays.states[context].backoff
        context = np.uint64(arrays.states[context].shorter)
    unigram = arrays.unigrams[word]
    return log_prob + unigram.log_prob, int(unigram.next)


@compiled
def _log_probs(
    arrays: NGramArrays, words: Ints, state: int, end: int, restart: int
) -> npt.NDArray[np.float64]:
    """Return the log probability of each word in turn; after the word `end` the state is `restart`."""
    result = np.empty(len(words))
    for index, word in enumerate(words):
        result[index], state = query(arrays, state, word)
        if word == end:
            state = restart
    return result


@dataclass(frozen=True, slots=True)
class Perplexity:
    """How well a model predicts a text."""

    sentences: int  # how many; each has a `</s>` to predict
    words: int  # how many running words
    # each word that the model does not have, with how often it occurs, most frequent first
    oov: list[tuple[str, int]]
    with_oov: float  # perplexity of all words and `</s>`, unknown words predicted as `<unk>`
    without_oov: float  # the same, with unknown words not counted (they stay in the contexts)

    @classmethod
    def of(
        cls, corpus: Corpus, unknown: npt.NDArray[np.bool_], log_probs: npt.NDArray[np.float64]
    ) -> Perplexity:
        """Sum up how probable a text is.

        Args:
            corpus: the text.
            unknown: which of its words the model does not have.
            log_probs: natural logs of all its running words and `</s>`.
        """
        spoken = corpus.stream[corpus.stream != BOS_ID]
        counts = np.bincount(spoken, minlength=len(unknown))
        oov = [(corpus.words[index], int(counts[index])) for index in np.flatnonzero(unknown & (counts > 0))]
        return cls(
            corpus.num_sentences,
            corpus.num_words,
            sorted(oov, key=lambda pair: -pair[1]),
            math.exp(-log_probs.mean()),
            math.exp(-log_probs[~unknown[spoken]].mean()),
        )


class NGram:
    """A back-off n-gram language model.

    A model without `<unk>`, `<s>` or `</s>` gets it, with a log probability of `FLOOR` in every context that does
    not back off.

    Attributes:
        ids: the id of each word.
        unk: id of `<unk>`, which stands for every word that is not in `ids`.
        bos: id of `<s>`.
        eos: id of `</s>`.
        start: the state after `<s>`.
        null: the state of the empty context.
    """

    def __init__(self, words: list[str], order: int, arrays: NGramArrays) -> None:
        self.words, self.order, self.arrays = words, order, arrays
        self.ids = {word: index for index, word in enumerate(words)}
        self.unk, self.bos, self.eos = self.ids[UNK], self.ids[BOS], self.ids[EOS]
        self.null = 0
        self.start = int(arrays.unigrams["next"][self.bos])

    def longer(self) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
        """Return all n-grams of two words or more: their states, last words and log probabilities."""
        longer: tuple[Ints, Ints, npt.NDArray[np.float32]] = _longer(
            self.arrays.table, len(self.arrays.states), len(self.words)
        )
        return longer

    @classmethod
    def from_trie(cls, trie: Trie) -> NGram:
        """Lay a trie out for queries."""
        added = [mark for mark in (UNK, BOS, EOS) if mark not in trie.words]
        return cls([*trie.words, *added], trie.order, _pack(trie, len(added)))

    def score(self, words: Sequence[str], bos: bool = True, eos: bool = True) -> list[float]:
        """Return the natural log probability of each word, given those before it.

        A word that the model does not have is scored as `<unk>`. Without `bos` there is no context, with `eos` `</s>`
        is scored, too.
        """
        ids = [self.ids.get(word, self.unk) for word in words] + [self.eos] * eos
        start = self.start if bos else self.null
        log_probs: list[float] = _log_probs(self.arrays, np.array(ids, np.int32), start, -1, start).tolist()
        return log_probs

    def perplexity(self, corpus: Corpus) -> Perplexity:
        """Measure the model on a text that has at least one sentence."""
        ids = np.array([self.ids.get(word, self.unk) for word in corpus.words], np.int32)
        spoken = ids[corpus.stream[corpus.stream != BOS_ID]]
        log_probs = _log_probs(self.arrays, spoken, self.start, self.eos, self.start)
        return Perplexity.of(corpus, ids == self.unk, log_probs)


def _pack(trie: Trie, added: int) -> NGramArrays:
    """Lay a trie out as records, with `added` further words of the floor probability."""
    extended = np.bincount(trie.context[1:], minlength=len(trie.context)) > 0
    is_state = extended | (trie.backoff != 0)
    is_state[trie.ends[-2] :] = False  # nothing can be longer
    is_state[0] = True
    state = np.where(is_state, np.cumsum(is_state) - 1, -1).astype(np.int32)
    for begin, end in zip(trie.ends, trie.ends[1:], strict=False):  # a link leads to an order below
        part = state[begin:end]
        part[:] = np.where(part < 0, state[trie.link[begin:end]], part)
    states = np.zeros(np.count_nonzero(is_state), DTYPES["states"])
    states["backoff"] = trie.backoff[is_state]
    states["shorter"] = state[trie.link[is_state]]
    unigrams = np.zeros(len(trie.words) + added, DTYPES["unigrams"])
    unigrams["log_prob"], known = FLOOR, slice(1, trie.ends[1])
    unigrams["log_prob"][: len(trie.words)] = trie.log_prob[known]
    unigrams["next"][: len(trie.words)] = state[known]
    longer = slice(trie.ends[1], None)
    contexts, words = (part[longer].astype(np.uint64) for part in (state[trie.context], trie.word))
    keys = _key.py_func(contexts, words)
    rank = np.argsort(keys)
    keys = keys[rank]
    places = max(1, math.ceil(len(keys) / _LOAD))
    wanted = ((keys >> _SHIFT) * np.uint64(places) >> _SHIFT).astype(np.int64)
    ahead = np.arange(len(keys))
    place = np.maximum.accumulate(wanted - ahead) + ahead  # its own or the next free one
    records = np.zeros(len(keys) + 1, DTYPES["table"])
    records["key"][:-1], records["key"][-1] = keys, NOWHERE
    records["log_prob"][:-1], records["next"][:-1] = trie.log_prob[longer][rank], state[longer][rank]
    size = max(places, int(place[-1]) + 1 if len(place) else 0) + 1
    table = records[np.searchsorted(place, np.arange(size))]
    arrays = NGramArrays(table, states, unigrams, places)
    for array in (table, states, unigrams):  # as those mapped from a file are: compiled code is made once
        array.flags.writeable = False
    return arrays


NO_MODEL = NGramArrays(**{name: np.zeros(1, dtype) for name, dtype in DTYPES.items()}, places=1)
"""Never looked at, but of the type that compiled code expects."""
for _array in NO_MODEL[:3]:
    _array.flags.writeable = False

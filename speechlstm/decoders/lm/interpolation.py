"""Interpolation of an n-gram model and an LSTM, word by word: `P = weight P_lstm + (1 - weight) P_ngram`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from speechlstm.decoders.lm.corpus import UNK
from speechlstm.decoders.lm.lstm import MARKS, LstmLM
from speechlstm.decoders.lm.ngram import NGram
from speechlstm.types import DecoderError

Floats = npt.NDArray[np.float64]


class Interpolation:
    """An n-gram model and an LSTM as one model, over all words of both.

    Words that the LSTM lacks share the probability of its `<unk>` as they share their part of the n-gram model's
    1-grams, `<unk>` among them, which stands for what both lack: all probabilities after a context sum to 1.

    Args:
        ngram: the n-gram model.
        lstm: the LSTM.
        weight: the LSTM's weight, from 0 to 1.
        normalize: makes the words of both models those of the texts.
        lacking: words that share the n-gram model's `<unk>` equally, as those of the lexicon do in a search.

    Raises:
        DecoderError: the models have no word in common.
    """

    def __init__(
        self,
        ngram: NGram,
        lstm: LstmLM,
        weight: float,
        normalize: Callable[[str], str] = str,
        lacking: Collection[str] = (),
    ) -> None:
        self.ngram, self.lstm = ngram, lstm
        self.lacking, self._share = frozenset(lacking), -math.log(max(1, len(lacking)))
        with np.errstate(divide="ignore"):
            self._weights = np.log([weight, 1.0 - weight])
        texts = [(normalize(word), word) for word in ngram.words if word not in MARKS]
        # Of words that are alike when normalized the first counts, as in a search.
        self._of_ngram = dict(reversed(texts))
        self._of_lstm = {normalize(word): word for word in reversed(lstm.words[len(MARKS) :])}
        if not self._of_lstm.keys() & self._of_ngram.keys():
            raise DecoderError(
                f"the LSTM language model's {len(self._of_lstm):,} words and the n-gram model's"
                f" {len(self._of_ngram):,} have none in common; train both on the same kind of text"
            )
        shared = [UNK, *(word for text, word in texts if text not in self._of_lstm)]
        alone = ngram.arrays.unigrams["log_prob"].astype(np.float64)
        self._alone = alone - np.logaddexp.reduce(alone[[ngram.ids[word] for word in shared]])

    def log_probs(self, sentences: Sequence[Sequence[str]]) -> list[Floats]:
        """Return the natural log probability of each word of each sentence, and last that of `</s>`."""
        return [np.logaddexp(*(self._weights[:, None] + each)) for each in self._both(sentences)]

    def gains(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """Return how much more probable each sentence is than by the n-gram model alone, natural log."""
        both = self._both(sentences)
        return [float((np.logaddexp(*(self._weights[:, None] + each)) - each[1]).sum()) for each in both]

    def _both(self, sentences: Sequence[Sequence[str]]) -> list[Floats]:
        """Return for each sentence the log probabilities `(2, words + 1)` that LSTM and n-gram model give."""
        known = [[self._of_lstm.get(word, UNK) for word in words] for words in sentences]
        both = []
        for words, scores in zip(sentences, self.lstm.score(known), strict=True):
            own = [self._of_ngram.get(word, UNK) for word in words]
            pair = np.array([scores, self.ngram.score(own)])
            for place, word in enumerate(words):
                share = self._share if word in self.lacking else 0.0
                pair[1, place] += share
                if word not in self._of_lstm:
                    pair[0, place] += self._alone[self.ngram.ids[own[place]]] + share
            both.append(pair)
        return both

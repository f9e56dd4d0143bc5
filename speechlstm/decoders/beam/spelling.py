"""Spelling of words and phrases in tokens; for phones by a lexicon, or else by a model learned from its words."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from itertools import islice, product
from pathlib import Path

from speechlstm.decoders.pronunciation import Pronouncer
from speechlstm.model.tokenizer import Phones, Tokenizer
from speechlstm.model.tokenizer.lexicon import Pronunciations, probability, read_lexicon
from speechlstm.model.tokenizer.phones import BOUNDARY, joined
from speechlstm.types import DecoderError, SpeechlstmError, TokenizerError

MOST_TOKENS = 1000  # of a phrase or a word: more is no word, and would fill the memory
_VARIANTS = 3  # pronunciations of a word that the lexicon lacks
_MOST_WAYS = 16  # to pronounce a phrase
_LETTERS = 60  # of a word to pronounce: memory grows with their square


class Spelling:
    """Spells the words and the phrases of hotwords.

    Args:
        tokenizer: its tokens; one of phones knows the pronunciations of its lexicon.
        words: a file with more pronunciations, which go before those of the tokenizer's lexicon; only for phones.

    Attributes:
        lexicon: pronunciations of each word; None if tokens are not phones.
    """

    def __init__(self, tokenizer: Tokenizer, words: str | Path | None) -> None:
        self._tokenizer = tokenizer
        self.lexicon: Pronunciations | None = None
        if isinstance(tokenizer, Phones):
            self._known = self.lexicon = tokenizer.lexicon.entries
            if words is not None:
                self.lexicon = read_lexicon(words, tokenizer.normalize)
                self._known = self._known | self.lexicon
            self._ids = {phone: index for index, phone in enumerate(tokenizer.tokens)}

    def word(self, word: str) -> list[list[int]]:
        """Return each way to spell a word; a token is 0 where there is none for a phone or a character."""
        if self.lexicon is not None:
            return [[self._ids.get(phone, 0) for phone in phones] for phones in self._known[word]]
        try:
            return [self._tokenizer.encode(word) if len(word) <= MOST_TOKENS else [0]]
        except TokenizerError:
            return [[0]]

    def shares(self, word: str) -> list[float]:
        """Return for each way to spell a word the natural log of its probability by that of the most probable."""
        if self.lexicon is None:
            return [0.0]
        logs = [math.log(probability(phones)) for phones in self._known[word]]
        return [each - max(logs) for each in logs]

    def phrases(self, phrases: Iterable[str]) -> list[list[list[int]]]:
        """Return each way to spell each hotword; words that the lexicon lacks are pronounced by their spelling.

        Raises:
            DecoderError: a phrase that cannot be spelled.
        """
        given = list(phrases)
        for phrase in given:
            if len(phrase) > MOST_TOKENS:
                raise _unspellable(phrase, f"more than {MOST_TOKENS} characters")
        if self.lexicon is None:
            return [[self._encoded(phrase)] for phrase in given]
        words = {phrase: self._tokenizer.normalize(phrase).split() for phrase in given}
        self._pronounce(words)
        spelled = []
        for phrase in given:
            spoken = islice(product(*map(self.word, words[phrase])), _MOST_WAYS)
            ways = [joined(way, self._ids[BOUNDARY]) for way in spoken]
            if any(0 in way for way in ways):
                raise _unspellable(phrase, "its pronunciation has phones that the model lacks")
            spelled.append(ways)
        return spelled

    def _pronounce(self, phrases: dict[str, list[str]]) -> None:
        """Add pronunciations of the phrases' words that no lexicon has, as its other words are spelled."""
        missing = {
            word: phrase for phrase, words in phrases.items() for word in words if word not in self._known
        }
        if not missing:
            return
        try:
            pronouncer = Pronouncer(self._known)
        except SpeechlstmError as error:
            raise _unspellable(next(iter(missing.values())), f"not in the lexicon, and {error}") from None
        self._known = dict(self._known)  # the tokenizer's own stays as it is
        for word, phrase in missing.items():
            if len(word) > _LETTERS:
                raise _unspellable(
                    phrase, f"{word[:60]!r} is not in the lexicon, and has over {_LETTERS} letters"
                )
            variants = [phones for phones, _ in pronouncer.pronounce(word, _VARIANTS)]
            if not variants:
                raise _unspellable(phrase, f"{word!r} is not in the lexicon, nor are words with such letters")
            self._known[word] = variants
            shown = ", ".join(" ".join(phones) for phones in variants)
            print(
                f"hotword {word!r} is not in the lexicon; pronounced by its spelling: {shown}",
                file=sys.stderr,
            )

    def _encoded(self, phrase: str) -> list[int]:
        try:
            return self._tokenizer.encode(phrase)
        except TokenizerError as error:
            raise _unspellable(phrase, str(error)) from None


def _unspellable(phrase: str, reason: str) -> DecoderError:
    return DecoderError(f"hotword {phrase[:60]!r} cannot be spelled: {reason}")

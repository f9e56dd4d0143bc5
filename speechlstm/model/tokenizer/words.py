"""Whole words as tokens, for a closed vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from speechlstm.model.tokenizer.base import BLANK, Tokenizer


class Words(Tokenizer):
    """One token per word: for commands and digits, where every word is known."""

    kind = "words"
    unit = "word"

    @classmethod
    def collect(cls, texts: Iterable[str]) -> list[str]:
        """Return the words that occur, in code point order."""
        return sorted({word for text in texts for word in text.split()} - {BLANK})

    def unknown(self, text: str) -> Counter[str]:
        """Count the words of the text that are not among the tokens."""
        return Counter(word for word in self.normalize(text).split() if not self._ids.get(word))

    def begins_word(self, token: str) -> bool:
        """Return true: each token is a word."""
        return True

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return each token as a word."""
        return [(word, index, index + 1) for index, word in enumerate(self._spelled(ids))]

    def _encode(self, text: str) -> list[int]:
        return [self._ids[word] for word in text.split()]

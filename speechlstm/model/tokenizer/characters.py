"""Characters as tokens, which need nothing but the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

from speechlstm.data.characters import WITHIN_WORDS
from speechlstm.model.tokenizer.base import BLANK, Tokenizer, normalize, split

SPACE = "<space>"  # longer than a character, so it is never mistaken for one


class Characters(Tokenizer):
    """One token per Unicode character, and one for the space between words."""

    kind = "characters"
    unit = "character"
    separator = SPACE

    @classmethod
    def from_texts(cls, texts: Iterable[str], alphabet: str | None = None, **rules: Any) -> Self:  # type: ignore[override]
        """Make the tokenizer of the characters of training texts, or of an alphabet.

        An alphabet is normalized as the texts are; training leaves out texts with other characters.

        Raises:
            TokenizerError: there is no text.
        """
        if alphabet is None:
            return super().from_texts(texts, **rules)
        # Marks that texts keep within words would not be kept here, where they stand between any characters.
        folded = normalize(alphabet, **{**rules, "punctuation": "keep"})
        kept = [each for each in folded if each in WITHIN_WORDS or normalize(each, **rules)]
        return cls([BLANK, *cls.collect(kept)], **rules)

    @classmethod
    def collect(cls, texts: Iterable[str]) -> list[str]:
        """Return the space and the characters that occur, in code point order."""
        characters = sorted({character for text in texts for character in text} - {" "})
        return [SPACE, *characters] if characters else []

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are not among the tokens."""
        return Counter(c for c in self.normalize(text) if c not in self._ids and c != " ")

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the runs of characters between spaces."""
        return [("".join(word), start, end) for word, start, end in split(self._spelled(ids), SPACE)]

    def _encode(self, text: str) -> list[int]:
        return [self._ids[SPACE if character == " " else character] for character in text]

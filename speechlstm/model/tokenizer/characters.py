"""Characters: the tokens that need nothing but the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from speechlstm.model.tokenizer.base import BLANK, Tokenizer, normalize, split

SPACE = "<space>"  # longer than a character, so it is never mistaken for one


class Characters(Tokenizer):
    """One token per Unicode character, and one for the space between words."""

    kind = "characters"
    unit = "character"
    separator = SPACE

    @classmethod
    def from_texts(cls, texts: Iterable[str], case: str = "lower") -> Characters:
        """Collect the characters of the training texts, in code point order."""
        found = sorted({character for text in texts for character in normalize(text, case)} - {" "})
        return cls([BLANK, SPACE, *found] if found else [BLANK], case)

    def unknown(self, text: str) -> Counter[str]:
        """Count the characters of the text that are not among the tokens."""
        return Counter(c for c in self.normalize(text) if c not in self._ids and c != " ")

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the runs of characters between spaces."""
        return [("".join(word), start, end) for word, start, end in split(self._spelled(ids), SPACE)]

    def _encode(self, text: str) -> list[int]:
        return [self._ids[SPACE if character == " " else character] for character in text]

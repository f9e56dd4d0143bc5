"""What every tokenizer does: normalizing, refusing what has no token, reading words back."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from speechlstm.types import TokenizerError

BLANK = "<blank>"
CASES = ("lower", "upper", "keep")


class Tokenizer(ABC):
    """Turns text into token ids and token ids into words.

    `decode(encode(text)) == normalize(text)` for every text that can be encoded (by `Phones`: up to words
    that sound the same).

    Args:
        tokens: the token of each id; `tokens[0]` is `"<blank>"`.
        case: `"lower"` or `"upper"` to fold the text's case, `"keep"` to leave it.

    Raises:
        TokenizerError: the tokens are not distinct strings after a blank, or there is no such case policy.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]  # what `encode` looks up, for messages
    separator: str | None = None  # the token between two words, if there is one

    def __init__(self, tokens: Sequence[str], case: str = "lower") -> None:
        if case not in CASES:
            raise TokenizerError(f"tokenizer case is {case!r}, but must be one of {', '.join(CASES)}")
        strings = all(isinstance(token, str) and token for token in tokens)
        if not strings or len(set(tokens)) != len(tokens) or list(tokens[:1]) != [BLANK]:
            raise TokenizerError(f"tokens must be distinct, the first {BLANK!r}, but are {str(tokens)[:60]}")
        if len(tokens) < 2:
            raise TokenizerError(f"no tokens but {BLANK!r}: the training text is empty")
        self.tokens = list(tokens)
        self.case = case
        self._ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def normalize(self, text: str) -> str:
        """Return the text as it is trained and scored: Unicode NFC, case folded, single spaces."""
        return normalize(text, self.case)

    @abstractmethod
    def unknown(self, text: str) -> Counter[str]:
        """Count what the text has and the tokens have not: characters, or words."""

    def begins_word(self, token: str) -> bool:
        """Return whether a token begins a word by itself, without a separator before it."""
        return False

    @abstractmethod
    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the words that ids spell, each as `(word, index of its first id, index after its last)`.

        Raises:
            TokenizerError: an id is the blank or not below `len(self)`.
        """

    @abstractmethod
    def _encode(self, text: str) -> list[int]:
        """Encode text that is normalized and has nothing unknown."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without blanks.

        Raises:
            TokenizerError: characters (or words) that are not among the tokens, with their counts.
        """
        text = self.normalize(text)
        if unknown := self.unknown(text):
            first = re.escape(next(iter(unknown)))  # counted in the order of the text
            match = re.search(first if self.unit == "character" else rf"(?<!\S){first}(?!\S)", text)
            at = match.start() if match else 0
            where = f"{text[max(0, at - 30) : at + 30]!r} at character {at + 1}"
            raise TokenizerError(f"{listed(unknown)} not in the tokenizer's {self.unit}s, in {where}")
        return self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that ids spell: the words of `words`, one space between them."""
        return " ".join(word for word, _, _ in self.words(ids))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON from which `from_dict` makes the tokenizer again."""
        return {"kind": self.kind, "case": self.case, "tokens": self.tokens}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Tokenizer:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["tokens"], content["case"])

    def _spelled(self, ids: Sequence[int]) -> list[str]:
        wrong = [index for index in ids if not 0 < index < len(self.tokens)]
        if wrong:
            raise TokenizerError(
                f"id {wrong[0]} is no token's: they go from 1 to {len(self) - 1}, 0 is the blank"
            )
        return [self.tokens[index] for index in ids]


def normalize(text: str, case: str = "lower") -> str:
    """Return the text in Unicode NFC with the case folded and single spaces between words."""
    text = unicodedata.normalize("NFC", text)
    folded = text.lower() if case == "lower" else text.upper() if case == "upper" else text
    return " ".join(unicodedata.normalize("NFC", folded).split())


def split(tokens: Sequence[str], separator: str) -> list[tuple[list[str], int, int]]:
    """Return the runs between separators, each with its first index and the one after its last."""
    cuts = [-1, *(index for index, token in enumerate(tokens) if token == separator), len(tokens)]
    runs = ((before + 1, after) for before, after in pairwise(cuts))
    return [(list(tokens[start:end]), start, end) for start, end in runs if start < end]


def listed(counts: Counter[str]) -> str:
    """Return the most frequent names with their counts, for messages."""
    shown = [f"{name!r} ({count})" for name, count in counts.most_common(10)]
    return ", ".join(shown) + (f" and {len(counts) - 10} more" if len(counts) > 10 else "")

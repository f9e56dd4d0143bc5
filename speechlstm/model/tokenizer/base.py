"""The common base of tokenizers: normalizing, rejecting text without tokens, and joining tokens into words."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Self

from speechlstm.data.characters import WITHIN_WORDS
from speechlstm.model import settings
from speechlstm.types import TokenizerError

BLANK = "<blank>"
_DOTTED = {"lower": str.maketrans("Iİ", "ıi"), "upper": str.maketrans("iı", "İI")}  # Turkish, Azerbaijani

Case = Literal["lower", "upper", "keep"]
Punctuation = Literal["keep", "strip"]
Language = Literal["tr", "az"]


class Rules(NamedTuple):
    """How texts are normalized; see `normalize`."""

    case: Case = "lower"
    punctuation: Punctuation = "keep"
    language: Language | None = None


class Tokenizer(ABC):
    """Turns text into token ids and token ids into words.

    `decode(encode(text)) == normalize(text)` for every text that can be encoded (by `Phones`: up to words
    that sound the same).

    Args:
        tokens: the token of each id; `tokens[0]` is `"<blank>"`.
        case, punctuation, language: as in `normalize`.

    Raises:
        TokenizerError: the tokens are not distinct texts after a blank.
        UsageError: there is no such rule.
    """

    kind: ClassVar[str]
    unit: ClassVar[str]  # what `encode` looks up, for messages
    separator: str | None = None  # the token between two words, if there is one
    rules: Rules = Rules()  # those of a plugin that has a `normalize` of its own, and does not say

    def __init__(
        self,
        tokens: Sequence[str],
        case: Case = "lower",
        punctuation: Punctuation = "keep",
        language: Language | None = None,
    ) -> None:
        self.rules = Rules(case, punctuation, language)
        settings.check("tokenizer", [Tokenizer.__init__], self.rules._asdict())
        strings = isinstance(tokens, list | tuple) and all(isinstance(each, str) and each for each in tokens)
        if not strings or len(set(tokens)) != len(tokens) or list(tokens[:1]) != [BLANK]:
            raise TokenizerError(f"tokens must be distinct, the first {BLANK!r}, but are {str(tokens)[:60]}")
        if broken := next((token for token in tokens if not encodable(token)), None):
            raise TokenizerError(f"token {broken!r} is no text: it has half a surrogate pair in it")
        if len(tokens) < 2:
            raise TokenizerError(f"no tokens but {BLANK!r}: the training text is empty")
        self.tokens = list(tokens)
        self._ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        case: Case = "lower",
        punctuation: Punctuation = "keep",
        language: Language | None = None,
    ) -> Self:
        """Make the tokenizer of training texts; the rules are those of `normalize`.

        Raises:
            TokenizerError: there is no text.
        """
        rules = Rules(case, punctuation, language)
        return cls([BLANK, *cls.collect(normalize(text, *rules) for text in texts)], *rules)

    @classmethod
    def collect(cls, texts: Iterable[str]) -> list[str]:
        """Return the tokens that normalized texts consist of."""
        raise NotImplementedError(f"{cls.__name__} has neither collect nor from_texts")

    def normalize(self, text: str) -> str:
        """Return the text as it is trained and scored."""
        return normalize(text, *self.rules)

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
            first = next(iter(unknown))  # counted in the order of the text
            found = text.find(first) if self.unit == "character" else f" {text} ".find(f" {first} ")
            at = max(found, 0)
            where = f"{text[max(0, at - 30) : at + 30]!r} at character {at + 1}"
            raise TokenizerError(f"{listed(unknown)} not in the tokenizer's {self.unit}s, in {where}")
        return self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that ids spell: the words of `words`, one space between them."""
        return " ".join(word for word, _, _ in self.words(ids))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON from which `from_dict` makes the tokenizer again."""
        rules = {
            key: value for key, value in self.rules._asdict().items() if value != Rules._field_defaults[key]
        }
        return {"kind": self.kind, "case": self.rules.case, "tokens": self.tokens} | rules

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Tokenizer:
        """Make the tokenizer that `to_dict` described."""
        return cls(content["tokens"], **cls.rules_in(content))

    @staticmethod
    def rules_in(content: dict[str, Any]) -> dict[str, Any]:
        """Return the rules of `normalize` in what `to_dict` described."""
        return {key: content[key] for key in Rules._fields if key in content}

    def _spelled(self, ids: Sequence[int]) -> list[str]:
        wrong = [index for index in ids if not 0 < index < len(self.tokens)]
        if wrong:
            raise TokenizerError(
                f"id {wrong[0]} is no token's: they go from 1 to {len(self) - 1}, 0 is the blank"
            )
        return [self.tokens[index] for index in ids]


_FOLDED = {"lower": str.lower, "upper": str.upper}


def normalize(text: str, case: str = "lower", punctuation: str = "keep", language: str | None = None) -> str:
    """Return a text in Unicode NFC with single spaces between words.

    Args:
        text: any text.
        case: `"lower"` or `"upper"` folds it, `"keep"` leaves it.
        punctuation: `"strip"` makes a space of each mark and symbol, apostrophes and hyphens within words excepted.
        language: `"tr"` or `"az"` folds the dotted and the dotless i as Turkish and Azerbaijani do.
    """
    text = unicodedata.normalize("NFC", text)
    if language in ("tr", "az"):
        text = text.translate(_DOTTED.get(case, {}))
    text = unicodedata.normalize("NFC", _FOLDED.get(case, str)(text))
    if punctuation == "strip":
        text = "".join(
            " " if unicodedata.category(each)[0] in "PS" and not _is_within_word(text, place) else each
            for place, each in enumerate(text)
        )
    return " ".join(text.split())


def _is_within_word(text: str, place: int) -> bool:
    around = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    return text[place] in WITHIN_WORDS and all(map(_is_of_letter, around))


def _is_of_letter(character: str) -> bool:
    """Whether this is a letter, a digit, or of one: the vowels of Indic scripts are marks after a consonant."""
    return character.isalnum() or (character != "" and unicodedata.category(character)[0] == "M")


def encodable(text: str) -> bool:
    """Return whether a text can be written in UTF-8: JSON may hold half a surrogate pair, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def split(tokens: Sequence[str], separator: str) -> list[tuple[list[str], int, int]]:
    """Return the runs between separators, each with its first index and the one after its last."""
    cuts = [-1, *(index for index, token in enumerate(tokens) if token == separator), len(tokens)]
    runs = ((before + 1, after) for before, after in pairwise(cuts))
    return [(list(tokens[start:end]), start, end) for start, end in runs if start < end]


def listed(counts: Counter[str]) -> str:
    """Return the most frequent names with their counts, for messages."""
    shown = [f"{settings.shown(name)} ({count})" for name, count in counts.most_common(10)]
    return ", ".join(shown) + (f" and {len(counts) - 10} more" if len(counts) > 10 else "")

"""Phones as tokens, by a pronunciation lexicon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from speechlstm.model.tokenizer.base import BLANK, Tokenizer, listed, normalize, split
from speechlstm.model.tokenizer.lexicon import Lexicon, Pronunciations, parse_phones, read_lexicon, to_text
from speechlstm.types import TokenizerError

BOUNDARY = "|"  # between the phones of two words


class Phones(Tokenizer):
    """Phones by a pronunciation lexicon, with `|` between words.

    A text is encoded by each word's first pronunciation. Phones between two boundaries are read back as the
    word that is pronounced so, else as the fewest words that together are, else they stay as phones joined by
    `-`. So a word comes back as the one it sounds like that is the most frequent in the training text.
    """

    kind = "phones"
    unit = "word"
    separator = BOUNDARY

    def __init__(self, tokens: Sequence[str], lexicon: Pronunciations, **rules: Any) -> None:
        super().__init__(tokens, **rules)
        self.lexicon = Lexicon(lexicon)
        if not {BOUNDARY, *self.lexicon.phones()} <= self._ids.keys():
            raise TokenizerError(f"the lexicon's phones and {BOUNDARY!r} must be among the tokens")

    @classmethod
    def from_texts(cls, texts: Iterable[str], lexicon: str | Path, **rules: Any) -> Self:  # type: ignore[override]
        """Read the lexicon; of words that sound the same, the most frequent one in the texts is preferred.

        Raises:
            TokenizerError: a bad line in the lexicon, or words of the texts that it has not.
        """
        entries = read_lexicon(lexicon, lambda word: normalize(word, **rules))
        counts = Counter(word for text in texts for word in normalize(text, **rules).split())
        if missing := Counter({word: count for word, count in counts.items() if word not in entries}):
            raise TokenizerError(
                f"{listed(missing)} of the training text not in the lexicon {lexicon}; "
                "`speechlstm lexicon` writes one with pronunciations for them"
            )
        phones = Lexicon(entries).phones()
        if clash := phones & {BLANK, BOUNDARY}:
            raise TokenizerError(f"{lexicon}: {min(clash)!r} must not be a phone, it has a meaning here")
        ordered = sorted(entries, key=lambda word: -counts[word])  # sorting is stable: then as in the file
        return cls([BLANK, BOUNDARY, *sorted(phones)], {word: entries[word] for word in ordered}, **rules)

    def unknown(self, text: str) -> Counter[str]:
        """Count the words of the text that have no pronunciation."""
        return Counter(word for word in self.normalize(text).split() if word not in self.lexicon.entries)

    def words(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the words pronounced between boundaries, as the class describes."""
        spoken: list[tuple[str, int, int]] = []
        for phones, start, end in split(self._spelled(ids), BOUNDARY):
            words = self.lexicon.words(phones) or [("-".join(phones), 0, end - start)]
            spoken += [(word, start + first, start + after) for word, first, after in words]
        return spoken

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; the lexicon is in it."""
        entries = self.lexicon.entries.items()
        ways = {word: [to_text(phones) for phones in each] for word, each in entries}
        lexicon = {word: each[0] if len(each) == 1 else each for word, each in ways.items()}
        return super().to_dict() | {"lexicon": lexicon}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Phones:
        """Make the tokenizer that `to_dict` described."""
        lexicon = content["lexicon"]
        if isinstance(lexicon, dict):
            lexicon = {word: _phones_of(ways) for word, ways in lexicon.items()}
        return cls(content["tokens"], lexicon, **cls.rules_in(content))

    def _encode(self, text: str) -> list[int]:
        spelled = [[self._ids[phone] for phone in self.lexicon.entries[word][0]] for word in text.split()]
        return joined(spelled, self._ids[BOUNDARY])


def joined(words: Iterable[Sequence[int]], boundary: int) -> list[int]:
    """Return the phones of words, with the boundary between them."""
    return [index for word in words for index in (boundary, *word)][1:]


def _phones_of(ways: Any) -> Any:
    """Return the pronunciations of a word as lists of phones; older bundles have such lists."""
    if isinstance(ways, str):
        ways = [ways]
    if not isinstance(ways, list):
        return ways
    return [parse_phones(way.split(" ")) if isinstance(way, str) else way for way in ways]

"""A text as it is written, and what of it can be spelled with a model's tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from speechlstm.model.tokenizer import Tokenizer, normalize
from speechlstm.types import SpeechlstmError

_MARKS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word as it is written, or several in a row that cannot be spelled.

    Attributes:
        texts: the word, or the words.
        spoken: the same without marks, as the model would write it; empty if it cannot be spelled.
        ids: its tokens; none if it cannot be spelled.
    """

    texts: list[str]
    spoken: str
    ids: list[int]


def read(text: str, tokenizer: Tokenizer) -> list[WrittenWord]:
    """Spell each word of a text; digits, symbols, and foreign words in a row that cannot be spelled count as one.

    Raises:
        SpeechlstmError: there is no word, or none that can be spelled.
    """
    written = text.split()
    if not written:
        raise SpeechlstmError("there is no text to align")
    known: dict[str, str] = {}
    spoken = [known.setdefault(word, _spoken(word, tokenizer)) for word in written]
    if not any(spoken):
        tokenizer.encode(text)  # says what is unknown
        raise SpeechlstmError(f"no word of {text[:60]!r} can be spelled with the model's tokens")
    return list(_words(written, spoken, tokenizer))


def _words(written: Sequence[str], spoken: Sequence[str], tokenizer: Tokenizer) -> Iterator[WrittenWord]:
    ids: dict[str, list[int]] = {}
    for can, group in groupby(zip(written, spoken, strict=True), lambda pair: bool(pair[1])):
        if not can:
            yield WrittenWord([word for word, _ in group], "", [])
            continue
        for word, said in group:
            if said not in ids:
                ids[said] = tokenizer.encode(said)
            yield WrittenWord([word], said, ids[said])


def _spoken(word: str, tokenizer: Tokenizer) -> str:
    """Return a word as the model's tokenizer can spell it: with its marks, without, or in parts; else nothing."""
    rules = tokenizer.rules
    bare = normalize(word, rules.case, "strip", rules.language)
    for text in (tokenizer.normalize(word), bare, " ".join(_MARKS.sub(" ", bare).split())):
        if text and not tokenizer.unknown(text):
            return text
    return ""

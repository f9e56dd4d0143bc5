"""A text as it is written, and what of it can be spelled with a model's tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from speechlstm.data.characters import WITHIN_WORDS
from speechlstm.model.tokenizer import Tokenizer, normalize
from speechlstm.types import SpeechlstmError

_MARKS = re.compile(r"[\W_]+")
_READ_ALOUD = "&@#%‰§/\\"  # marks that stand for words
_APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ‘`´", "'"))


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word as it is written, or several in a row that cannot be spelled.

    Attributes:
        texts: the word, or the words; each with the marks that stand beside it.
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
    split = text.split()
    if not split:
        raise SpeechlstmError("there is no text to align")
    known = {word: _spoken(word, tokenizer) for word in dict.fromkeys(split)}
    written = list(_written(split, known))
    if not any(said for _, said in written):
        tokenizer.encode(text)  # says what is unknown
        raise SpeechlstmError(f"no word of {text[:60]!r} can be spelled with the model's tokens")
    return list(_words(written, tokenizer))


def _written(split: Sequence[str], known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each word as it is written, and as it is spelled; a mark that stands alone belongs to a word beside it."""
    parts, said = list[str](), ""  # of the word that may get more marks
    is_begun = False  # whether it has more than the marks before it
    for word in split:
        marks = _are_marks(word) and (not known[word] or set(word) <= {*WITHIN_WORDS})
        opens = (marks and unicodedata.category(word[-1]) in ("Ps", "Pi")) or word in ("¿", "¡")
        if is_begun and (opens or not marks):
            yield " ".join(parts), said
            parts, said, is_begun = [], "", False
        parts.append(word)
        if not marks:
            said, is_begun = known[word], True
    if parts:
        yield " ".join(parts), said


def _are_marks(word: str) -> bool:
    """Return whether nothing of a word is read aloud."""
    return not word.isalnum() and all(
        unicodedata.category(each) in ("Cf", "Cc")
        or (unicodedata.category(each)[0] == "P" and each not in _READ_ALOUD)
        for each in word
    )


def _words(written: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> Iterator[WrittenWord]:
    ids: dict[str, list[int]] = {}
    for can, group in groupby(written, lambda pair: bool(pair[1])):
        if not can:
            yield WrittenWord([word for word, _ in group], "", [])
            continue
        for word, said in group:
            if said not in ids:
                ids[said] = tokenizer.encode(said)
            yield WrittenWord([word], said, ids[said])


def _spoken(word: str, tokenizer: Tokenizer) -> str:
    """Return a word as the model's tokenizer can spell it: with its marks, without, or in parts; else nothing."""
    rules, forms = tokenizer.rules, _forms(word)
    bare = [normalize(form, rules.case, "strip", rules.language) for form in forms]
    in_parts = [" ".join(_MARKS.sub(" ", form).split()) for form in bare]
    for text in (*map(tokenizer.normalize, forms), *bare, *in_parts):
        if text and not tokenizer.unknown(text):
            return text
    return ""


def _forms(word: str) -> list[str]:
    """Return a word, and if need be without what only typesetting gives it, with other apostrophes, without accents."""
    if word.isascii():
        return [word, word.replace("'", "’")] if "'" in word else [word]
    letters = "".join(
        unicodedata.normalize("NFKC", each) if each.isalpha() else each
        for each in word
        if unicodedata.category(each) != "Cf"  # soft hyphens, and marks of direction and width
    )
    plain = letters.translate(_APOSTROPHES)
    apart = unicodedata.normalize("NFD", plain)
    without_accents = "".join(each for each in apart if unicodedata.category(each) != "Mn")
    return list(dict.fromkeys([word, letters, plain, plain.replace("'", "’"), without_accents]))

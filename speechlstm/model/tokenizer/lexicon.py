"""Pronunciation lexicons: from words to phones and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from speechlstm.data.lines import read_lines
from speechlstm.types import SpeechlstmError, TokenizerError

MOST_PHONES = 1000  # of a pronunciation: more is none, and would fill the memory

Pronunciations = dict[str, list[list[str]]]

# With a point, a sign, or an exponent, as no phone is written; `1` may be one.
_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\d+[eE][+-]?\d+|[+-]\d+")


class Pronunciation(list[str]):
    """The phones of a word, with the probability that it is pronounced so.

    Attributes:
        probability: among the pronunciations of the word. Plain lists of phones are all equally probable.
    """

    probability: float = 1.0


def probability(phones: Sequence[str]) -> float:
    """Return the probability of a pronunciation, 1 if it is not known."""
    return phones.probability if isinstance(phones, Pronunciation) else 1.0


def parse_phones(fields: list[str]) -> list[str]:
    """Return the pronunciation that fields of a text describe: phones, behind their probability if it is known.

    Raises:
        TokenizerError: the probability is not one above 0 and at most 1, or a second number follows.
    """
    if not fields or not _NUMBER.fullmatch(fields[0]):
        return fields
    phones = Pronunciation(fields[1:])
    phones.probability = float(fields[0])
    if not 0 < phones.probability <= 1:
        raise TokenizerError(
            f"the probability of a pronunciation is {fields[0][:60]}, but must be above 0 and at most 1"
        )
    if phones and _NUMBER.fullmatch(phones[0]):
        raise TokenizerError(
            f"a pronunciation has one number, its probability, but here {phones[0][:60]} follows {fields[0][:60]}"
        )
    return phones


def to_text(phones: Sequence[str]) -> str:
    """Return a pronunciation as `parse_phones` reads it, split at spaces."""
    known = isinstance(phones, Pronunciation)
    return " ".join([f"{max(probability(phones), 1e-4):.4f}", *phones] if known else phones)


class Lexicon:
    """Words and their pronunciations, looked up in both directions.

    Of the words that are pronounced alike, phones mean the one whose best pronunciation it is, and of these
    the first.

    Args:
        entries: for each word its pronunciations, best first, each a list of phones.

    Raises:
        TokenizerError: a word has no pronunciation, or one without phones.
    """

    def __init__(self, entries: Pronunciations) -> None:
        if not isinstance(entries, dict) or not all(
            isinstance(word, str) and isinstance(variants, list) and all(map(_is_pronunciation, variants))
            for word, variants in entries.items()
        ):
            raise TokenizerError("lexicon: must map each word to a list of pronunciations, lists of phones")
        silent = [word for word, variants in entries.items() if not variants or not all(variants)]
        if silent:
            raise TokenizerError(f"lexicon: {silent[0]!r} has no phones")
        self.entries = entries
        self._words: dict[tuple[str, ...], str] = {}
        for rank in range(max(map(len, entries.values()), default=0)):
            for word, variants in entries.items():
                if rank < len(variants):
                    self._words.setdefault(tuple(variants[rank]), word)
        self._longest = max(map(len, self._words), default=0)

    def phones(self) -> set[str]:
        """Return every phone that occurs."""
        return {phone for variant in self._words for phone in variant}

    def words(self, phones: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return the fewest words that are pronounced so, each as `(word, first index, index past its last)`.

        Returns:
            An empty list when no sequence of words is.
        """
        best: list[list[int]] = [[0]]  # for each number of phones: where the words begin, and the end
        for end in range(1, len(phones) + 1):
            starts = range(max(0, end - self._longest), end)
            ways = [
                best[start] for start in starts if best[start] and tuple(phones[start:end]) in self._words
            ]
            best.append([*min(ways, key=len), end] if ways else [])
        return [(self._words[tuple(phones[start:end])], start, end) for start, end in pairwise(best[-1])]


def _is_pronunciation(phones: object) -> bool:
    return isinstance(phones, list) and all(isinstance(phone, str) for phone in phones)


def read_lexicon(path: str | Path, fold: Callable[[str], str] = str) -> Pronunciations:
    """Read a lexicon: each line a word and its phones; `WORD(2)` is another pronunciation of `WORD`.

    Before the phones may stand the probability that the word is pronounced so, as in `either 0.7 IY DH ER`.

    Args:
        path: the file; blank lines and those that begin with `#` or `;;;` are skipped.
        fold: what to do with each word, such as to fold its case; one of which nothing is left is skipped.

    Raises:
        TokenizerError: the file cannot be read, has no words, or a line has no phones or a wrong probability.
    """
    entries: Pronunciations = {}
    try:
        for number, line in read_lines(path):
            if not line or line.startswith((";;;", "#")):
                continue
            word, *fields = line.split(maxsplit=MOST_PHONES + 2)
            try:
                phones = parse_phones(fields)
            except TokenizerError as error:
                raise TokenizerError(f"{path}:{number}: {word[:60]!r}: {error}") from None
            if not 0 < len(phones) <= MOST_PHONES:
                what = f"more than {MOST_PHONES} phones" if phones else "no phones"
                raise TokenizerError(
                    f"{path}:{number}: {word[:60]!r} has {what}; each line is a word and its phones"
                )
            if not (word := fold(re.sub(r"(?<=.)\(\d+\)$", "", word))):
                continue
            variants = entries.setdefault(word, [])
            if phones not in variants:
                variants.append(phones)
    except TokenizerError:
        raise
    except SpeechlstmError as error:
        raise TokenizerError(str(error)) from None
    if not entries:
        raise TokenizerError(f"{path}: no words; each line of a lexicon is a word and its phones")
    return entries

"""What the texts of a manifest are written with, and which settings would make it easier to learn."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

from speechlstm.data.report import Problem
from speechlstm.types import counted

RARE = 10  # occurrences below which a character cannot be learned
_ENOUGH = 2000  # characters from which on rarity says something
WITHIN_WORDS = "'’-"  # marks that stay between two letters, and are nothing by themselves
_DOTLESS = {"tr": "ğş", "az": "ə"}  # letters by which languages with a dotless i are known


def advice(characters: Counter[str]) -> Iterator[Problem]:
    """Yield what is odd about the characters of all texts together, with the setting that mends it."""
    marks = {each: count for each, count in characters.items() if _is_mark(each)}
    letters = {each: count for each, count in characters.items() if each not in marks and not each.isspace()}
    if marks:
        message = f"{counted(len(marks), 'punctuation mark')} ({_listed(marks)}) that nobody says"
        yield _warning("punctuation", f"{message}; text.punctuation=strip leaves them out", marks)
    folded = Counter[str]()
    for letter, count in letters.items():
        folded[letter.lower() if len(letter.lower()) == 1 else letter] += count
    rare = {each: count for each, count in folded.items() if count < RARE}
    if rare and folded.total() >= _ENOUGH:
        kept = "".join(sorted(each for each in folded if each not in rare))
        message = (
            f"{counted(len(rare), 'character')} below {RARE} occurrences ({_listed(rare)}), too few to learn"
        )
        setting = f"tokenizer.alphabet={kept!r} leaves them out"
        yield _warning("rare characters", f"{message}; rewrite them in the texts, or {setting}", rare)
    language = next((name for name, marks in _DOTLESS.items() if any(each in folded for each in marks)), None)
    capitals = {each: characters[each] for each in "Iİ" if characters[each]}
    if capitals and (language or "İ" in capitals):
        message = f"capital i of two kinds ({_listed(capitals)})"
        setting = f"text.language={language or 'tr'} makes them ı and i"
        yield _warning("case of i", f"{message}; {setting}", capitals)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS" and character not in WITHIN_WORDS


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    more = f" and {len(ordered) - 8} more" if len(ordered) > 8 else ""
    return ", ".join(f"{each!r} {count:,}" for each, count in ordered[:8]) + more


def _warning(kind: str, message: str, counts: dict[str, int]) -> Problem:
    return Problem(kind, "warning", message, numbers={"counts": counts})

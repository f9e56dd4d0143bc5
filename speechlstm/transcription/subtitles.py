"""Words as the cues of subtitles: within limits of time and width, also in scripts without spaces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Word

# Subtitles keep Netflix's limits: seven seconds, two lines of 42 characters.
MAX_PAUSE = 0.8  # seconds of silence that begin a new cue
MAX_CUE = 7.0  # seconds a cue may last
MAX_LINE = 42  # columns of a line; a wide character takes two
MAX_LINES = 2  # lines of a cue
_SPACELESS = (
    ("\u0e00", "\u0eff"),
    ("\u0f00", "\u109f"),
    ("\u1780", "\u17ff"),
)  # Thai, Lao, Tibetan, Burmese, Khmer


def cues(words: Sequence[Word], mark: str = "") -> Iterator[tuple[int, int, str]]:
    """Yield `(start, end, text)` of subtitles, in milliseconds, split at pauses and when too long.

    Args:
        words: in order.
        mark: what each cue begins with.
    """
    first = [mark] if mark else []
    units = [unit for word, start, end in timed(words) for unit in _units(word.text, start, end)]
    lines: list[str] = []
    begin = last = 0
    for text, start, end, follows in units:
        longer = _appended(lines or first, text, "" if follows and lines else " ")
        pause = start - last > MAX_PAUSE * 1000
        if lines and (pause or end - begin > MAX_CUE * 1000 or len(longer) > MAX_LINES):
            last = max(last, begin + 1)
            yield begin, last, "\n".join(lines)
            lines, longer = [], _appended(first, text, " ")
        begin = begin if lines else max(start, last)
        lines = longer
        last = max(min(end, begin + round(MAX_CUE * 1000)), begin)  # of a word that is too long by itself
    if lines:
        yield begin, max(last, begin + 1), "\n".join(lines)


def _units(text: str, start: int, end: int) -> Iterator[tuple[str, int, int, bool]]:
    """Yield what a line may be broken between: a word, or characters of a script that has no spaces.

    Yields:
        the unit, its share of the time, and whether it follows the one before without a space.
    """
    parts: list[str] = []
    for char in flat(text):
        if parts and not _breaks(parts[-1][-1], char):
            parts[-1] += char
        else:
            parts.append(char)
    total, before = max(_columns(flat(text)), 1), 0
    for number, part in enumerate(parts):
        after = before + _columns(part)
        times = (start + (end - start) * before // total, start + (end - start) * after // total)
        yield part, times[0], times[1] if number + 1 < len(parts) else end, number > 0
        before = after


def _breaks(before: str, after: str) -> bool:
    """Return whether a line may be broken between two characters without a space."""
    if unicodedata.category(after)[0] == "M" or unicodedata.category(after) in ("Pe", "Pf", "Po"):
        return False  # belongs to the letter before, or closes what stands before
    return unicodedata.category(before) not in ("Ps", "Pi", "Cf") and (
        _spaceless(before) or _spaceless(after)
    )


def _spaceless(char: str) -> bool:
    """Return whether a character is of a script that does not separate words: Chinese, Japanese, Thai, ..."""
    return _columns(char) == 2 or any(first <= char <= last for first, last in _SPACELESS)


def _columns(text: str) -> int:
    """Return the columns that a text takes: wide characters two, marks above or below a letter none."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.category(char) in ("Mn", "Me") for char in text)


def _appended(lines: list[str], text: str, gap: str) -> list[str]:
    """Return lines with a text after them, on the last line if there is room."""
    if lines and _columns(f"{lines[-1]}{gap}{text}") <= MAX_LINE:
        return [*lines[:-1], f"{lines[-1]}{gap}{text}"]
    return [*lines, text]


def timed(words: Sequence[Word]) -> Iterator[tuple[Word, int, int]]:
    """Yield words with start and end in milliseconds; as the formats demand, none overlap or are empty."""
    cursor = 0
    for word in words:
        start = max(round(word.start * 1000), cursor)
        cursor = max(round(word.end * 1000), start + 1)
        yield word, start, cursor


def flat(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())  # a line break in a word would end the cue, the line or the label

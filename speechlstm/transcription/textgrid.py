"""Praat's TextGrid: tiers of words whose intervals tile the audio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from speechlstm.transcription.subtitles import flat, timed

if TYPE_CHECKING:
    from speechlstm.transcription.transcript import Word


def textgrid(duration: float, tiers: Mapping[str, Sequence[Word]]) -> str:
    """Return a Praat TextGrid whose intervals tile the audio in each tier; quotes are doubled.

    Args:
        duration: seconds of audio.
        tiers: names, and the words of each in order.
    """
    total = max(round(duration * 1000), 1, *map(len, tiers.values()))
    placed = {name: _within(list(timed(words)), total) for name, words in tiers.items()}
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {total / 1000:.3f}",
        "tiers? <exists>",
        f"size = {len(placed)}",
        "item []:",
    ]
    for tier, (name, words) in enumerate(placed.items(), 1):
        intervals = list(_tiled(words, total))
        lines += [
            f"    item [{tier}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {total / 1000:.3f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for number, (start, end, text) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{number}]:",
                f"            xmin = {start / 1000:.3f}",
                f"            xmax = {end / 1000:.3f}",
                '            text = "{}"'.format(text.replace('"', '""')),
            ]
    return "\n".join(lines) + "\n"


def _within(placed: list[tuple[Word, int, int]], limit: int) -> list[tuple[Word, int, int]]:
    """Move words that end after a limit before it, a millisecond each at least."""
    moved = []
    for word, start, end in reversed(placed):
        end = min(end, limit)
        limit = min(start, end - 1)
        moved.append((word, limit, end))
    return moved[::-1]


def _tiled(placed: Sequence[tuple[Word, int, int]], total: int) -> Iterator[tuple[int, int, str]]:
    """Yield intervals from 0 to `total` milliseconds: the words, and empty texts between them."""
    cursor = 0
    for word, start, end in placed:
        if start > cursor:
            yield cursor, start, ""
        yield start, end, flat(word.text)
        cursor = end
    if cursor < total:
        yield cursor, total, ""

"""Where a long text and what was heard agree, and where both can therefore be cut."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from speechlstm.transcription.boundaries import Span

_LENGTHS = (5, 4, 3, 2, 1)  # words of a run that must occur once on both sides, longest first
_NEAR = 60  # words between two matches, on either side, up to which single words and pairs are looked at

Match = tuple[int, int]  # index in the text and index in what was heard


def match(text: Sequence[str], heard: Sequence[str]) -> list[Match]:
    """Pair words of a text with those that were heard, in order.

    Runs of words that occur once in both are the first anchors; between two anchors shorter runs are enough.

    Returns:
        the pairs, both indices rising.
    """
    found: list[Match] = []
    ranges = [(0, len(text), 0, len(heard), 0)]
    while ranges:
        first, last, begin, end, level = ranges.pop()
        if first >= last or begin >= end or level == len(_LENGTHS):
            continue
        length = _LENGTHS[level]
        if length <= 2 and max(last - first, end - begin) > _NEAR:
            continue
        pairs = _extended(
            _anchors(text[first:last], heard[begin:end], length), text[first:last], heard[begin:end]
        )
        pairs = [(first + left, begin + right) for left, right in pairs]
        found += pairs
        edges = [(first - 1, begin - 1), *pairs, (last, end)]
        ranges += [
            (left + 1, right, start + 1, stop, level + 1) for (left, start), (right, stop) in pairwise(edges)
        ]
    return sorted(found)


def _anchors(text: Sequence[str], heard: Sequence[str], length: int) -> list[Match]:
    """Return where runs of so many words lie that occur once in both, the most of them that are in order."""
    here, there = _once(text, length), _once(heard, length)
    pairs = [(place, there[run]) for run, place in here.items() if run in there]
    return _in_order(sorted(pairs))


def _once(words: Sequence[str], length: int) -> dict[tuple[str, ...], int]:
    """Return the place of each run of words that occurs once."""
    places: dict[tuple[str, ...], int] = {}
    for place in range(len(words) - length + 1):
        run = tuple(words[place : place + length])
        places[run] = -1 if run in places else place
    return {run: place for run, place in places.items() if place >= 0}


def _in_order(pairs: list[Match]) -> list[Match]:
    """Return the longest part of pairs, rising in the first number, that rises in the second one too."""
    ends: list[int] = []  # least last number of a part of each length
    lengths = []
    for _, number in pairs:
        lengths.append(bisect_left(ends, number))
        ends[lengths[-1] : lengths[-1] + 1] = [number]
    chosen, wanted = list[Match](), len(ends) - 1
    for pair, length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted and (not chosen or pair[1] < chosen[-1][1]):
            chosen.append(pair)
            wanted -= 1
    return chosen[::-1]


def _extended(anchors: list[Match], text: Sequence[str], heard: Sequence[str]) -> list[Match]:
    """Add the words around each anchor that agree, up to the next one."""
    pairs: list[Match] = [(-1, -1)]
    for anchor, following in pairwise([*anchors, (len(text), len(heard))]):
        before = pairs[-1]
        if not (anchor[0] > before[0] and anchor[1] > before[1]):
            continue
        pairs += reversed(_agreeing(text, heard, anchor, before, -1))
        pairs += [anchor, *_agreeing(text, heard, anchor, following, 1)]
    return pairs[1:]


def _agreeing(text: Sequence[str], heard: Sequence[str], of: Match, until: Match, step: int) -> list[Match]:
    """Return the pairs next to one, in one direction and before another, whose words are the same."""
    pairs: list[Match] = []
    left, right = of[0] + step, of[1] + step
    while step * (until[0] - left) > 0 and step * (until[1] - right) > 0 and text[left] == heard[right]:
        pairs.append((left, right))
        left, right = left + step, right + step
    return pairs


def cuts(matches: Sequence[Match], heard: Sequence[Span], every: float) -> list[tuple[int, float]]:
    """Return where a text and its recording can be cut: in the middle of four words in a row that were heard.

    Args:
        matches: words of the text that were heard, as `match` pairs them.
        heard: start and end of the words that were heard, in seconds.
        every: least seconds between two cuts.

    Returns:
        for each cut the index of the word of the text that follows it, and its second.
    """
    made: list[tuple[int, float]] = []
    for index in range(2, len(matches) - 1):
        run = matches[index - 2 : index + 2]
        if run[3][0] - run[0][0] != 3 or run[3][1] - run[0][1] != 3:
            continue
        word, place = run[2]
        second = (heard[place - 1][1] + heard[place][0]) / 2
        if second - (made[-1][1] if made else 0.0) >= every:
            made.append((word, second))
    return made

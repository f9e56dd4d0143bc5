"""Lines of ARPA files, parsed by compiled code: what makes files of millions of n-grams quick to read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechlstm.decoders.compiled import compiled

Bytes = npt.NDArray[np.uint8]

_MOST_DIGITS = 10**17  # of a number, as an integer: further ones would not fit and do not matter
_POWERS = 10.0 ** np.arange(23)  # that a float has exactly
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # of the hash FNV-1a
_SPACE, _TAB, _NEWLINE, _RETURN = b" \t\n\r"
_MINUS, _PLUS, _POINT, _ZERO, _NINE = b"-+.09"
_E = tuple(b"eE")


class Vocabulary(NamedTuple):
    """Words that compiled code can look up: a hash table with open addressing.

    Attributes:
        text: the bytes of all words, one after the other.
        ends: for each id where its word ends in `text`.
        slots: a power of two of them, at least twice as many as words: ids, -1 where there is none.
    """

    text: Bytes
    ends: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int32]


def make_vocabulary(words: Iterable[bytes]) -> Vocabulary:
    """Number different words in their order."""
    words = list(words)
    text = np.frombuffer(b"".join(words), np.uint8)
    slots = np.full(1 << (2 * len(words)).bit_length(), -1, np.int32)
    vocabulary = Vocabulary(text, np.cumsum([len(word) for word in words]), slots)
    _fill(vocabulary)
    return vocabulary


@compiled
def parse(
    data: Bytes,
    at: int,
    row: int,
    most: float,
    largest: float,
    vocabulary: Vocabulary,
    ids: npt.NDArray[np.int32],
    logs: npt.NDArray[np.float64],
) -> tuple[int, int]:
    """Parse lines up to one that is not a log probability, words of the vocabulary and perhaps a back-off.

    Args:
        data: whole lines.
        at: where in `data` to begin.
        row: where in `ids` and `logs` to begin.
        most: how large a log probability can be.
        largest: and a back-off.
        vocabulary: the words there are.
        ids: `(n, rows)`; gets the ids of the words of each n-gram.
        logs: `(2, rows)`; gets the log probability and the back-off, 0 if there is none.

    Returns:
        The number of rows that are done and where the line after them begins.
    """
    n = len(ids)
    while at < len(data):
        start = at
        logs[1, row] = 0.0
        logs[0, row], at = _number(data, _skip(data, at))
        for k in range(n):
            begin = _skip(data, at)
            at = begin
            while at < len(data) and not _is_space(data[at]):
                at += 1
            ids[k, row] = _find(vocabulary, data, begin, at) if at > begin else -1
            if ids[k, row] < 0:
                return row, start
        at = _skip(data, at)
        if not _at_end(data, at):
            logs[1, row], at = _number(data, at)
            at = _skip(data, at)
        if not (-np.inf < logs[0, row] <= most and -np.inf < logs[1, row] <= largest and _at_end(data, at)):
            return row, start
        at += 1
        row += 1
    return row, at


@compiled
def _is_space(byte: int) -> bool:
    return byte in (_SPACE, _TAB, _NEWLINE, _RETURN)


@compiled
def _at_end(data: Bytes, at: int) -> bool:
    return at >= len(data) or data[at] == _NEWLINE


@compiled
def _skip(data: Bytes, at: int) -> int:
    """Return the next place that is not white space within the line."""
    while at < len(data) and data[at] != _NEWLINE and _is_space(data[at]):
        at += 1
    return at


@compiled
def _number(data: Bytes, at: int) -> tuple[float, int]:
    """Return the decimal number here and where it ends; NaN if there is none, or something follows it at once."""
    negative = at < len(data) and data[at] == _MINUS
    if negative:
        at += 1
    digits, power, count, point = 0, 0, 0, False
    while at < len(data):
        byte = data[at]
        if byte == _POINT and not point:
            point = True
        elif _ZERO <= byte <= _NINE:
            count += 1
            if digits < _MOST_DIGITS:
                digits = digits * 10 + (byte - _ZERO)
                if point:
                    power -= 1
            elif not point:
                power += 1
        else:
            break
        at += 1
    if count and at < len(data) and (data[at] == _E[0] or data[at] == _E[1]):
        at += 1
        sign = 1
        if at < len(data) and (data[at] == _MINUS or data[at] == _PLUS):
            sign = -1 if data[at] == _MINUS else 1
            at += 1
        count, exponent = 0, 0
        while at < len(data) and _ZERO <= data[at] <= _NINE and count < 4:
            exponent = exponent * 10 + (data[at] - _ZERO)
            count += 1
            at += 1
        power += sign * exponent
    if not count or (at < len(data) and not _is_space(data[at])):
        return np.nan, at
    value = float(digits)
    while power:
        step = min(max(power, -22), 22)
        value = value * _POWERS[step] if step > 0 else value / _POWERS[-step]
        power -= step
    return -value if negative else value, at


@compiled
def _hash(data: Bytes, begin: int, end: int) -> Any:
    value = _OFFSET
    for at in range(begin, end):
        value = (value ^ np.uint64(data[at])) * _PRIME
    return value ^ (value >> np.uint64(32))


@compiled
def _find(vocabulary: Vocabulary, data: Bytes, begin: int, end: int) -> int:
    """Return the id of a word, -1 if it has none."""
    mask = np.uint64(len(vocabulary.slots) - 1)
    slot = _hash(data, begin, end) & mask
    while vocabulary.slots[slot] >= 0:
        word = vocabulary.slots[slot]
        first = vocabulary.ends[word - 1] if word else 0
        if vocabulary.ends[word] - first == end - begin:
            same = True
            for offset in range(end - begin):
                if vocabulary.text[first + offset] != data[begin + offset]:
                    same = False
                    break
            if same:
                return int(word)
        slot = (slot + np.uint64(1)) & mask
    return -1


@compiled
def _fill(vocabulary: Vocabulary) -> None:
    mask = np.uint64(len(vocabulary.slots) - 1)
    begin = 0
    for word, end in enumerate(vocabulary.ends):
        slot = _hash(vocabulary.text, begin, end) & mask
        while vocabulary.slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        vocabulary.slots[slot] = word
        begin = end

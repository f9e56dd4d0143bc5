"""Alignment of letters with phones: expectation maximization over the ways to segment a word.

A word and its phones are one sequence of graphones (Bisani and Ney 2008, "Joint-sequence models for
grapheme-to-phoneme conversion"), each one or two letters with none to two phones. The probability of each graphone
is estimated from all ways to cut the words of a lexicon so; the best way of each word is what the n-gram of
`model.py` is counted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from speechlstm.data import progress
from speechlstm.decoders.compiled import compiled

PIECES = ((1, 0), (1, 1), (1, 2), (2, 1))  # letters and phones of a graphone
_ROUNDS = 8  # of expectation maximization: the likelihood of cmudict has settled by then

Ints = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]


class Units(NamedTuple):
    """Words as numbers, one after the other."""

    # `(positions, sizes)` the number of the unit of 0, 1, 2, ... symbols that begins at each position; -1
    # where the word ends before
    units: Ints
    ends: Ints  # `(words + 1,)` where each word begins, and the end


@dataclass(frozen=True, slots=True)
class Graphone:
    """Letters and the phones that they are pronounced as; possibly none."""

    letters: str
    phones: tuple[str, ...]


def align(entries: Sequence[tuple[str, Sequence[str]]]) -> list[list[Graphone]]:
    """Cut each word and its phones into graphones.

    Args:
        entries: words with a pronunciation of each; a word with several is there several times.

    Returns:
        The most probable graphones of each entry; an empty list where there are more than two phones a letter.
    """
    letters, letter_units = _number([tuple(word) for word, _ in entries])
    phones, phone_units = _number([tuple(phones) for _, phones in entries])
    table = np.full((len(letter_units), len(phone_units)), 1.0 / len(letter_units))
    for _ in progress.track(range(_ROUNDS), "aligning letters and phones", unit="round"):
        counts = np.zeros_like(table)
        _expect(letters, phones, table, counts)
        table = counts / max(counts.sum(), 1.0)
    cuts, ends = _best(letters, phones, table)
    return [
        [
            Graphone("".join(letter_units[row]), phone_units[column])
            for row, column in cuts[start:end].tolist()
        ]
        for start, end in pairwise(ends.tolist())
    ]


def _number(sequences: Iterable[tuple[str, ...]]) -> tuple[Units, list[tuple[str, ...]]]:
    """Number all units of up to two symbols of some sequences; unit 0 is the one without symbols."""
    numbers: dict[tuple[str, ...], int] = {(): 0}
    rows, ends = [], [0]
    for sequence in sequences:
        for start in range(len(sequence) + 1):
            rows.append(
                [
                    numbers.setdefault(sequence[start : start + size], len(numbers))
                    if start + size <= len(sequence)
                    else -1
                    for size in range(3)
                ]
            )
        ends.append(len(rows))
    return Units(np.array(rows, np.int32).reshape(-1, 3), np.array(ends, np.int32)), list(numbers)


@compiled
def _expect(letters: Units, phones: Units, table: Doubles, counts: Doubles) -> None:
    """Add to `counts` how often each graphone is expected in all words, by the forward-backward algorithm."""
    for word in range(len(letters.ends) - 1):
        row, column = letters.ends[word], phones.ends[word]
        height, width = letters.ends[word + 1] - row, phones.ends[word + 1] - column  # symbols and one more
        after = np.zeros((height, width))  # probability of what follows
        after[height - 1, width - 1] = 1.0
        for i in range(height - 1, -1, -1):
            for j in range(width - 1, -1, -1):
                for di, dj in PIECES:
                    if i + di < height and j + dj < width:
                        graphone = table[letters.units[row + i, di], phones.units[column + j, dj]]
                        after[i, j] += graphone * after[i + di, j + dj]
        if after[0, 0] <= 0.0:
            continue
        before = np.zeros((height, width))
        before[0, 0] = 1.0 / after[0, 0]
        for i in range(height):
            for j in range(width):
                if before[i, j] == 0.0:
                    continue
                for di, dj in PIECES:
                    if i + di < height and j + dj < width:
                        first, second = letters.units[row + i, di], phones.units[column + j, dj]
                        step = before[i, j] * table[first, second]
                        before[i + di, j + dj] += step
                        counts[first, second] += step * after[i + di, j + dj]


@compiled
def _best(letters: Units, phones: Units, table: Doubles) -> Any:
    """Return the graphones of the best cut of each word, as pairs of units, and where each word's begin."""
    cuts = np.empty((len(letters.units), 2), np.int32)
    ends = np.zeros(len(letters.ends), np.int64)
    filled = 0
    for word in range(len(letters.ends) - 1):
        row, column = letters.ends[word], phones.ends[word]
        height, width = letters.ends[word + 1] - row, phones.ends[word + 1] - column
        after = np.zeros((height, width))
        choice = np.full((height, width), -1)
        after[height - 1, width - 1] = 1.0
        for i in range(height - 1, -1, -1):
            for j in range(width - 1, -1, -1):
                for index, (di, dj) in enumerate(PIECES):
                    if i + di < height and j + dj < width:
                        graphone = table[letters.units[row + i, di], phones.units[column + j, dj]]
                        if graphone * after[i + di, j + dj] > after[i, j]:
                            after[i, j] = graphone * after[i + di, j + dj]
                            choice[i, j] = index
        i, j = 0, 0
        while choice[i, j] >= 0:
            di, dj = PIECES[choice[i, j]]
            cuts[filled, 0], cuts[filled, 1] = letters.units[row + i, di], phones.units[column + j, dj]
            filled += 1
            i, j = i + di, j + dj
        ends[word + 1] = filled
    return cuts[:filled], ends

"""Word, character and sentence error rates with their uncertainty.

What is decided about empty references: an empty reference with an empty hypothesis has no errors and is a
right sentence; with a hypothesis, each of its words is an insertion. An error rate over no reference words is
0 without errors and infinite with them. Texts are compared as they are, split at white space; for characters,
words are joined by single spaces, and spaces count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

_RESAMPLES = 2000  # of the bootstrap


@dataclass(frozen=True, slots=True)
class Counts:
    """How many units of a reference were recognized, mistaken for another, missed, and how many were added."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Units of the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per unit of the reference; over an empty reference 0 without errors, infinite with them."""
        return _rate(self.errors, self.length)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclass(frozen=True, slots=True)
class Score:
    """The errors of a recognizer on a set of utterances."""

    utterances: list[Counts]  # word errors of each utterance, in the order given
    words: Counts  # word errors of all
    characters: Counts  # character errors of all
    wrong_sentences: int  # how many utterances have at least one word error
    # `(reference, hypothesis, count)`, most frequent first; an empty reference is an insertion, an empty
    # hypothesis a deletion
    confusions: list[tuple[str, str, int]]

    @property
    def wer(self) -> float:
        """Word errors per reference word."""
        return self.words.rate

    @property
    def cer(self) -> float:
        """Character errors per reference character."""
        return self.characters.rate

    @property
    def ser(self) -> float:
        """Share of utterances with an error; 0 for none at all."""
        return _rate(self.wrong_sentences, len(self.utterances))

    def interval(self) -> tuple[float, float]:
        """Return the 95 % bootstrap percentile interval of the word error rate.

        Whole utterances are drawn with replacement, since errors within one depend on each other (Bisani and
        Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004).
        """
        table = np.array([(c.errors, c.length) for c in self.utterances], dtype=np.int64).reshape(-1, 2)
        if not table[:, 1].any():
            return self.wer, self.wer
        generator = np.random.default_rng(0)
        size = len(table)
        block = max(1, 5_000_000 // size)  # resamples drawn at once: bounds the memory for large sets
        counts = [min(block, _RESAMPLES - done) for done in range(0, _RESAMPLES, block)]
        sums = np.concatenate(
            [table[generator.integers(0, size, (count, size))].sum(axis=1) for count in counts]
        )
        sums = sums[sums[:, 1] > 0]  # a draw without any reference word has no rate
        low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
        return float(low), float(high)

    def worst(self, count: int) -> list[int]:
        """Return indices of the utterances with most word errors, worst first, only those with any."""
        wrong = [index for index, counts in enumerate(self.utterances) if counts.errors]
        return sorted(wrong, key=lambda i: (-self.utterances[i].errors, -self.utterances[i].rate, i))[:count]


def errors(reference: str, hypothesis: str) -> Counts:
    """Count word errors along a shortest alignment."""
    return _count(reference.split(), hypothesis.split(), Counter())


def character_errors(reference: str, hypothesis: str) -> Counts:
    """Count character errors along a shortest alignment, words joined by single spaces."""
    return _count(" ".join(reference.split()), " ".join(hypothesis.split()), Counter())


def corpus(pairs: Iterable[tuple[str, str]]) -> Score:
    """Score `(reference, hypothesis)` texts together: errors of all over reference words of all."""
    utterances = []
    characters = Counts()
    confusions: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in pairs:
        utterances.append(_count(reference.split(), hypothesis.split(), confusions))
        characters += character_errors(reference, hypothesis)
    words = sum(utterances, Counts())
    wrong = sum(counts.errors > 0 for counts in utterances)
    ranked = sorted(confusions.items(), key=lambda item: (-item[1], item[0]))
    return Score(utterances, words, characters, wrong, [(*pair, count) for pair, count in ranked])


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927), which is right for few cases, too: 5 of 5 is 57 to 100 %.

    Of nothing at all it is 0 to 1.
    """
    from scipy.stats import binomtest  # takes a second to import

    if not whole:
        return 0.0, 1.0
    interval = binomtest(part, whole).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _count(left: Sequence[str], right: Sequence[str], confusions: Counter[tuple[str, str]]) -> Counts:
    substitutions = deletions = insertions = 0
    for step in Levenshtein.editops(left, right):
        if step.tag == "replace":
            substitutions += 1
            confusions[left[step.src_pos], right[step.dest_pos]] += 1
        elif step.tag == "delete":
            deletions += 1
            confusions[left[step.src_pos], ""] += 1
        else:
            insertions += 1
            confusions["", right[step.dest_pos]] += 1
    return Counts(len(left) - substitutions - deletions, substitutions, deletions, insertions)


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else math.inf if part else 0.0

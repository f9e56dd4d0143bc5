"""The best path of a known text through the log-probabilities: that of CTC, or one that forgives a text its mistakes.

The states of a path are those of CTC: one for each token, and a blank before, between, and after them. A path through
words may also leave a word out, at a price for each of its tokens, and may pass speech that is not in the text where a
word begins or the text ends, at a price for each frame. Of several words in a row that are left out, those after the
first have a lower price, so that none of a long passage that was not spoken is placed on some noise. Any speech fits a
word that cannot be spelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.transcription.align.viterbi import NEVER, Floats, Ints, Skips, viterbi
from speechlstm.types import Hypothesis, SpeechlstmError, counted

MISSING = 3.0  # natural log that a token without speech costs
MISSING_WORD = 5.0  # natural log that a word without speech costs besides
MISSING_MORE = 2.0  # natural log that a token costs if the word before is without speech, too
MISSING_MORE_WORD = 3.0  # natural log that such a word costs besides
EXTRA = 0.7  # natural log that a frame of speech costs which is not in the text
GUESS = 0.25  # natural log that a frame of a word costs which cannot be spelled


@dataclass(frozen=True, slots=True)
class Path:
    """The best path of a text.

    Attributes:
        starts, ends: `(tokens,)` the first frame of each token and the one after its last; equal if it has none.
        log_probs: `(frames,)` natural log of the probability of each frame on the path.
        confidences: `(tokens,)` mean probability of the frames of each token, in [0, 1]; 0 if it has none.
        extra: `(frames,)` where speech is passed that is not in the text.
    """

    starts: Ints
    ends: Ints
    log_probs: NDArray[np.float64]
    confidences: NDArray[np.float64]
    extra: NDArray[np.bool_]

    @property
    def score(self) -> float:
        """Natural log of the probability of the path, without the prices of words that are left out."""
        return float(self.log_probs.sum())


def joined(paths: Sequence[Path], separator: int | None) -> Path:
    """Return the path of a text that was cut between words; a separator at a cut has no frame."""
    offsets = np.cumsum([0, *(len(path.log_probs) for path in paths)])
    gap = 0 if separator is None else 1

    def tokens(arrays: Sequence[NDArray[Any]], fill: NDArray[Any]) -> NDArray[Any]:
        parts = [
            np.append(array, np.full(gap, value, array.dtype))
            for array, value in zip(arrays, fill, strict=True)
        ]
        whole: NDArray[Any] = np.concatenate(parts)
        return whole[: len(whole) - gap]

    return Path(
        tokens([path.starts + offset for path, offset in zip(paths, offsets, strict=False)], offsets[1:]),
        tokens([path.ends + offset for path, offset in zip(paths, offsets, strict=False)], offsets[1:]),
        np.concatenate([path.log_probs for path in paths]),
        tokens([path.confidences for path in paths], np.zeros(len(paths))),
        np.concatenate([path.extra for path in paths]),
    )


def forced_alignment(log_probs: Floats, tokens: Sequence[int]) -> tuple[Hypothesis, NDArray[np.float64]]:
    """Find the most likely CTC path that spells the tokens (Graves et al. 2006, by Viterbi instead of summing).

    Args:
        log_probs: `(frames, vocab)` natural logs; column 0 is the blank.
        tokens: ids without blanks.

    Returns:
        the tokens with their frames and the path's log-probability as score; and the log-probability of each frame on
        the path, `(frames,)`.

    Raises:
        SpeechlstmError: a token is not in the vocabulary, or no path spells the tokens.
    """
    frames, vocab = log_probs.shape
    ids = np.asarray(tokens, np.int64)
    if wrong := [token for token in tokens if not 0 < token < vocab]:
        raise SpeechlstmError(
            f"token {wrong[0]} cannot be aligned: ids go from 1 to {vocab - 1}, 0 is the blank"
        )
    needed = max(len(ids) + int((ids[1:] == ids[:-1]).sum()), 1)  # a repeated one needs a blank before it
    if frames < needed:
        raise SpeechlstmError(
            f"{counted(frames, 'frame')} cannot hold {counted(len(ids), 'token')}, "
            f"which need {needed}; does the text belong to this audio?"
        )
    columns = np.zeros(2 * len(ids) + 1, np.int64)
    columns[1::2] = ids
    path = _path(np.asarray(log_probs, np.float32), columns, Skips.none(len(columns)))
    spans = path.starts.tolist(), path.ends.tolist()
    return Hypothesis(ids.tolist(), *spans, path.score, path.confidences.tolist()), path.log_probs


def word_alignment(
    log_probs: Floats,
    words: Sequence[Sequence[int]],
    separator: int | None,
    longest: Sequence[float] | None = None,
) -> Path:
    """Find the best path of words that may lack speech, with speech between them that is not in the text.

    Args:
        log_probs: `(frames, vocab)` natural logs; column 0 is the blank.
        words: the ids of each; none for a word that cannot be spelled, for which any speech is taken.
        separator: the id between two words, if there is one.
        longest: for each word that cannot be spelled the most frames that it may have; more are speech that is not in
            the text, and it has none. None sets no limit.

    Returns:
        the path; its tokens are those of the words, with the separators between them, and one for a word without ids.

    Raises:
        SpeechlstmError: the log-probabilities are infinite or NaN.
    """
    vocab = log_probs.shape[1]
    blank, best = log_probs[:, 0], log_probs[:, 1:].max(axis=1)
    any_speech = np.maximum(best, blank) - np.float32(GUESS)
    other_speech = np.maximum(blank, best - np.float32(EXTRA))
    columns, skips = _word_states(words, separator, vocab)
    emissions = np.column_stack((log_probs, any_speech, other_speech)).astype(np.float32, copy=False)
    guesses = np.flatnonzero(columns == vocab)
    tokens, passed = guesses // 2, np.zeros(len(guesses), np.bool_)
    limits = np.inf if longest is None else np.asarray(longest)
    while True:
        path = _path(emissions, columns, skips, vocab + 1)
        too_long = ~passed & (path.ends[tokens] - path.starts[tokens] > limits)
        if not too_long.any():
            break
        passed |= too_long
        columns[guesses[passed]] = vocab + 1
    path.ends[tokens[passed]] = path.starts[tokens[passed]]
    return path


def _word_states(words: Sequence[Sequence[int]], separator: int | None, vocab: int) -> tuple[Ints, Skips]:
    """Return each state's column, and how words can be left out."""
    columns, skips = [vocab + 1], [(NEVER, 0.0, False, 0.0)]

    def add(column: int, *skip: Any) -> None:
        columns.append(column)
        skips.append(skip or (NEVER, 0.0, False, 0.0))

    begin = 0  # state before the word
    for number, word in enumerate(words):
        price = MISSING_WORD + MISSING * len(word) if word else 0.0
        more = MISSING_MORE_WORD + MISSING_MORE * len(word) if word else 0.0
        last = number == len(words) - 1
        for index, token in enumerate(word or [vocab]):
            add(token)
            if index < len(word) - 1:
                add(0)
        if separator is None or last:
            add(vocab + 1, begin, price, bool(word), more)
        else:
            add(0, begin, price, bool(word), more)
            add(separator)
            add(vocab + 1, len(columns) - 2, MISSING, False, MISSING_MORE)
        begin = len(columns) - 1
    before, prices, opening, lower = zip(*skips, strict=True)
    made = Skips(np.array(before, np.int64), np.array(prices), np.array(opening, np.bool_), np.array(lower))
    return np.array(columns, np.int64), made


def _path(emissions: Floats, columns: Ints, skips: Skips, other: int = -1) -> Path:
    """Return the best path through states; `other` is the column of speech that is not in the text."""
    states, score = viterbi(np.ascontiguousarray(emissions), columns, *skips)
    if not np.isfinite(score):
        raise SpeechlstmError(
            f"no path spells {counted(len(columns) // 2, 'token')}: the log-probabilities are infinite or NaN"
        )
    taken = columns[states]
    log_probs = emissions[np.arange(len(emissions)), taken].astype(np.float64)
    places = np.arange(1, len(columns), 2)
    starts, ends = np.searchsorted(states, places), np.searchsorted(states, places, side="right")
    sums = np.concatenate([[0.0], np.cumsum(np.exp(log_probs))])
    confidences = np.clip((sums[ends] - sums[starts]) / np.maximum(ends - starts, 1), 0.0, 1.0)
    extra = (taken == other) & (log_probs > emissions[:, 0])
    return Path(starts, ends, log_probs, confidences, extra)

"""Paths through words: the best of all by brute force, and what they forgive a text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.transcription.align import paths
from speechlstm.transcription.align.paths import Path, joined, word_alignment
from speechlstm.transcription.align.viterbi import Skips, viterbi
from speechlstm.types import SpeechlstmError

VOCAB, SEPARATOR = 5, 4


def posteriors(frames: int, seed: int, sharp: float = 6.0) -> np.ndarray:
    """Return normalized log-probabilities."""
    logits = np.random.default_rng(seed).normal(size=(frames, VOCAB)) * sharp
    return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def spell(labels: Sequence[int]) -> np.ndarray:
    """Return the log-probabilities of a clear path."""
    probs = np.full((len(labels), VOCAB), 0.001)
    probs[range(len(labels)), labels] = 1 - 0.001 * (VOCAB - 1)
    return np.log(probs).astype(np.float32)


def best_chain(columns: list[np.ndarray], kinds: list[int | None], needed: set[int]) -> float:
    """Return the score of the best path: odd states are tokens, and others must be passed only if `needed`."""
    best = np.full(len(columns), -np.inf)
    best[0] = columns[0][0]
    if len(columns) > 1 and 0 not in needed:
        best[1] = columns[1][0]
    for frame in range(1, len(columns[0])):
        before = best.copy()
        for state in range(len(columns)):
            ways = [before[state]]
            if state:
                ways.append(before[state - 1])
            if state > 1 and state % 2 and kinds[state] != kinds[state - 2] and state - 1 not in needed:
                ways.append(before[state - 2])
            best[state] = max(ways) + columns[state][frame]
    last = len(columns) - 1
    return float(best[last] if last in needed or not last else max(best[-2:]))


def missing_price(words: list[list[int]], kept: Sequence[bool]) -> float:
    """Return what leaving words out costs; one that cannot be spelled is free, and does not end a run of them."""
    price, after_another = 0.0, False
    for word, is_kept in zip(words, kept, strict=True):
        if is_kept:
            after_another = False
        elif word and after_another:
            price += paths.MISSING_MORE_WORD + paths.MISSING_MORE * len(word)
        elif word:
            price += paths.MISSING_WORD + paths.MISSING * len(word)
            after_another = True
    return price


def best_score(log_probs: np.ndarray, words: list[list[int]]) -> float:
    """Try every choice of words to leave out, each with its price and with a frame at its place."""
    blank, top = log_probs[:, 0], log_probs[:, 1:].max(axis=1)
    other, anything = np.maximum(blank, top - paths.EXTRA), np.maximum(top, blank) - paths.GUESS
    best = -np.inf
    for kept in itertools.product((True, False), repeat=len(words)):
        columns, kinds, needed = [other], list[int | None]([None]), set[int]()
        for word, is_kept in zip(words, kept, strict=True):
            if not is_kept:
                needed.add(len(columns) - 1)
                continue
            for token in word or [VOCAB]:
                columns += [log_probs[:, token] if word else anything, blank]
                kinds += [token, None]
            columns[-1] = other
        best = max(best, best_chain(columns, kinds, needed) - missing_price(words, kept))
    return best


def paid(path: Path, words: list[list[int]]) -> float:
    """Return what the path costs for the words that it leaves out."""
    sizes = [max(len(word), 1) for word in words]
    firsts = itertools.accumulate(sizes, initial=0)
    return missing_price(words, [bool(path.starts[first] < path.ends[first]) for first in list(firsts)[:-1]])


def best_with_twins(emissions: np.ndarray, columns: np.ndarray, skips: Skips) -> float:
    """Return the best score, with a twin of each state for paths that have just left out a word and stay so."""
    states = len(columns)
    best = {(state, flag): -np.inf for state in range(states) for flag in (False, True)}
    for state in range(min(2, states)):
        best[state, False] = float(emissions[0, columns[state]])
    for frame in range(len(emissions)):
        if frame:
            before = dict(best)
            for state in range(states):
                ways = [before[state, False]]
                if state:
                    ways += [before[state - 1, False], before[state - 1, True]]
                if state > 1 and state % 2 and columns[state] != columns[state - 2]:
                    ways.append(before[state - 2, False])
                best[state, False] = max(ways) + float(emissions[frame, columns[state]])
                best[state, True] = before[state, True] + float(emissions[frame, columns[state]])
        for state, source in enumerate(skips.before.tolist()):
            if source >= 0:
                flag = bool(skips.opening[state])
                full = max(best[source, False], best[source, True]) - skips.prices[state]
                best[state, flag] = max(best[state, flag], full)
                best[state, True] = max(best[state, True], best[source, True] - skips.more[state])
    return max(best[state, flag] for state in range(max(states - 2, 0), states) for flag in (False, True))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 3), max_size=2), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2.0, 6.0, 12.0]),
)
def test_the_best_path_by_brute_force(words: list[list[int]], frames: int, seed: int, sharp: float) -> None:
    log_probs = posteriors(frames, seed, sharp)
    path = word_alignment(log_probs, words, None)
    assert path.score - paid(path, words) == pytest.approx(best_score(log_probs, words), abs=1e-3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 3), max_size=2), min_size=1, max_size=5),
    st.sampled_from([None, SEPARATOR]),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from([2.0, 6.0, 12.0]),
)
def test_words_in_a_row_may_as_well_be_left_out_within_one_frame(
    words: list[list[int]], separator: int | None, frames: int, seed: int, sharp: float
) -> None:
    columns, skips = paths._word_states(words, separator, VOCAB)
    log_probs = posteriors(frames, seed, sharp)
    speech = log_probs[:, 1:].max(axis=1)
    anything = np.maximum(speech, log_probs[:, 0]) - paths.GUESS
    other = np.maximum(log_probs[:, 0], speech - paths.EXTRA)
    emissions = np.column_stack((log_probs, anything, other)).astype(np.float32)
    taken, score = viterbi(emissions, columns, *skips)
    assert score == pytest.approx(best_with_twins(emissions, columns, skips), abs=1e-3)
    assert len(taken) == frames and (np.diff(taken) >= 0).all()


@pytest.mark.parametrize("separator", [None, SEPARATOR])
def test_no_word_of_a_passage_that_was_not_spoken_is_placed_on_noise(separator: int | None) -> None:
    """The noise is worth less than to begin another run of words that are left out, but more than to go on."""
    log_probs = spell([0, 1, 0, 0, 0, 0, 0, 2, 0])
    log_probs[4] = np.log([0.996, 0.001, 0.001, 0.001, 0.001])
    noise = -(paths.MISSING_MORE_WORD + paths.MISSING_MORE + paths.MISSING_WORD + paths.MISSING) / 2
    log_probs[4, 3] = noise
    assert -noise < paths.MISSING_WORD + paths.MISSING
    passage = [[1, 2], [2, 1], [3], [1, 2], [2, 1]]
    path = word_alignment(log_probs, [[1], *passage, [2]], separator)
    there = np.flatnonzero(path.ends > path.starts)
    assert there.tolist() == [0, len(path.starts) - 1]
    alone = word_alignment(log_probs, [[1], [3], [2]], separator)
    assert alone.starts[alone.ends > alone.starts].tolist() == [1, 4, 7], "a single word has the noise"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=6),
    st.integers(1, 40),
    st.integers(0, 999),
)
def test_tokens_are_in_order_and_each_word_is_there_or_not(
    words: list[list[int]], frames: int, seed: int
) -> None:
    path = word_alignment(posteriors(frames, seed), words, SEPARATOR)
    assert len(path.log_probs) == len(path.extra) == frames
    assert (path.starts <= path.ends).all() and (path.starts[1:] >= path.ends[:-1]).all()
    assert ((path.confidences >= 0) & (path.confidences <= 1)).all()
    token = 0
    for word in words:
        there = path.ends[token : token + max(len(word), 1)] > path.starts[token : token + max(len(word), 1)]
        assert there.all() or not there.any(), "no word is there in part"
        token += max(len(word), 1) + 1


def test_a_word_without_speech_is_left_out() -> None:
    log_probs = spell([0, 1, 0, 2, 0, 3, 0])
    path = word_alignment(log_probs, [[1], [3, 1, 2], [2], [3]], None)
    assert (path.ends - path.starts).tolist() == [1, 0, 0, 0, 1, 1]
    assert path.starts[[0, 4, 5]].tolist() == [1, 3, 5]
    assert not path.extra.any()


@pytest.mark.parametrize("at", [0, 2, 4])
def test_speech_that_is_not_in_the_text_is_passed(at: int) -> None:
    labels = [0, 1, 0, 2, 0]
    labels[at:at] = [0, 3, 0, 3, 0]
    path = word_alignment(spell(labels), [[1], [2]], None)
    assert path.extra.sum() == 2 and all(labels[frame] == 3 for frame in np.flatnonzero(path.extra))
    assert [labels[start] for start in path.starts] == [1, 2]


def test_any_speech_fits_a_word_that_cannot_be_spelled() -> None:
    labels = [0, 1, 0, 3, 2, 3, 0, 2, 0]
    path = word_alignment(spell(labels), [[1], [], [2]], None)
    assert path.starts.tolist() == [1, 3, 7] and path.ends.tolist() == [2, 6, 8]
    assert not path.extra.any()
    silent = word_alignment(spell([0, 1, 0, 2, 0]), [[1], [], [2]], None)
    assert silent.ends[0] <= silent.starts[2] and silent.score > -0.5


def test_separators_are_part_of_the_path_but_not_needed() -> None:
    with_them = word_alignment(spell([1, SEPARATOR, 0, 2]), [[1], [2]], SEPARATOR)
    assert with_them.starts.tolist() == [0, 1, 3]
    without = word_alignment(spell([1, 0, 0, 2]), [[1], [2]], SEPARATOR)
    assert without.starts[1] == without.ends[1] and without.starts[[0, 2]].tolist() == [0, 3]


@pytest.mark.parametrize("separator", [None, SEPARATOR])
def test_pieces_are_put_together(separator: int | None) -> None:
    labels = [1, 4, 2, 4, 3, 4, 1, 4, 2] if separator else [1, 0, 2, 0, 3, 0, 1, 0, 2]
    words = [[1], [2], [3], [1], [2]]
    whole = word_alignment(spell(labels), words, separator)
    parts = joined(
        [
            word_alignment(spell(labels[:5]), words[:3], separator),
            word_alignment(spell(labels[5:]), words[3:], separator),
        ],
        separator,
    )
    spoken = [0, 2, 4, 6, 8] if separator else [0, 1, 2, 3, 4]
    assert parts.starts[spoken].tolist() == whole.starts[spoken].tolist()
    assert parts.starts.dtype == whole.starts.dtype and len(parts.starts) == len(whole.starts)
    assert len(parts.log_probs) == len(parts.extra) == len(labels)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_log_probabilities_that_are_no_numbers_are_refused(value: float) -> None:
    log_probs = posteriors(6, 0)
    log_probs[3] = value
    with pytest.raises(SpeechlstmError, match="the log-probabilities are infinite or NaN"):
        word_alignment(log_probs, [[1], [2]], None)

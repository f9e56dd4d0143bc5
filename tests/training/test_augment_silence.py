"""Pauses: where they are put, of what, how long, and never into speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.configs import build, load
from speechlstm.training.augment import Silence
from speechlstm.types import UsageError

RATE = 8_000


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Return noise as loud as speech: no two stretches of it are alike."""
    return 0.3 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def words(*gaps: float, floor: float = 1e-4) -> np.ndarray:
    """Return words of 0.4 s with gaps of so many seconds between them, in which there is a little noise."""
    parts = [speech(0.4)]
    for number, gap in enumerate(gaps, 1):
        quiet = floor * np.random.default_rng(number).standard_normal(round(gap * RATE)).astype(np.float32)
        parts += [quiet, speech(0.4, number)]
    return np.concatenate(parts)


def changed(waveform: np.ndarray, seed: int, **options: object) -> np.ndarray:
    silence = Silence(RATE, **{"probability": 1.0, "most": 9.0, **options})  # type: ignore[arg-type]
    return silence(waveform, np.random.default_rng(seed))


def where(part: np.ndarray, whole: np.ndarray) -> int:
    """Return where a stretch of samples lies in another, or -1."""
    places = np.flatnonzero(whole[: len(whole) - len(part) + 1] == part[0])
    return next((int(at) for at in places if np.array_equal(whole[at : at + len(part)], part)), -1)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3 * RATE),
    st.integers(0, 999),
    st.floats(0, 2),
    st.tuples(st.floats(0, 1), st.floats(1, 3)),
)
def test_pauses_keep_to_their_lengths(
    samples: int, seed: int, most: float, seconds: tuple[float, float]
) -> None:
    waveform = speech(samples / RATE)
    result = changed(waveform, seed, most=most, seconds=seconds)
    assert result.dtype == np.float32 and np.isfinite(result).all()
    added = len(result) - samples
    assert 0 <= added <= min(most * samples, 3 * seconds[1] * RATE) + 1
    assert np.array_equal(result, changed(waveform, seed, most=most, seconds=seconds)), "the seed decides"
    if samples > 10:
        assert where(waveform, result) >= 0, "speech without a pause stays in one piece"


def test_each_end_gets_one_in_two_of_three_and_never_more_than_asked_for() -> None:
    waveform = speech(1.0)
    starts, ends = [], []
    for seed in range(300):
        result = changed(waveform, seed, seconds=[0.2, 0.5])
        starts.append(where(waveform, result))
        ends.append(len(result) - starts[-1] - len(waveform))
    for pauses in (np.array(starts), np.array(ends)):
        there = pauses[pauses > 0]
        assert 0.58 < len(there) / 300 < 0.75
        assert 0.2 * RATE - 1 <= there.min() < 0.22 * RATE and 0.48 * RATE < there.max() <= 0.5 * RATE


def test_a_pause_is_zeros_or_noise_at_the_level_of_the_recordings_own() -> None:
    waveform = words(0.5, floor=3e-3)
    levels = []
    for seed in range(60):
        result = changed(waveform, seed, inside=0.0, seconds=[0.5, 0.6])
        if start := where(waveform, result):
            levels.append(float(result[:start].std()))
    silent = [level for level in levels if level == 0]
    assert 10 < len(silent) < len(levels) - 10
    assert [level for level in levels if level] == pytest.approx(
        [3e-3] * (len(levels) - len(silent)), rel=0.15
    )


@pytest.mark.parametrize("gaps", [(0.3,), (0.05, 0.3), (0.3, 0.05, 0.4)])
def test_a_pause_that_is_there_gets_longer_and_no_word_is_split(gaps: tuple[float, ...]) -> None:
    waveform, longer = words(*gaps), 0
    for seed in range(40):
        result = changed(waveform, seed, inside=1.0)
        places = [where(speech(0.4, number), result) for number in range(len(gaps) + 1)]
        assert min(places) >= 0 and places == sorted(places)
        grown = [
            after - before - round((0.4 + gap) * RATE)
            for before, after, gap in zip(places, places[1:], gaps, strict=False)
        ]
        assert sum(each > 1 for each in grown) == 1, "one pause"
        longer += grown[max(range(len(gaps)), key=lambda i: grown[i])] > 0.05 * RATE
        assert all(each == 0 for each, gap in zip(grown, gaps, strict=True) if gap < 0.1), (
            "short ones are no pauses"
        )
    assert longer == 40


def test_where_there_is_no_pause_none_is_made() -> None:
    for waveform in (speech(1.0), words(0.1, 0.1), words(0.3, floor=0.02)):  # the last is too noisy to tell
        for seed in range(20):
            assert where(waveform, changed(waveform, seed, inside=1.0)) >= 0


def test_what_is_too_long_together_is_shortened_alike() -> None:
    waveform = speech(1.0)
    for seed in range(40):
        free = changed(waveform, seed, seconds=[0.5, 1.0])
        bound = changed(waveform, seed, seconds=[0.5, 1.0], most=0.25)
        before, here = where(waveform, free), where(waveform, bound)
        added = len(free) - RATE
        if added:
            assert len(bound) - RATE == pytest.approx(0.25 * RATE, abs=2)
            assert here == pytest.approx(before * 0.25 * RATE / added, abs=2)


def test_the_probability_is_that_of_pauses_at_all() -> None:
    silence, waveform = Silence(RATE, probability=0.2), speech(0.5)
    same = sum(silence(waveform, np.random.default_rng(seed)) is waveform for seed in range(400))
    assert 0.74 < same / 400 < 0.86


def test_nothing_and_digital_silence_pass() -> None:
    assert len(changed(speech(0), 1)) == 0
    zeros = np.zeros(RATE, dtype=np.float32)
    assert not changed(zeros, 1, inside=1.0).any()


@pytest.mark.parametrize(
    "options", [{"inside": 1.5}, {"most": -0.1}, {"seconds": [2, 1]}, {"seconds": 1.0}, {"probability": 2}]
)
def test_what_does_not_fit_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="augment: "):
        Silence(RATE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "most"), [("specaugment", 0.3), ("noisy", 0.5)])
def test_it_is_part_of_the_default(name: str, most: float) -> None:
    chain = build(load("train", [f"augment={name}", f"sample_rate={RATE}"]).augment.waveform)
    assert isinstance(chain.changes[0], Silence) and chain.changes[0].most == most

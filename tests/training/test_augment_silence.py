"""Pauses: where they are put, of what, how long, and never into speech."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.configs import build, load
from speechlstm.training.augment import Chain, Silence
from speechlstm.training.augment.channel import within_band
from speechlstm.training.augment.silence import noise_like
from speechlstm.training.data import UtteranceDataset, collate
from speechlstm.types import Utterance

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
    assert 0 <= added <= min(most * max(samples, 2 * RATE), 3 * seconds[1] * RATE) + 1
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


def test_a_pause_is_zeros_the_recordings_own_noise_hum_or_a_tone() -> None:
    waveform, mains = words(0.5, floor=3e-3), np.array([50, 60])
    kinds = Counter[str]()
    for seed in range(160):
        result = changed(waveform, seed, inside=0.0, seconds=[0.5, 0.6])
        start = where(waveform, result)
        if start <= 0:
            continue
        power = np.square(np.abs(np.fft.rfft(result[:start] * np.hanning(start), RATE)))
        tone = max(power[[mains[0] * k, mains[0] * k + 1]].max() for k in range(1, 9))
        tone = max(tone, *(power[mains[1] * k] for k in range(1, 9)))
        if not result[:start].any():
            kinds["zeros"] += 1
        elif tone > 50 * np.median(power) and power[:500].max() == power.max():
            kinds["hum"] += 1
        elif power.max() > 1e3 * np.median(power):
            kinds["tone"] += 1
        else:
            kinds["own"] += 1
            assert result[:start].std() == pytest.approx(3e-3, rel=0.2)
    assert min(kinds["zeros"], kinds["own"]) > 24 and min(kinds["hum"], kinds["tone"]) > 4


@pytest.mark.parametrize("edges", [(300, 900), (2_000, 3_000)])
def test_noise_is_made_like_the_recordings_own(edges: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    room = within_band(0.01 * rng.standard_normal(RATE).astype(np.float32), RATE, *edges)
    noise = noise_like(room[: RATE // 160 * 160].reshape(-1, 160), 2 * RATE, rng)
    assert len(noise) == 2 * RATE and noise.std() == pytest.approx(room.std(), rel=0.1)
    inside = within_band(noise, RATE, edges[0] - 60, edges[1] + 60)
    assert inside.std() > 0.95 * noise.std(), "its spectrum is the room's"


@pytest.mark.parametrize("alone", [0.0, 0.25, 1.0])
def test_an_utterance_without_speech_has_no_text_and_its_length(alone: float) -> None:
    chain, waveform = Chain(silence=Silence(RATE, probability=0.0, alone=alone)), speech(0.5)
    outcomes = [chain(waveform, np.random.default_rng(seed)) for seed in range(200)]
    assert sum(not spoken for _, spoken in outcomes) == pytest.approx(200 * alone, abs=20)
    for result, spoken in outcomes:
        assert len(result) == len(waveform) and (spoken is (result is waveform))
        assert spoken or result.std() < 0.4
    again = [chain(waveform, np.random.default_rng(seed))[0] for seed in range(20)]
    assert all(np.array_equal(a, b) for a, (b, _) in zip(again, outcomes, strict=False))


def test_a_dataset_gives_such_an_utterance_an_empty_text(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", speech(0.5), RATE)
    utterance = Utterance(str(tmp_path / "a.wav"), 0.5, "a", "a")
    for alone, target in ((0.0, [7]), (1.0, [])):
        change = Chain(silence=Silence(RATE, probability=0.0, alone=alone))
        dataset = UtteranceDataset([utterance], lambda _: [7], RATE, change=change)
        assert dataset[0, 1.0, 3][1] == target
        assert collate([dataset[0, 1.0, 3]]).targets.shape == (1, len(target))


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


@pytest.mark.parametrize(("tight", "split"), [(0.0, 0), (0.5, 30), (1.0, 60)])
def test_a_quiet_moment_may_be_taken_for_a_pause_where_there_is_none(tight: float, split: int) -> None:
    waveform = np.concatenate(
        [speech(0.4), 0.1 * speech(0.06, 8), speech(0.4, 1)]
    )  # 20 dB for 60 ms: no pause
    places = []
    for seed in range(60):
        result = changed(waveform, seed, inside=1.0, tight=tight, seconds=[0.3, 0.4])
        if where(waveform, result) < 0:
            first = where(speech(0.4), result)
            places.append(where(speech(0.4, 1), result) - first - round(0.46 * RATE))
    assert len(places) == pytest.approx(split, abs=12) and all(each > 0.29 * RATE for each in places)


@pytest.mark.parametrize("samples", [1, 100, RATE // 50, RATE // 5])
def test_what_is_too_short_for_a_pause_gets_none(samples: int) -> None:
    waveform = speech(samples / RATE)
    assert all(where(waveform, changed(waveform, s, inside=1.0, tight=1.0)) >= 0 for s in range(20))


def test_what_replaces_speech_is_also_loud_hum_and_tones() -> None:
    silence, waveform, steady = Silence(RATE), words(0.5), []
    for seed in range(200):
        sound = silence.instead(waveform, np.random.default_rng(seed))
        assert sound.shape == waveform.shape and sound.dtype == np.float32 and np.abs(sound).max() < 2
        power = np.square(np.abs(np.fft.rfft(sound[:RATE] * np.hanning(RATE))))
        if np.sort(power)[-64:].sum() > 0.99 * power.sum() > 0:
            steady.append(sound.std())
    assert 50 < len(steady) < 100 and max(steady) > 0.3, "a quarter, and those as in pauses"


def test_what_is_too_long_together_is_shortened_alike() -> None:
    waveform = speech(2.5)
    for seed in range(40):
        free = changed(waveform, seed, seconds=[0.5, 1.0])
        bound = changed(waveform, seed, seconds=[0.5, 1.0], most=0.25)
        before, here = where(waveform, free), where(waveform, bound)
        added = len(free) - len(waveform)
        if added > 0.25 * len(waveform):
            assert len(bound) - len(waveform) == pytest.approx(0.25 * len(waveform), abs=2)
            assert here == pytest.approx(before * 0.25 * len(waveform) / added, abs=2)


def test_the_probability_is_that_of_pauses_at_all() -> None:
    silence, waveform = Silence(RATE, probability=0.2), speech(0.5)
    same = sum(silence(waveform, np.random.default_rng(seed)) is waveform for seed in range(400))
    assert 0.74 < same / 400 < 0.86


def test_nothing_and_digital_silence_pass() -> None:
    assert len(changed(speech(0), 1)) == 0
    zeros = np.zeros(RATE, dtype=np.float32)
    assert not changed(zeros, 1, inside=1.0).any()


@pytest.mark.parametrize(("name", "most"), [("specaugment", 0.3), ("noisy", 0.5)])
def test_it_is_part_of_the_default(name: str, most: float) -> None:
    chain = build(load("train", [f"augment={name}", f"sample_rate={RATE}"]).augment.waveform)
    assert isinstance(chain.changes[0], Silence) and chain.changes[0].most == most

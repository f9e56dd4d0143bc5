"""Word boundaries: the rule's cases one by one, and what holds for any spikes and pauses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speechlstm.transcription.boundaries import (
    LEAD,
    MAX_LEAD,
    MIN_PAUSE,
    REACH,
    WHOLE_LEAD,
    WHOLE_LETTERS,
    Span,
    at_least,
    find_pauses,
    word_times,
)

RATE = 16_000

Case = tuple[list[Span], list[float], float, list[Span]]


def noise(*parts: tuple[float, float], rate: int = RATE) -> np.ndarray:
    """Return stretches of noise, each of so many seconds at so many decibels."""
    rng = np.random.default_rng(0)
    sound = [rng.normal(size=round(seconds * rate)) * 10 ** (level / 20) for seconds, level in parts]
    return np.concatenate(sound).astype(np.float32)


@st.composite
def spoken(draw: st.DrawFn) -> Case:
    """Spikes of words on frames of 40 ms, letters per token, a duration, and pauses anywhere."""
    frame, spikes = draw(st.integers(0, 20)), []
    for _ in range(draw(st.integers(1, 12))):
        last = frame + draw(st.integers(0, 20))
        spikes.append((frame * 0.04, last * 0.04))
        frame = last + draw(st.integers(1, 40))
    letters = draw(st.lists(st.floats(1, 12), min_size=len(spikes), max_size=len(spikes)))
    duration = spikes[-1][1] + draw(st.sampled_from([0.01, 0.04, 1.0]))
    edges = draw(st.lists(st.integers(0, round(duration * 100)), unique=True, max_size=20).map(sorted))
    pauses = [(a / 100, b / 100) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    return spikes, letters, duration, pauses


# A pause ends where the next word is heard, but for rounding.
TOUCHING: Case = ([(5.64, 6.44), (201 * 0.04, 201 * 0.04)], [1.0, 1.0], 8.05, [(0.0, 8.04)])


@example(TOUCHING, False)
@given(spoken(), st.booleans())
def test_words_are_in_order_apart_and_inside(case: Case, whole: bool) -> None:
    spikes, letters, duration, pauses = case
    found = word_times(spikes, letters, whole, duration, pauses)
    assert len(found) == len(spikes)
    assert all(0 <= start < end <= duration for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))


@given(spoken(), st.booleans())
def test_without_pauses_a_word_holds_its_spikes(case: Case, whole: bool) -> None:
    spikes, letters, duration, _ = case
    found = word_times(spikes, letters, whole, duration)
    for (first, last), count, (start, end) in zip(spikes, letters, found, strict=True):
        assert start <= first <= last <= end
        assert first - start <= (WHOLE_LEAD if whole else LEAD) + 1e-9
        assert end - last <= REACH * max(count, WHOLE_LETTERS if whole else 1) + 1e-9


@pytest.mark.parametrize(
    ("case", "spikes", "letters", "pauses", "wanted"),
    [
        ("close together: halfway", [(0.5, 0.6), (0.7, 0.8)], [1, 1], [], [(0.42, 0.65), (0.65, 0.92)]),
        ("apart: lead and reach", [(0.5, 0.6), (1.2, 1.3)], [1, 2], [], [(0.42, 0.72), (1.12, 1.54)]),
        ("a pause between", [(0.5, 0.6), (1.2, 1.3)], [1, 1], [(0.75, 1.0)], [(0.42, 0.75), (1.0, 1.42)]),
        ("several pauses", [(0.2, 0.2), (2.0, 2.0)], [1, 1], [(0.35, 0.5), (0.6, 1.8), (1.85, 1.95)],
         [(0.12, 0.35), (1.95, 2.12)]),
        ("a pause too late", [(0.2, 0.2), (2.0, 2.0)], [1, 1], [(0.45, 1.8)], [(0.12, 0.32), (1.8, 2.12)]),
        ("noise after the pause", [(0.2, 0.2), (2.0, 2.0)], [1, 1], [(0.3, 0.8)],
         [(0.12, 0.3), (2.0 - MAX_LEAD, 2.12)]),
        ("a spike before its word", [(0.0, 0.0), (1.0, 1.0)], [4, 4], [(0.0, 0.3), (0.6, 1.2)],
         [(0.3, 0.6), (1.2, 1.68)]),
        ("a spike after its word", [(0.4, 0.4)], [1], [(0.38, 3.0)], [(0.32, 0.52)]),
        ("two spikes in a pause", [(0.2, 0.2), (0.6, 0.6)], [1, 1], [(0.0, 1.0)], [(0.12, 0.32), (1.0, 1.12)]),
    ],
)  # fmt: skip
def test_cases(
    case: str, spikes: list[Span], letters: list[float], pauses: list[Span], wanted: list[Span]
) -> None:
    found = word_times(spikes, letters, False, 3.0, pauses)
    assert [pytest.approx(times) for times in found] == wanted, case


def test_whole_words_begin_at_their_spikes_and_are_as_long_as_their_letters() -> None:
    found = word_times([(0.5, 0.5), (1.0, 1.0), (2.0, 2.0)], [6, 1, 8], True, 3.0)
    assert [pytest.approx(times) for times in found] == [(0.48, 0.98), (0.98, 1.36), (1.98, 2.96)]


def test_no_words_no_times() -> None:
    assert word_times([], [], False, 2.0, [(0.0, 2.0)]) == []


def test_pauses_are_where_it_is_quiet() -> None:
    levels = [(0.4, -60), (1.0, -20), (0.3, -60), (0.5, -25), (0.05, -60), (0.5, -20), (0.2, -60)]
    found = find_pauses(noise(*levels), RATE)
    wanted = [(0.0, 0.4), (1.4, 1.7), (2.75, 2.95)]  # the 50 ms are the closure of a plosive
    assert len(found) == len(wanted)
    for pause, times in zip(found, wanted, strict=True):
        assert pause == pytest.approx(times, abs=0.021)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_pauses_depend_neither_on_rate_nor_loudness(rate: int, gain: float) -> None:
    sound = noise((0.3, -70), (1.0, -20), (0.3, -70), (1.0, -30), rate=rate) * np.float32(gain)
    first, second = find_pauses(sound, rate)
    assert first == pytest.approx((0.0, 0.3), abs=0.021)
    assert second == pytest.approx((1.3, 1.6), abs=0.021)


def test_digital_silence_does_not_hide_other_pauses() -> None:
    sound = noise((0.5, -65), (1.0, -20), (0.5, -65), (1.0, -20))
    sound[:4000] = 0
    assert len(find_pauses(sound, RATE)) == 2


@pytest.mark.parametrize("samples", [0, 1, 100, 159, 160, 479, 480])
def test_the_shortest_audio_has_no_pauses(samples: int) -> None:
    assert find_pauses(np.full(samples, 0.1, np.float32), RATE) == []


def test_a_steady_sound_has_no_pauses() -> None:
    assert find_pauses(np.zeros(RATE, np.float32), RATE) == []
    assert find_pauses(np.full(RATE, 0.5, np.float32), RATE) == []


@given(st.lists(st.tuples(st.floats(0.01, 0.5), st.integers(-90, -10)), min_size=1, max_size=8))
def test_pauses_are_in_order_apart_and_inside(parts: list[tuple[float, float]]) -> None:
    sound = noise(*parts)
    edges = [edge for pause in find_pauses(sound, RATE) for edge in pause]
    assert edges == sorted(edges)
    assert all(end - start >= MIN_PAUSE for start, end in zip(edges[::2], edges[1::2], strict=True))
    assert not edges or (edges[0] >= 0 and edges[-1] <= len(sound) / RATE)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12),
    st.floats(0.01, 2),
    st.floats(0.001, 0.1),
)
def test_no_word_is_shorter_than_a_frame(
    steps: list[tuple[float, float]], duration: float, least: float
) -> None:
    edges = np.cumsum([0.0, *(step for pair in steps for step in pair)])
    edges = edges / max(edges[-1], 1e-9) * duration
    spans = [(edges[2 * i + 1], edges[2 * i + 2]) for i in range(len(steps))]
    found = at_least(spans, least, duration)
    wanted = min(least, duration / max(len(spans), 1))
    last = 0.0
    for start, end in found:
        assert last - 1e-9 <= start and end - start >= wanted - 1e-9 and end <= duration + 1e-9
        last = end
    if all(end - start >= wanted for start, end in spans):
        np.testing.assert_allclose(np.array(found), np.array(spans), atol=1e-9)


def test_no_word_begins_before_the_audio_where_there_is_no_room() -> None:
    """Where rounding would have the first one begin at -2e-17 s, which JSON shows as -0.0."""
    spans = [(0.15, 0.16)] * 12
    assert at_least(spans, 0.032, 0.16)[0][0] == 0 and str(at_least(spans, 0.032, 0.16)[0][0]) == "0.0"

"""Where a text and what was heard agree."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlstm.transcription.align.anchors import cuts, match

WORDS = [f"w{number}" for number in range(40)]


@given(st.lists(st.sampled_from(WORDS[:6]), max_size=60), st.lists(st.sampled_from(WORDS[:6]), max_size=60))
def test_pairs_are_the_same_words_in_order(text: list[str], heard: list[str]) -> None:
    pairs = match(text, heard)
    assert all(text[left] == heard[right] for left, right in pairs)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(pairs))


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=300))
def test_a_text_that_was_heard_is_matched_whole(text: list[str]) -> None:
    if len(set(text)) < len(text) and len(text) < 8:
        return  # too short for any run to be unique
    pairs = match(text, text)
    assert all(left == right for left, right in pairs)
    unique = [place for place, word in enumerate(text) if text.count(word) == 1]
    if len(text) <= 60:
        assert {place for place, _ in pairs} >= set(unique)


@pytest.mark.parametrize("wrong", [0.1, 0.3, 0.5])
def test_most_of_a_book_is_found_although_words_are_misheard(wrong: float) -> None:
    rng = random.Random(0)
    common = [f"c{number}" for number in range(30)]
    text = [rng.choice(common) if rng.random() < 0.5 else f"r{rng.randrange(3000)}" for _ in range(5000)]
    heard, origin = [], []
    for place, word in enumerate(text):
        chance = rng.random()
        if chance < wrong / 3:
            continue
        heard.append(rng.choice(common) if chance < wrong else word)
        origin.append(place)
        if rng.random() < wrong / 3:
            heard.append(rng.choice(common))
            origin.append(-1)
    pairs = match(text, heard)
    right = [left == origin[at] for left, at in pairs]
    assert sum(right) / len(right) > 0.95, "hardly any are wrong"
    assert sum(right) > (0.8 - wrong) * len(text)


def test_a_chapter_that_is_not_spoken_and_speech_that_is_not_written() -> None:
    rng = random.Random(1)
    first, second, third = ([f"{part}{rng.randrange(400)}" for _ in range(800)] for part in "abc")
    pairs = match(first + second, second + third)
    assert len(pairs) > 700 and all(left - right == 800 for left, right in pairs)
    assert match(first, third) == [] and match([], third) == [] and match(first, []) == []


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    text = ["the"] * 50_000  # nothing is unique
    assert match(text, text) == []


def test_cuts_lie_within_runs_and_far_apart() -> None:
    spans = [(1.0 * number, number + 0.8) for number in range(100)]
    pairs = [(10 + number, number) for number in range(100) if number % 10 != 7]
    made = cuts(pairs, spans, 15.0)
    assert len(made) in (5, 6)
    seconds = [second for _, second in made]
    assert all(after - before >= 15 for before, after in zip([0.0, *seconds], seconds, strict=False))
    for word, second in made:
        place = word - 10
        assert spans[place - 1][1] <= second <= spans[place][0]
        assert not {number % 10 for number in range(place - 2, place + 2)} & {7}
    assert cuts(pairs[:3], spans, 15.0) == [] and cuts([], [], 15.0) == []

"""Hotwords: what phrases within one another and across one another earn."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.posteriors import certain, spoken
from speechlstm.model.tokenizer import Characters

LETTERS = Characters.from_texts(["a b c"])
ENGLISH = Characters.from_texts(["abcdefghijklmnopqrstuvwxyz a"])
WORDS = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=4).map(" ".join)


def earned(tokenizer: Characters, text: str, phrases: list[str]) -> float:
    decoder = BeamDecoder(tokenizer, hotwords=phrases, hotword_boost=1.0)
    [found] = decoder(spoken(tokenizer, text, sure=1 - 1e-6))[0]
    assert found.text == text and found.parts is not None
    return found.parts["bonus"]


def overlaps_itself(words: list[str]) -> bool:
    """Return whether a phrase can begin within itself, as "a a" does: of repeated ones not all may count."""
    return any(words[:size] == words[-size:] for size in range(1, len(words)))


@settings(max_examples=300, deadline=None)
@given(text=WORDS, more=WORDS, phrases=st.lists(WORDS, min_size=1, max_size=5, unique=True))
def test_phrases_earn_what_those_that_do_not_overlap_do(text: str, more: str, phrases: list[str]) -> None:
    """Not less, and at most what all of them would by themselves; where the text ends makes no difference."""
    assume(not any(overlaps_itself(phrase.split()) for phrase in phrases))
    words = f"{text} {more}".split()
    spans = [
        (first, first + len(parts), len(phrase))  # a boost of 1 for each character
        for phrase in phrases
        for parts in [phrase.split()]
        for first in range(len(words))
        if words[first : first + len(parts)] == parts
    ]

    @cache
    def most(place: int) -> float:
        if place == len(words):
            return 0.0
        return max(
            most(place + 1), *(worth + most(end) for first, end, worth in spans if first == place), 0.0
        )

    bonus = earned(LETTERS, " ".join(words), phrases)
    assert most(0) - 1e-6 <= bonus <= sum(worth for *_, worth in spans) + 1e-6
    assert earned(LETTERS, " ".join([*words, "c"]), phrases) == pytest.approx(bonus)


@pytest.mark.parametrize(
    ("phrases", "text", "boosts"),
    [
        (["york"], "new york times", 4),
        (["york", "new york city"], "new york times", 4),
        (["york", "new york city"], "new york", 4),
        (["york", "new york city"], "new york city", 13),
        (["york", "new yorkshire"], "new york", 4),
        (["york", "new york"], "new york", 8),
        (["new", "york", "new york city"], "new york", 7),
        (["york"], "new yorkshire", 0),
    ],
)
def test_a_longer_phrase_that_breaks_off_leaves_what_is_within_it(
    phrases: list[str], text: str, boosts: int
) -> None:
    assert earned(ENGLISH, text, phrases) == pytest.approx(boosts)


def test_a_phrase_is_heard_though_a_longer_one_begins_before_it() -> None:
    path = {
        text: [each for token in ENGLISH.encode(text) for each in (token, 0)]
        for text in ("new york", "new yorc")
    }
    likely, less = (certain(path[text], len(ENGLISH)).exp() for text in ("new yorc", "new york"))
    heard = (0.53 * likely + 0.47 * less).log()
    assert BeamDecoder(ENGLISH)(heard)[0][0].text == "new yorc"
    assert BeamDecoder(ENGLISH, hotwords=["york", "new york city"])(heard)[0][0].text == "new york"

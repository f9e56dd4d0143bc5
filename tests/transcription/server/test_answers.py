"""Answers as JSON: segments have the certainty of their words, and take no longer than the words are many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from speechlstm.transcription.server.answers import document
from speechlstm.transcription.transcript import Transcript, Word

WISH: Any = SimpleNamespace(
    response_format="verbose_json", language="en", granularities=frozenset({"segment"})
)


class Counted(list[Word]):
    """Words that count how often they are gone through."""

    times = 0

    def __iter__(self) -> Iterator[Word]:
        self.times += 1
        return super().__iter__()


def test_segments_have_the_certainty_of_their_words() -> None:
    words = Counted(
        Word(f"w{line}", 10.0 * line + 0.5 * each, 10.0 * line + 0.5 * each + 0.4, 1 - line / 100)
        for line in range(50)
        for each in range(3)
    )
    made = Transcript("a.wav", " ".join(word.text for word in words), words, -1.0, 500.0)
    words.times = 0
    segments = document(made, WISH)["segments"]
    assert [segment["text"] for segment in segments] == [" ".join([f"w{line}"] * 3) for line in range(50)]
    for line, segment in enumerate(segments):
        assert segment["avg_logprob"] == pytest.approx(math.log(1 - line / 100), abs=1e-4)
    assert words.times < 10, "or a long recording takes words times segments"


def test_a_word_counts_in_each_segment_that_it_goes_on_in() -> None:
    """One of a script without spaces may be longer than a subtitle."""
    made = Transcript("a.wav", "語" * 60, [Word("語" * 60, 0.0, 8.0, 0.5)], -1.0, 8.0)
    segments = document(made, WISH)["segments"]
    assert [segment["avg_logprob"] for segment in segments] == [pytest.approx(math.log(0.5), abs=1e-4)] * 2

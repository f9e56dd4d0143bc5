"""Spoken numbers as digits: words, times, what was said, and the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import speechlstm
from speechlstm.cli import transcribe
from speechlstm.transcription.numbers import with_digits
from speechlstm.transcription.transcript import Transcript, Word
from speechlstm.types import UsageError


def spoken(text: str, pause_before: int | None = None) -> Transcript:
    """Return a transcript of words of 0.4 s, with 0.1 s between them, and 1 s before one of them."""
    words, time = [], 0.0
    for index, word in enumerate(text.split()):
        time += 1.0 if index == pause_before else 0.1
        words.append(Word(word, time, time + 0.4, 0.9 - 0.01 * index))
        time += 0.4
    return Transcript("a.wav", text, words, -1.0, time)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("i have twenty one cats and three hundred and five dogs", "i have 21 cats and 305 dogs"),
        ("three point one four", "3.14"),
        ("the twenty first of may", "the 21st of may"),
        ("call five five five one two", "call 5 5 5 1 2"),
        ("one of them", "one of them"),
        ("nothing here", "nothing here"),
        ("", ""),
    ],
)
def test_numbers_become_digits(text: str, digits: str) -> None:
    assert with_digits(spoken(text), "en").text == digits


def test_a_number_is_a_word_with_the_times_of_its_words() -> None:
    before = spoken("we saw seventy five birds")
    after = with_digits(before, "en")
    assert [word.text for word in after.words] == ["we", "saw", "75", "birds"]
    number = after.words[2]
    assert (number.start, number.end) == (before.words[2].start, before.words[3].end)
    assert number.confidence == before.words[3].confidence and number.spoken == "seventy five"
    assert after.words[0] == before.words[0] and after.words[3] == before.words[4]
    entries = json.loads(after.to_json())["words"]
    assert entries[2]["spoken"] == "seventy five" and "spoken" not in entries[0]


def test_a_pause_separates_numbers() -> None:
    assert with_digits(spoken("call twenty three"), "en").text == "call 23"
    assert with_digits(spoken("call twenty three", pause_before=2), "en").text == "call 20 3"


def test_each_channel_and_other_languages() -> None:
    both = Transcript("a.wav", "", [], 0.0, 1.0, channels=[spoken("forty two"), spoken("hello")])
    assert [channel.text for channel in with_digits(both, "en").channels] == ["42", "hello"]
    assert with_digits(spoken("vierundzwanzig katzen"), "de").text == "24 katzen"


def test_numbers_of_two_channels_stay_apart() -> None:
    first, second = spoken("twenty one cats"), spoken("forty two")
    words = sorted(first.words + second.words, key=lambda word: word.start)
    mixed = Transcript("a.wav", "twenty forty one two cats", words, 0.0, 1.0, channels=[first, second])
    after = with_digits(mixed, "en")
    assert after.text == "21 42 cats" and [channel.text for channel in after.channels] == ["21 cats", "42"]
    assert [(word.text, word.spoken) for word in after.words] == [
        ("21", "twenty one"),
        ("42", "forty two"),
        ("cats", None),
    ]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "text_to_num", None)
    with pytest.raises(UsageError, match=r"pip install 'speechlstm\[numbers\]'"):
        with_digits(spoken("two"), "en")


def test_the_command(run_command: Callable[..., tuple[int, str, str]]) -> None:
    samples = Path(speechlstm.__file__).parent / "data" / "samples"
    files = [str(samples / name) for name in ("enter.flac", "address.flac")]
    assert run_command(transcribe, *files, "bundle=small")[0] == 0
    status, digits, _ = run_command(transcribe, *files, "bundle=small", "text.itn=en", "format=json")
    spoken_forms = [word.get("spoken") for line in digits.splitlines() for word in json.loads(line)["words"]]
    assert status == 0 and "seventy three" in spoken_forms
    status, _, err = run_command(transcribe, files[0], "text.itn=klingon")
    assert status == 2 and "text.itn is 'klingon', but must be one of en, fr" in err

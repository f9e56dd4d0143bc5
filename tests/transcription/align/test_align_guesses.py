"""Words that cannot be spelled: they get the speech beside them that nothing else in the text explains."""

from __future__ import annotations

import pytest
from spelling import FRAME, RATE, SpellingBundle, spell

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.transcription.align import Alignment, align
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import SpeechlstmError

PAUSE = 6  # blank frames after a letter: most frames of a model are blank
LETTER = (2 + PAUSE) * FRAME / RATE  # seconds that `spell` makes of a letter


def aligned(spoken: str, text: str, pause: int = PAUSE) -> Alignment:
    ((_, found),) = align(SpellingBundle(), [((spell(spoken, pause), RATE), text)])
    assert not isinstance(found, SpeechlstmError)
    return found


def test_a_number_has_all_of_its_speech() -> None:
    spoken = "they met in nineteen forty five for once"
    found = aligned(spoken, "They met in 1945, for once.")
    word = found.transcript.words[3]
    assert (word.text, word.confidence) == ("1945,", 0.0)
    assert word.start == pytest.approx(len("they met in ") * LETTER, abs=0.15)
    assert word.end == pytest.approx(spoken.rindex(" for") * LETTER, abs=0.15)
    assert found.extra == found.missing == []


@pytest.mark.parametrize(("spoken", "text", "which"), [
    ("seven men went", "7 men went", 0),
    ("men went seven", "men went 7", 2),
    ("men seven went", "men 7 stop went", 1),
])  # fmt: skip
def test_at_either_end_and_beside_what_is_missing(spoken: str, text: str, which: int) -> None:
    found = aligned(spoken, text)
    begin = spoken.index("seven") * LETTER
    word = found.transcript.words[which]
    assert word.text == "7" and not found.extra
    assert (word.start, word.end) == pytest.approx((begin, begin + 5 * LETTER), abs=0.15)
    assert [each.text for each in found.missing] == ["stop"] * ("stop" in text)


@pytest.mark.parametrize("pause", [1, PAUSE])
def test_a_sign_is_no_place_for_a_page(pause: int) -> None:
    letter = (2 + pause) * FRAME / RATE
    page = " ".join(["all of this was never written down"] * 4)
    found = aligned(f"we went {page} to the sea", "we went & to the sea", pause)
    begin = len("we went ") * letter
    assert sum(end - start for start, end in found.extra) > 0.9 * len(page) * letter
    assert begin - 0.3 < found.extra[0][0] and found.extra[-1][1] < begin + (len(page) + 1) * letter + 0.3
    assert [word.text for word in found.transcript.words] == ["we", "went", "&", "to", "the", "sea"]


def test_more_than_can_have_been_said_is_missing() -> None:
    table = " ".join(map(str, range(1000, 1400)))
    found = aligned("we went to the sea", f"we went {table} to the sea")
    assert [each.text for each in found.missing] == [table]
    assert found.missing[0].at == pytest.approx(len("we went") * LETTER, abs=0.15)
    assert [word.text for word in found.transcript.words] == ["we", "went", "to", "the", "sea"]
    assert all(word.end - word.start > 0.01 for word in found.transcript.words)


def test_the_shipped_recognizer_hears_digits_where_they_are() -> None:
    recognizer = speechlstm.load("small")
    assert isinstance(recognizer, Recognizer)
    samples = f"{speechlstm.__path__[0]}/data/samples/samples.jsonl"
    number = next(each for each in read_manifest(samples) if each.id == "number")
    audio = (load_audio(number.audio_filepath, RATE), RATE)
    spelled = recognizer.align(audio, number.text).transcript.words
    found = recognizer.align(audio, "4 1 2 five five oh one — nine")
    assert found.extra == found.missing == []
    assert [word.text for word in found.transcript.words][3:] == ["five", "five", "oh", "one —", "nine"]
    for word, same in zip(found.transcript.words, spelled, strict=True):
        assert (word.start, word.end) == pytest.approx((same.start, same.end), abs=0.15)


def test_words_around_one_that_cannot_be_spelled_stay_where_they_are() -> None:
    page = " ".join(["all of this was never written down"] * 4)
    spoken = f"he said so {page} of which of the two jean valjean was the father"
    found = aligned(spoken, "he said so of which of the two 日本 was the father", 1)
    begins = {word.text: word.start for word in found.transcript.words}
    for word, begin in (("which", spoken.index("which")), ("two", spoken.index("two"))):
        assert begins[word] == pytest.approx(begin * 3 * FRAME / RATE, abs=0.15)
    assert found.missing == []
    assert sum(end - start for start, end in found.extra) > 0.8 * len(page) * 3 * FRAME / RATE


def test_speech_that_is_not_in_the_text_ends_with_the_audio() -> None:
    """Also where the audio ends within a frame."""
    waveform = spell("yes no oh")[: -2 * FRAME - FRAME // 2]
    ((_, found),) = align(SpellingBundle(), [((waveform, RATE), "yes")])
    assert isinstance(found, Alignment)
    assert found.extra[-1][1] == found.transcript.duration == len(waveform) / RATE

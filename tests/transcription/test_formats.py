"""Segments, and the formats made of them; subtitles are read back by ffmpeg."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import transcripts

from speechlstm.transcription.channels import with_channels
from speechlstm.transcription.formats import FORMATS, styled
from speechlstm.transcription.segments import MOST, segments
from speechlstm.transcription.subtitles import MAX_PAUSE, Style
from speechlstm.transcription.transcript import Transcript, Word


def spoken(*words: tuple[str, float, float]) -> Transcript:
    made = [Word(text, start, end, 0.5) for text, start, end in words]
    return Transcript("talks/my call.wav", " ".join(word.text for word in made), made, -1.0, 99.0)


CALL = spoken(("no", 0.5, 1.0), ("(go)", 1.0, 1.5), ("yes", 3.0, 3.25))
TWO = Transcript(
    "call.wav", "hi bye", [], -1.0, 9.0, channels=[spoken(("bye", 2.0, 2.5)), spoken(("hi", 1.0, 1.5))]
)


@given(transcripts())
def test_segments_are_the_words_between_long_pauses(transcript: Transcript) -> None:
    found = segments(transcript)
    assert [word for each in found for word in each.words] == transcript.words
    assert [each.id for each in found] == list(range(len(found)))
    gaps = [after.start - before.end for before, after in itertools.pairwise(transcript.words)]
    if transcript.words and transcript.words[-1].end - transcript.words[0].start < MOST:
        assert len(found) == 1 + sum(gap > MAX_PAUSE for gap in gaps)
    for each in found:
        assert (each.start, each.end) == (each.words[0].start, each.words[-1].end)


@given(st.lists(st.tuples(st.floats(0, 0.7), st.floats(0.01, 40)), min_size=1, max_size=60))
def test_no_segment_is_longer_than_the_most_but_one_word(spans: list[tuple[float, float]]) -> None:
    words, cursor = [], 0.0
    for gap, length in spans:
        words.append(Word("a", cursor + gap, cursor + gap + length, 1.0))
        cursor += gap + length
    found = segments(Transcript("a", "", words, 0.0, cursor))
    assert [word for each in found for word in each.words] == words
    assert all(each.end - each.start <= MOST or len(each.words) == 1 for each in found)


def test_a_segment_without_a_long_pause_ends_at_the_longest_of_its_second_half() -> None:
    words = [(f"{number}", number, number + (0.3 if number == 20 else 0.9)) for number in range(50)]
    assert [each.words[0].text for each in segments(spoken(*words))] == ["0", "21"]


def test_json_has_segments() -> None:
    first, second = json.loads(FORMATS["json"](CALL))["segments"]
    assert first | {"words": ()} == {
        "id": 0, "start": 0.5, "end": 1.5, "text": "no (go)", "channel": None, "words": (),
    }  # fmt: skip
    assert [word["text"] for word in first["words"]] == ["no", "(go)"]
    assert second["words"] == [{"text": "yes", "start": 3.0, "end": 3.25, "confidence": 0.5}]
    both = json.loads(FORMATS["json"](TWO))["segments"]
    assert [(each["id"], each["channel"], each["text"]) for each in both] == [(0, 1, "hi"), (1, 0, "bye")]


@pytest.mark.parametrize(
    ("kind", "one", "two"),
    [
        (
            "tsv",
            "start\tend\ttext\n500\t1500\tno (go)\n3000\t3250\tyes\n",
            "start\tend\ttext\tchannel\n1000\t1500\thi\t1\n2000\t2500\tbye\t0\n",
        ),
        (
            "stm",
            "my_call 1 my_call-1 0.500 1.500 no go\nmy_call 1 my_call-1 3.000 3.250 yes\n",
            "call 1 call-1 2.000 2.500 bye\ncall 2 call-2 1.000 1.500 hi\n",
        ),
        ("trn", "no go yes (my_call)\n", "bye (call-1)\nhi (call-2)\n"),
        (
            "labels",
            "0.500\t1.000\tno\n1.000\t1.500\t(go)\n3.000\t3.250\tyes\n",
            "1.000\t1.500\tchannel 1: hi\n2.000\t2.500\tchannel 0: bye\n",
        ),
        ("txt", "no (go) yes\n", "channel 1: hi\nchannel 0: bye\n"),
    ],
)
def test_lines_of_one_and_of_two_channels(kind: str, one: str, two: str) -> None:
    assert FORMATS[kind](CALL) == one
    assert FORMATS[kind](TWO) == two


@pytest.mark.parametrize("kind", ["ctm", "stm"])
def test_scorers_get_channels_sorted_as_text(kind: str) -> None:
    """Their manual: by the first and second columns in ASCII order, then by time."""
    channels = [
        Transcript("a", "b", [Word("b", 20.0 - number, 21.0 - number, 1.0)], 0, 30) for number in range(11)
    ]
    made = with_channels(Transcript("a", "", [], 0, 30), channels)
    found = [line.split()[1] for line in FORMATS[kind](made).splitlines()]
    assert found == sorted(found) and len(found) == 11


@pytest.mark.parametrize(
    ("text", "shown"), [("<unk> {a / b}", "unk> a / b"), ("( <", ""), ("a <unk>", "a <unk>")]
)
def test_text_is_no_notation_in_stm(text: str, shown: str) -> None:
    line = FORMATS["stm"](spoken((text, 1.0, 2.0)))
    assert line.split("2.000 ")[1] == f"{shown}\n"


@given(transcripts())
def test_every_line_has_its_fields(transcript: Transcript) -> None:
    count = len(segments(transcript))
    assert all(line.count("\t") == 2 for line in FORMATS["tsv"](transcript).splitlines())
    labels = FORMATS["labels"](transcript).splitlines()
    assert [line.split("\t")[2] for line in labels] == [word.text for word in transcript.words]
    stm = [line.split(" ") for line in FORMATS["stm"](transcript).splitlines() if not line.startswith(";;")]
    assert len(stm) == count and all(float(line[3]) < float(line[4]) for line in stm)
    trn = FORMATS["trn"](transcript)
    assert trn.endswith("(a_b)\n") and trn.count("(") == 1 and trn.count("\n") == 1 and trn[0] != ";"


@pytest.mark.parametrize("kind", ["srt", "vtt", "ass"])
def test_ffmpeg_reads_subtitles(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_text(styled(Style(max_words=2, karaoke=True))[kind](CALL))
    with av.open(str(path)) as file:
        events = [
            (
                float(packet.pts * packet.time_base),
                float(packet.duration * packet.time_base),
                bytes(packet).decode(),
            )
            for packet in file.demux()
            if packet.size
        ]
    assert [(start, length) for start, length, _ in events] == [(0.5, 1.0), (3.0, 0.25)]
    shown = {"srt": "no (go)", "vtt": "no <00:00:01.000>(go)", "ass": r"{\k50}no {\k50}(go)"}
    assert events[0][2].endswith(shown[kind])


def test_text_is_no_command_in_ass() -> None:
    shown = FORMATS["ass"](spoken(("{\\an8}", 1.0, 2.0), ("x\\N", 2.0, 5.0))).splitlines()[-1]
    assert shown == "Dialogue: 0,00:00:01.00,00:00:05.00,Default,,0,0,0,,\\{\\\u2060an8\\} x\\\u2060N"


@pytest.mark.parametrize(
    ("kind", "content"),
    [("tsv", "start\tend\ttext\n"), ("stm", ";; a: no words\n"), ("trn", "(a)\n"), ("labels", "")],
)
def test_silence_has_no_words_in_them(kind: str, content: str) -> None:
    assert FORMATS[kind](Transcript("a.wav", "", [], 0.0, 2.0)) == content

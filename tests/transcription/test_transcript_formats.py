"""Formats for other programs, JSON, CTM, and TextGrid, read back as what was written; no format breaks."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from made_transcripts import cues, transcripts

from speechlstm.transcription.formats import FORMATS
from speechlstm.transcription.transcript import Alternative, Transcript, Word


def intervals(document: str) -> list[tuple[float, float, str]]:
    """Read the intervals of a TextGrid."""
    pattern = r'intervals \[(\d+)\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"\n'
    found = re.findall(pattern, document)
    assert [int(number) for number, *_ in found] == list(range(1, len(found) + 1))
    return [(float(start), float(end), text.replace('""', '"')) for _, start, end, text in found]


@given(transcripts())
def test_json_holds_everything(transcript: Transcript) -> None:
    line = FORMATS["json"](transcript)
    assert line.count("\n") == 1
    read = json.loads(line)
    assert (read["audio"], read["text"], read["score"]) == (transcript.audio, transcript.text, -1.5)
    assert [word["text"] for word in read["words"]] == [word.text for word in transcript.words]
    for word, original in zip(read["words"], transcript.words, strict=True):
        assert word["start"] == pytest.approx(original.start, abs=0.0006)
        assert word["confidence"] == pytest.approx(original.confidence, abs=0.0001)


def test_json_stays_json_with_infinite_scores() -> None:
    others = [Alternative("c", math.nan), Alternative("d", -2.0, {"acoustic": -1.00001, "lm": -math.inf})]
    made = Transcript("a", "b", [], -math.inf, 1.0, alternatives=others)
    read = json.loads(FORMATS["json"](made), parse_constant=pytest.fail)
    assert read["score"] is None
    assert read["alternatives"] == [
        {"text": "c", "score": None},
        {"text": "d", "score": -2.0, "parts": {"acoustic": -1.0, "lm": None}},
    ]


@given(transcripts())
def test_ctm_reads_back(transcript: Transcript) -> None:
    lines = [line.split(" ") for line in FORMATS["ctm"](transcript).splitlines() if not line.startswith(";;")]
    assert [line[4] for line in lines] == [word.text for word in transcript.words]
    for (name, channel, start, length, _, confidence), word in zip(lines, transcript.words, strict=True):
        assert (name, channel) == ("a_b", "1")
        assert float(start) == pytest.approx(word.start, abs=0.0006)
        assert float(start) + float(length) == pytest.approx(word.end, abs=0.0006)
        assert float(confidence) == pytest.approx(word.confidence, abs=0.0001)


@pytest.mark.parametrize(
    ("audio", "name"), [("d/;;x.wav", "_;x"), ("ein tag.x.flac", "ein_tag.x"), ("a\tb\nc", "a_b_c")]
)
def test_ctm_names_are_one_field(audio: str, name: str) -> None:
    assert FORMATS["ctm"](Transcript(audio, "a", [Word("a", 0, 1, 1.0)], 0.0, 1.0)).startswith(
        f"{name} 1 0.000 1.000 a "
    )


@given(transcripts())
def test_textgrid_intervals_tile_the_audio(transcript: Transcript) -> None:
    document = FORMATS["TextGrid"](transcript)
    assert document.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    found = intervals(document)
    assert [text for *_, text in found if text] == [word.text for word in transcript.words]
    assert found[0][0] == 0
    assert all(start < end for start, end, _ in found)
    assert [end for _, end, _ in found[:-1]] == [start for start, *_ in found[1:]]
    assert found[-1][1] == max(round(transcript.duration, 3), 0.001)
    assert re.findall(r"xmax = (\S+)", document)[0] == f"{found[-1][1]:.3f}"
    assert int(re.search(r"intervals: size = (\d+)", document)[1]) == len(found)


@pytest.mark.parametrize(
    ("format", "content"),
    [("txt", "\n"), ("srt", ""), ("vtt", "WEBVTT\n"), ("ctm", ";; a: no words\n")],
)
def test_silence_is_valid_in_every_format(format: str, content: str) -> None:
    assert FORMATS[format](Transcript("a.wav", "", [], 0.0, 2.0)) == content


@pytest.mark.parametrize("format", FORMATS)
def test_words_without_length_or_in_disorder_break_nothing(format: str) -> None:
    words = [Word("a", 1.0, 1.0, 1.0), Word("b", 1.0, 1.0, 1.0), Word("c\n\nd", 0.5, 0.6, 1.0)]
    document = FORMATS[format](Transcript("a.wav", "a b c\n\nd", words, 0.0, 1.0))
    if format in ("srt", "vtt"):
        assert [(start, end) for start, end, _ in cues(document)] == [(1000, 1003)]
        assert cues(document)[0][2] == "a b c d"
    if format == "TextGrid":
        assert intervals(document)[1:] == [(0.997, 0.998, "a"), (0.998, 0.999, "b"), (0.999, 1.0, "c d")]
    if format == "ctm":
        assert [line.split()[4] for line in document.splitlines()] == ["a", "b", "c_d"]
    if format == "txt":
        assert document == "a b c d\n"

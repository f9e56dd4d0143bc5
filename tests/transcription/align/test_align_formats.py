"""Formats of alignments: JSON and TextGrid hold scores and tokens, the others are those of transcripts."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from speechlstm.transcription import align as module
from speechlstm.transcription import formats as transcript
from speechlstm.transcription.align import Alignment
from speechlstm.transcription.transcript import Transcript, Word


def alignment() -> Alignment:
    words = [Word('"so"', 0.1, 0.5, 0.5), Word("go", 0.9, 1.2, 0.8)]
    tokens = [
        [Word('"', 0.1, 0.2, 0.5), Word("s", 0.2, 0.3, 0.6), Word("o", 0.3, 0.35, 0.7), Word('"', 0.35, 0.5, 0.8)],
        [Word("g", 0.9, 1.0, 0.9), Word("o", 1.0, 1.2, 0.8)],
    ]  # fmt: skip
    return Alignment(
        Transcript("talk/a.wav", '"so" go', words, -3.25, 1.5), [-0.5, -float("inf")], tokens, []
    )


def test_json_holds_words_with_scores_and_tokens() -> None:
    line = module.FORMATS["json"](alignment())
    assert line.count("\n") == 1
    read = json.loads(line, parse_constant=pytest.fail)
    assert (read["audio"], read["text"], read["score"], read["duration"]) == (
        "talk/a.wav",
        '"so" go',
        -3.25,
        1.5,
    )
    assert [word["score"] for word in read["words"]] == [-0.5, None]
    assert read["words"][1]["tokens"] == [
        {"text": "g", "start": 0.9, "end": 1.0, "confidence": 0.9},
        {"text": "o", "start": 1.0, "end": 1.2, "confidence": 0.8},
    ]


def test_json_tells_what_of_the_audio_is_missing() -> None:
    made = alignment()
    assert "warnings" not in json.loads(module.FORMATS["json"](made))
    warned = replace(made, transcript=replace(made.transcript, warnings=["0.85 s missing at 1.7 s"]))
    assert json.loads(module.FORMATS["json"](warned))["warnings"] == ["0.85 s missing at 1.7 s"]


def test_textgrid_has_a_tier_of_words_and_one_of_tokens() -> None:
    document = module.FORMATS["TextGrid"](alignment())
    assert "\nsize = 2\n" in document
    head, words, tokens = re.split(r"item \[[12]\]:", document)
    assert 'Object class = "TextGrid"' in head
    interval = r'intervals \[\d+\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"\n'
    for tier, name, texts in (
        (words, "words", ["", '""so""', "", "go", ""]),
        (tokens, "tokens", ["", '""', "s", "o", '""', "", "g", "o", ""]),
    ):
        assert f'name = "{name}"' in tier
        found = re.findall(interval, tier)
        assert [text for *_, text in found] == texts  # with quotes doubled
        assert int(re.search(r"intervals: size = (\d+)", tier)[1]) == len(found)
        assert found[0][0] == "0.000" and found[-1][1] == "1.500"
        assert [end for _, end, _ in found[:-1]] == [start for start, *_ in found[1:]]


@pytest.mark.parametrize("format", ["ctm", "srt", "vtt"])
def test_other_formats_are_those_of_transcripts(format: str) -> None:
    assert module.FORMATS[format](alignment()) == transcript.FORMATS[format](alignment().transcript)

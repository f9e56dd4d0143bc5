"""Transcripts: times and confidences of words, and formats that read back as what was written."""

from __future__ import annotations

import html
import json
import math
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlstm.model.tokenizer import Characters, Subwords, Words
from speechlstm.transcription import subtitles as module
from speechlstm.transcription.formats import FORMATS, styled
from speechlstm.transcription.transcript import Alternative, Transcript, Word, to_transcript
from speechlstm.types import DecoderError, Hypothesis

TOKENS = Characters.from_texts(["abcdefghijklmnopqrstuvwxyz "])
CUE = re.compile(r"(\d\d+):(\d\d):(\d\d)[,.](\d{3}) --> (\d\d+):(\d\d):(\d\d)[,.](\d{3})")

AWKWARD = ["a", "b's", '"so"', "<i>", "R&B", "-->", "ночь", "日本語", "x" * 60, "{\\an8}", "NOTE", ";;", "1"]


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Words in order, each at least a millisecond long, some after pauses."""
    words, cursor = [], 0
    for text in draw(
        st.lists(st.sampled_from(AWKWARD) | st.text("abcdef", min_size=1, max_size=12), max_size=30)
    ):
        start = cursor + draw(st.sampled_from([0, 0, 10, 790, 810, 5000]))
        cursor = start + draw(st.integers(1, 900))
        words.append(Word(text, start / 1000, cursor / 1000, draw(st.floats(0, 1))))
    duration = (cursor + draw(st.sampled_from([0, 1, 4000]))) / 1000
    return Transcript("talks/a b.wav", " ".join(w.text for w in words), words, -1.5, duration)


def hypothesis(text: str, starts: list[int], ends: list[int], confidences: list[float]) -> Hypothesis:
    return Hypothesis(TOKENS.encode(text), starts, ends, -2.0, confidences)


def cues(document: str) -> list[tuple[int, int, str]]:
    """Read SubRip or WebVTT: start and end in milliseconds, and text."""
    found = []
    for block in re.split(r"\n\n+", document.strip("\n")):
        lines = block.split("\n")
        at = next((i for i, line in enumerate(lines) if CUE.fullmatch(line)), None)
        if at is not None:
            h, m, s, ms, *end = map(int, CUE.fullmatch(lines[at]).groups())
            stop = ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3]
            found.append((((h * 60 + m) * 60 + s) * 1000 + ms, stop, "\n".join(lines[at + 1 :])))
    return found


def intervals(document: str) -> list[tuple[float, float, str]]:
    """Read the intervals of a TextGrid."""
    pattern = r'intervals \[(\d+)\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"\n'
    found = re.findall(pattern, document)
    assert [int(number) for number, *_ in found] == list(range(1, len(found) + 1))
    return [(float(start), float(end), text.replace('""', '"')) for _, start, end, text in found]


def test_words_get_the_times_of_their_tokens() -> None:
    best = hypothesis("no go", [1, 3, 4, 6, 9], [2, 4, 5, 8, 10], [0.9, 0.5, 0.1, 0.8, 0.7])
    best = replace(best, parts={"acoustic": -1.5, "lm": -1.0})
    other = replace(best, tokens=TOKENS.encode("so"), score=-4.0, parts={"acoustic": -1.0, "lm": -6.0})
    made = to_transcript([best, other], TOKENS, 0.04, "call.wav", 0.5)
    assert made.words == [
        Word("no", pytest.approx(0.0), pytest.approx(0.18), 0.5),  # halfway from frame 3 to frame 6
        Word("go", pytest.approx(0.18), pytest.approx(0.48), 0.7),
    ]
    assert (made.text, made.score, made.duration, made.audio) == ("no go", -2.0, 0.5, "call.wav")
    assert made.parts == {"acoustic": -1.5, "lm": -1.0}
    assert made.alternatives == [Alternative("so", -4.0, {"acoustic": -1.0, "lm": -6.0})]


def test_times_stay_within_the_audio() -> None:
    (word,) = to_transcript([hypothesis("a", [12], [13], [1.0])], TOKENS, 0.04, "x", 0.5).words
    assert (word.start, word.end) == (pytest.approx(0.4), 0.5)


def test_words_keep_out_of_pauses() -> None:
    best = hypothesis("a b", [10, 12, 40], [11, 13, 41], [1.0] * 3)
    pauses = [(0.0, 0.38), (0.45, 1.55), (1.68, 2.0)]
    first, second = to_transcript([best], TOKENS, 0.04, "x", 2.0, pauses).words
    assert (first.start, first.end) == (0.38, 0.45)
    assert (second.start, second.end) == (1.55, 1.68)


def test_whole_words_and_pieces_have_margins_of_their_own() -> None:
    words = Words(["<blank>", "no", "yes"])
    pieces = Subwords(["<blank>", "▁n", "o", "▁yes"], b"")
    (whole,) = to_transcript([Hypothesis([2], [10], [11], 0.0, [1.0])], words, 0.1, "x", 9.0).words
    assert (whole.start, whole.end) == pytest.approx((0.98, 1.36))
    parts = Hypothesis([1, 2, 3], [10, 12, 20], [11, 13, 21], 0.0, [1.0] * 3)
    no, yes = to_transcript([parts], pieces, 0.1, "x", 9.0).words
    assert (no.start, no.end, yes.start, yes.end) == pytest.approx((0.92, 1.32, 1.92, 2.36))


def test_an_empty_hypothesis_is_an_empty_transcript() -> None:
    made = to_transcript([Hypothesis([], [], [], 0.0, [])], TOKENS, 0.04, "x", 1.0)
    assert (made.text, made.words, made.alternatives) == ("", [], [])


def test_a_decoder_without_hypotheses_is_named() -> None:
    with pytest.raises(DecoderError, match=r"x\.wav: the decoder returned no hypothesis"):
        to_transcript([], TOKENS, 0.04, "x.wav", 1.0)


def test_a_decoders_own_words_take_the_times() -> None:
    best = replace(hypothesis("no go", [1, 3, 4, 6, 9], [2, 4, 5, 8, 10], [0.9] * 5), text="know goe")
    made = to_transcript([best], TOKENS, 0.04, "x", 0.5)
    assert [word.text for word in made.words] == ["know", "goe"]
    assert [word.start for word in made.words] == pytest.approx([0.0, 0.18])


@pytest.mark.parametrize("spoken", ["", "ab"])
def test_words_that_are_not_the_tokens_share_their_time(spoken: str) -> None:
    best = Hypothesis(
        TOKENS.encode(spoken), [5, 6][: len(spoken)], [6, 9][: len(spoken)], -1.0, [0.4, 0.6][: len(spoken)]
    )
    made = to_transcript([replace(best, text="one seven")], TOKENS, 0.1, "x", 2.0)
    begin, end = (0.42, 0.92) if spoken else (0.0, 2.0)
    cut = begin + (end - begin) * 3 / 8
    assert [(w.text, pytest.approx(w.start), pytest.approx(w.end)) for w in made.words] == [
        ("one", begin, cut),
        ("seven", cut, end),
    ]


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


STYLES = st.builds(
    module.Style,
    max_width=st.integers(1, 50),
    max_lines=st.integers(1, 3),
    max_words=st.none() | st.integers(1, 9),
    max_seconds=st.floats(0.1, 9),
    karaoke=st.booleans(),
)


@given(transcripts(), st.sampled_from(["srt", "vtt"]), STYLES | st.just(module.DEFAULT))
def test_subtitles_read_back_in_order_and_within_limits(
    transcript: Transcript, format: str, style: module.Style
) -> None:
    found = cues(styled(style)[format](transcript))
    if format == "vtt":
        found = [(start, end, html.unescape(re.sub("<[^>]*>", "", text))) for start, end, text in found]
    else:
        found = [(start, end, text.replace("-- >", "-->")) for start, end, text in found]
    units = [unit.text for word in transcript.words for unit in module._units(word.text, 0, 1)]
    assert "".join("".join(text.split()) for *_, text in found) == "".join(transcript.text.split())
    last = 0
    for start, end, text in found:
        assert last <= start < end
        last = end
        assert end - start <= max(style.max_seconds * 1000 + 1, 1)
        assert len(text.splitlines()) <= style.max_lines
        broken = text.count("\n") if "日" in text else 0  # lines may end within a word of such a script
        assert style.max_words is None or len(text.split()) - broken <= style.max_words
        for line in text.splitlines():
            assert len(line) <= style.max_width or line in units
    if "日" not in transcript.text:  # which lines break within
        assert " ".join(" ".join(text for *_, text in found).split()) == transcript.text


@given(transcripts())
def test_subtitles_break_exactly_at_long_pauses(transcript: Transcript) -> None:
    found = cues(FORMATS["vtt"](transcript))
    starts = {start for start, *_ in found}
    for before, after in zip(transcript.words, transcript.words[1:], strict=False):
        if round((after.start - before.end) * 1000) > module.MAX_PAUSE * 1000:
            assert round(after.start * 1000) in starts
    if found:
        assert found[0][0] == round(transcript.words[0].start * 1000)
        assert found[-1][1] == round(transcript.words[-1].end * 1000)


@given(transcripts())
def test_vtt_text_cannot_be_mistaken_for_markup(transcript: Transcript) -> None:
    document = FORMATS["vtt"](transcript)
    assert document.startswith("WEBVTT\n")
    bodies = "\n".join(text for *_, text in cues(document))
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", bodies)


@given(transcripts())
def test_srt_cues_are_numbered(transcript: Transcript) -> None:
    document = FORMATS["srt"](transcript)
    blocks = document.split("\n\n")[:-1]
    assert [block.split("\n")[0] for block in blocks] == [str(number) for number in range(1, len(blocks) + 1)]


@given(
    st.text(st.sampled_from("日本語のテキスト、。「」กำลังพูดภาษาไทยabc한국"), min_size=1, max_size=400),
    st.floats(0.1, 300),
    st.sampled_from(["srt", "vtt"]),
)
def test_scripts_without_spaces_keep_the_limits(text: str, seconds: float, kind: str) -> None:
    """One word, as its tokenizer sees it, for minutes."""
    found = cues(FORMATS[kind](Transcript("a", text, [Word(text, 0.0, seconds, 1.0)], 0.0, seconds)))
    assert "".join("".join(shown.split("\n")) for *_, shown in found) == text
    last = 0
    for start, end, shown in found:
        assert last <= start < end and end - start <= module.DEFAULT.max_seconds * 1000
        last = end
        lines = shown.split("\n")
        assert len(lines) <= module.DEFAULT.max_lines
        for line in lines:
            wide = sum(unicodedata.east_asian_width(char) in "WF" for char in line)
            marks = sum(unicodedata.category(char) in ("Mn", "Me") for char in line)
            spaceless = re.search("[^abc]", line)
            assert (
                len(line) + wide - marks <= module.DEFAULT.max_width + (2 if spaceless else 400)
                or "abc" in line
            )
            assert unicodedata.category(line[0])[0] != "M" or line is lines[0]


def test_a_cue_wraps_at_spaces() -> None:
    words = [Word("abcde", i / 5, i / 5 + 0.1, 1.0) for i in range(14)]
    (only,) = cues(FORMATS["srt"](Transcript("a", "", words, 0.0, 3.0)))
    assert only == (0, 2700, " ".join(["abcde"] * 7) + "\n" + " ".join(["abcde"] * 7))


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


def test_hours_are_written_out() -> None:
    long = Transcript("a", "b", [Word("b", 36_000.0, 36_001.25, 1.0)], 0.0, 40_000.0)
    assert "10:00:00,000 --> 10:00:01,250" in FORMATS["srt"](long)

"""Subtitles read back as what was written, within their limits."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import cues, transcripts

from speechlstm.transcription import subtitles as module
from speechlstm.transcription.formats import FORMATS, styled
from speechlstm.transcription.transcript import Transcript, Word

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


@given(st.text(st.sampled_from("日本語ab "), min_size=1, max_size=40), st.floats(0.001, 2))
def test_the_times_within_a_cue_grow(text: str, seconds: float) -> None:
    """More characters than milliseconds share them."""
    words = [Word(word, seconds * at, seconds * (at + 1), 1.0) for at, word in enumerate(text.split())]
    document = styled(module.Style(karaoke=True))["vtt"](Transcript("a", text, words, 0.0, 80.0))
    for start, end, shown in cues(document):
        times = re.findall(r"<(\d+):(\d+):(\d+)\.(\d+)>", shown)
        inside = [((int(h) * 60 + int(m)) * 60 + int(s)) * 1000 + int(ms) for h, m, s, ms in times]
        assert all(before < after for before, after in itertools.pairwise([start, *inside, end]))


def test_a_cue_wraps_at_spaces() -> None:
    words = [Word("abcde", i / 5, i / 5 + 0.1, 1.0) for i in range(14)]
    (only,) = cues(FORMATS["srt"](Transcript("a", "", words, 0.0, 3.0)))
    assert only == (0, 2700, " ".join(["abcde"] * 7) + "\n" + " ".join(["abcde"] * 7))


def test_hours_are_written_out() -> None:
    long = Transcript("a", "b", [Word("b", 36_000.0, 36_001.25, 1.0)], 0.0, 40_000.0)
    assert "10:00:00,000 --> 10:00:01,250" in FORMATS["srt"](long)

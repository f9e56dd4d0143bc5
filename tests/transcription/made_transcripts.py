"""Transcripts that are made up, and subtitles read back."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from speechlstm.transcription.transcript import Transcript, Word

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

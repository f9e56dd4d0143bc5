"""Transcripts: times and confidences of words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechlstm.model.tokenizer import Characters, Subwords, Words
from speechlstm.transcription.transcript import Alternative, Word, to_transcript
from speechlstm.types import DecoderError, Hypothesis

TOKENS = Characters.from_texts(["abcdefghijklmnopqrstuvwxyz "])


def hypothesis(text: str, starts: list[int], ends: list[int], confidences: list[float]) -> Hypothesis:
    return Hypothesis(TOKENS.encode(text), starts, ends, -2.0, confidences)


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

"""The figures of the error report agree with other programs."""

from __future__ import annotations

import itertools

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from speechlstm.evaluation.errorreport import analysis
from speechlstm.evaluation.metrics import Counts, errors
from speechlstm.transcription.transcript import Alternative, Transcript, Word
from speechlstm.types import Utterance

TEXTS = st.lists(st.sampled_from(["a", "b", "no", "now", "ü"]), max_size=7).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def utterances(
    pairs: list[tuple[str, str]], confidence: float = 0.5
) -> tuple[list[Utterance], list[Transcript]]:
    said = [Utterance("x.wav", 2.0, text, id=str(index)) for index, (text, _) in enumerate(pairs)]
    heard = [
        Transcript("x.wav", text, [Word(word, 0.0, 1.0, confidence) for word in text.split()], -1.0, 2.0)
        for _, text in pairs
    ]
    return said, heard


@given(TEXTS, TEXTS)
def test_an_alignment_has_the_errors_that_are_counted_and_spells_both_texts(left: str, right: str) -> None:
    letters, counts = analysis.alignment(left, right), errors(left, right)
    said, heard = iter(left.split()), iter(right.split())
    found = [
        (each, next(said) if each != "i" else "", next(heard) if each != "d" else "") for each in letters
    ]
    assert [letters.count(letter) for letter in "=sdi"] == [
        counts.hits, counts.substitutions, counts.deletions, counts.insertions,
    ]  # fmt: skip
    assert not [*said, *heard]
    assert all((a == b) == (letter == "=") for letter, a, b in found)


@given(PAIRS)
def test_figures_of_the_whole_agree_with_jiwer(pairs: list[tuple[str, str]]) -> None:
    figures = analysis.analyze(*utterances(pairs), [None] * len(pairs), [None] * len(pairs))
    if not any(reference for reference, _ in pairs):
        assert figures["words"]["rate"] is figures["words"]["interval"] is None
        return
    words = jiwer.process_words([a for a, _ in pairs], [b for _, b in pairs])
    characters = jiwer.process_characters([a for a, _ in pairs], [b for _, b in pairs])
    assert figures["words"]["rate"] == pytest.approx(words.wer)
    assert figures["characters"]["rate"] == pytest.approx(characters.cer)
    assert figures["words"]["errors"] == words.substitutions + words.deletions + words.insertions
    assert figures["sentences"]["wrong"] == sum(a != b for a, b in pairs)
    assert sum(count for *_, count in figures["deleted"]) == figures["words"]["deletions"]
    assert sum(count for *_, count in figures["inserted"]) == figures["words"]["insertions"]
    assert sum(count for *_, count in figures["confusions"]) == figures["words"]["substitutions"]


def test_words_are_listed_with_how_often_they_are_said() -> None:
    said, heard = utterances([("no no yes", "now no"), ("no", "now"), ("yes", "yes uh")])
    figures = analysis.analyze(said, heard, [None] * 3, [None] * 3)
    assert figures["confusions"] == [["no", "now", 3, 2]]
    assert figures["deleted"] == [["yes", 2, 1]] and figures["inserted"] == [["uh", 0, 1]]


def test_speakers_are_sorted_by_their_rate_and_a_single_utterance_has_no_interval() -> None:
    counts = [Counts(1, 1), Counts(3, 1), Counts(4), Counts(0, 0, 0, 2), Counts(1)]
    found = analysis.by_label(["a", "b", "a", "c", None], counts)
    assert [(group["label"], group["rate"], group["utterances"]) for group in found] == [
        ("b", 0.25, 1), ("a", 1 / 6, 2), ("c", None, 1),
    ]  # fmt: skip
    assert [group["interval"] is None for group in found] == [True, False, True]


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.5, 1.0, 2.5]), st.floats(0, 100)), max_size=60))
def test_ranges_divide_what_is_known(values: list[float | None]) -> None:
    groups = analysis.by_quantile(values, [Counts(1, 1)] * len(values))
    known = [value for value in values if value is not None]
    assert sum(group["utterances"] for group in groups) == len(known)
    for group, following in itertools.pairwise(groups):
        assert group["high"] == following["low"]
        assert group["utterances"] == sum(group["low"] <= value < group["high"] for value in known)
    if known:
        assert (groups[0]["low"], groups[-1]["high"]) == (min(known), max(known))
        assert all(group["low"] <= group["middle"] <= group["high"] for group in groups)


def test_ranges_hold_as_many_utterances_each() -> None:
    groups = analysis.by_quantile(
        np.random.default_rng(0).permutation(600).astype(float).tolist(), [Counts(1)] * 600
    )
    assert [group["utterances"] for group in groups] == pytest.approx([100] * 6, abs=1)


def test_calibration_error_is_the_weighted_distance_over_bins() -> None:
    rng = np.random.default_rng(0)
    confidences = np.append(rng.uniform(0, 1, 400), [0.0, 1.0])
    right = rng.uniform(0, 1, 402) < confidences**2
    found = analysis.calibration(list(zip(confidences.tolist(), right.tolist(), strict=True)))
    assert found is not None
    edges = np.linspace(0, 1, 11)
    edges[-1] = 1.1
    share, _, places = stats.binned_statistic(confidences, right, "mean", edges)
    mean, _, _ = stats.binned_statistic(confidences, confidences, "mean", edges)
    weights = np.bincount(places - 1, minlength=10) / 402
    assert found["error"] == pytest.approx(float((weights * np.abs(share - mean)).sum()))
    assert [entry["rate"] for entry in found["bins"]] == pytest.approx(share.tolist())
    assert sum(entry["count"] for entry in found["bins"]) == found["words"] == 402


def test_words_are_judged_along_the_alignment() -> None:
    said, heard = utterances([("a b c", "a x c d"), ("a", ""), ("a", "a")])
    heard[2].words.append(Word("b", 1.0, 1.5, 0.5))  # a decoder that writes other words than its tokens spell
    assert [right for _, right in analysis.judged_words(said, heard)] == [True, False, True, False]
    assert analysis.calibration([]) is None


def listed(*texts: str) -> list[Alternative]:
    return [Alternative(text, -2.0 - place) for place, text in enumerate(texts)]


def test_oracle_takes_the_best_of_the_first_hypotheses() -> None:
    said, _ = utterances([("a b c d", ""), ("a b", "")])
    heard = [
        Transcript("x", "a x x d", [], -1, 1, alternatives=listed("a x y z", "a b c x", "x", "a b c d")),
        Transcript("x", "a", [], -1, 1, alternatives=listed("a b")),
    ]
    found = analysis.oracle(said, heard)
    assert [(point["n"], point["errors"], point["length"]) for point in found] == [
        (1, 3, 6), (2, 2, 6), (3, 1, 6), (5, 0, 6),
    ]  # fmt: skip
    assert found[0]["rate"] == analysis.analyze(said, heard, [None] * 2, [None] * 2)["words"]["rate"]
    assert analysis.oracle(*utterances([("a", "b")])) == []


def test_nothing_at_all_has_no_figures() -> None:
    figures = analysis.analyze([], [], [], [], {})
    assert figures["words"]["rate"] is figures["calibration"] is figures["comparison"] is None
    assert figures["groups"] == {"speaker": [], "seconds": [], "snr": [], "speed": []}
    assert figures["utterances"] == []

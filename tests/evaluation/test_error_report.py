"""The figures of the error report agree with other programs, and causes of errors with scores taken by hand."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import write_manifest
from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.lm import load
from speechlstm.evaluation.errorreport import analysis, causes, comparison, recording
from speechlstm.evaluation.metrics import Counts, errors
from speechlstm.model.tokenizer import Characters
from speechlstm.transcription.transcript import Alternative, Transcript, Word
from speechlstm.types import ManifestError, Utterance

TEXTS = st.lists(st.sampled_from(["a", "b", "no", "now", "ü"]), max_size=7).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)
LETTERS = Characters.from_texts(["ab"])  # <blank> <space> a b


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


def systems(seed: int, better: float) -> tuple[dict[str, Counts], dict[str, Counts]]:
    rng = np.random.default_rng(seed)
    ours, theirs = {}, {}
    for index in range(150):
        length, hard = int(rng.integers(1, 12)), rng.uniform(0, 0.6)
        for system, share in ((ours, hard * better), (theirs, hard)):
            wrong = int(rng.binomial(length, share))
            system[str(index)] = Counts(length - wrong, wrong)
    return ours, theirs


def test_the_paired_bootstrap_is_scipys() -> None:
    ours, theirs = systems(1, 0.8)
    found = comparison.compare(ours, theirs, 0)
    assert found is not None
    columns = [
        np.array([getattr(count, name) for count in system.values()])
        for system, name in ((ours, "errors"), (theirs, "errors"), (ours, "length"))
    ]

    def statistic(a: np.ndarray, b: np.ndarray, n: np.ndarray, axis: int) -> np.ndarray:
        return (a.sum(axis) - b.sum(axis)) / n.sum(axis)

    expected = stats.bootstrap(
        columns, statistic, paired=True, vectorized=True, n_resamples=20_000, method="percentile",
        rng=np.random.default_rng(5),
    )  # fmt: skip
    low, high = expected.confidence_interval
    assert found.interval == pytest.approx((low, high), abs=0.06 * (high - low))
    above = (expected.bootstrap_distribution >= 0).mean()
    assert found.p == pytest.approx(2 * min(above, 1 - above), abs=0.01)
    assert found.difference == pytest.approx(float(statistic(*columns, 0)))
    gains = columns[1] - columns[0]
    assert (found.better, found.worse) == ((gains > 0).sum(), (gains < 0).sum())


def test_a_comparison_turned_round_is_its_mirror() -> None:
    ours, theirs = systems(2, 0.7)
    one, other = comparison.compare(ours, theirs, 3), comparison.compare(theirs, ours, 3)
    assert one is not None and other is not None
    assert one.difference == -other.difference < 0
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=0.01)
    assert max(one.p, other.p) < 0.01
    same = comparison.compare(ours, ours, 0)
    assert same is not None
    assert (same.difference, same.interval, same.p) == (0, (0, 0), 1)


def test_only_utterances_of_both_are_compared() -> None:
    found = comparison.compare({"a": Counts(1, 1), "b": Counts(0, 9)}, {"a": Counts(2), "c": Counts(0, 9)}, 1)
    assert found is not None
    assert (found.utterances, found.rates, found.difference) == (1, (0.5, 0.0), 0.5)
    assert comparison.compare({"a": Counts()}, {"a": Counts(0, 0, 0, 1)}, 1) is None, "no reference words"


def test_hypotheses_of_another_run_are_read_by_id(tmp_path: Path) -> None:
    said = [Utterance("a.wav", 1.0, "A b", id="a"), Utterance("b.wav", 1.0, "b", id="b")]
    known = Utterance("a.wav", 1.0, "a  b", id="a", extra={"pred_text": "A"})
    other = [known, Utterance("z.wav", 1.0, "", id="z", extra={"pred_text": ""})]
    write_manifest(tmp_path / "o.jsonl", other)
    assert comparison.read_hypotheses(tmp_path / "o.jsonl", said, LETTERS) == {"a": "a"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [("a", "a b", {})],
            "o.jsonl:1: no pred_text; compare_with takes what `evaluate ... out=FILE` has written",
        ),
        ([("a", "a b", {"pred_text": 3})], "no pred_text"),
        (
            [("a", "b b", {"pred_text": "x"})],
            "the text of a is 'b b', but here it is 'a b'; compare hypotheses of the",
        ),
        ([("a", "a b", {"pred_text": "x"})] * 2, "o.jsonl:2: id 'a' stands there already"),
        ([("z", "a b", {"pred_text": "x"})], "none of its ids are among 1 utterance of the manifest"),
    ],
)
def test_hypotheses_that_do_not_fit_are_explained(lines: list[tuple], message: str, tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    write_manifest(path, [Utterance("a.wav", 1.0, text, id=name, extra=extra) for name, text, extra in lines])
    with pytest.raises(ManifestError) as caught:
        comparison.read_hypotheses(path, [Utterance("a.wav", 1.0, "a b", id="a")], LETTERS)
    assert message in str(caught.value)


def logs(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


@pytest.mark.parametrize(
    ("rows", "reference", "kind"),
    [
        # Greedy takes two blanks, 0.36; "a" has 1 - 0.36 - what is left over.
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "a", "search"),
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "b", "model"),
        ([[0.1, 0.05, 0.8, 0.05]] * 2, "", "model"),
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "c", "unreachable"),  # is no token
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "aa", "unreachable"),  # needs three frames
    ],
)
def test_causes_follow_from_the_scores(rows: list[list[float]], reference: str, kind: str) -> None:
    log_probs, decoder = logs(*rows), GreedyDecoder(tokenizer=LETTERS)
    cause = causes.find_cause(log_probs, decoder, LETTERS, reference, decoder.decode(log_probs)[0])
    assert cause.kind == kind
    if kind == "search":
        assert math.exp(cause.ctc[0]) == pytest.approx(2 * 0.58 * 0.4 + 0.4**2)
        assert cause.total == pytest.approx(cause.ctc)
    elif kind == "unreachable":
        assert cause.ctc[0] is cause.total[0] is None


def test_a_beam_mends_the_search_error() -> None:
    log_probs, beam = logs(*[[0.58, 0.01, 0.4, 0.01]] * 2), BeamDecoder(LETTERS)
    assert LETTERS.decode(beam.decode(log_probs)[0].tokens) == "a"


def test_what_the_decoder_adds_to_a_text_is_found_out(tmp_path: Path) -> None:
    """The total of a hypothesis is the score that a wide beam gave it, whatever model, bonus and lexicon took part."""
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=5\n\n\\1-grams:\n-2\t<unk>\n-99\t<s>\n-0.5\t</s>\n-0.3\ta\n-1.1\tab\n\n\\end\\\n"
    )
    wide = {"beam_size": 2000, "token_threshold": 0.0, "beam_threshold": math.inf, "n_best": 4}
    decoder = BeamDecoder(
        LETTERS, lm=load(tmp_path / "lm.arpa"), lm_weight=0.7, word_bonus=0.4, lexicon="soft", **wide
    )
    for seed in range(5):
        noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)
        best, *others = decoder.decode(noise)
        assert others
        for other in others:
            text = LETTERS.decode(other.tokens)
            if LETTERS.encode(text) != other.tokens:
                continue  # separators at the ends, which no reference has
            cause = causes.find_cause(noise, decoder, LETTERS, text, best)
            assert cause.kind == "model"
            assert cause.total == pytest.approx((other.score, best.score), abs=1e-3)
            assert cause.ctc == pytest.approx((other.parts["acoustic"], best.parts["acoustic"]), abs=1e-3)


def test_a_word_that_the_lexicon_lacks_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\n")
    decoder = BeamDecoder(LETTERS, words=tmp_path / "words.txt", lexicon="strict")
    log_probs = logs([0.02, 0.02, 0.32, 0.64], [0.9, 0.03, 0.03, 0.04])
    found = decoder.decode(log_probs)[0]
    assert LETTERS.decode(found.tokens) == "a"
    cause = causes.find_cause(log_probs, decoder, LETTERS, "b", found)
    assert (cause.kind, cause.total[0]) == ("unreachable", None)
    assert cause.ctc[0] is not None and cause.ctc[0] > cause.ctc[1], (
        "by the recognizer alone it would have won"
    )


def speech(snr: float, seconds: float = 3.0, rate: int = 16_000) -> np.ndarray:
    """Return a tone that comes and goes, in white noise."""
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 1.5 * time) > 0)
    noise = np.random.default_rng(0).normal(size=len(time)) * math.sqrt(0.5) * 10 ** (-snr / 20)
    return (0.1 * (tone + noise)).astype(np.float32)


@pytest.mark.parametrize("snr", [5.0, 15.0, 30.0])
def test_noise_is_estimated_whatever_the_loudness(snr: float) -> None:
    found = recording.estimate_snr(speech(snr), 16_000)
    assert found == pytest.approx(snr, abs=1.0)
    assert recording.estimate_snr(speech(snr) * 0.1 + 0.2, 16_000) == pytest.approx(found, abs=0.1)
    padded = np.pad(speech(snr), 16_000)  # digital silence is not the background
    assert recording.estimate_snr(padded, 16_000) == pytest.approx(found, abs=0.3)


def test_noise_cannot_be_told_without_speech_or_sound() -> None:
    assert recording.estimate_snr(np.zeros(16_000, np.float32), 16_000) is None
    assert recording.estimate_snr(np.zeros(0, np.float32), 16_000) is None
    assert recording.estimate_snr(speech(-60.0), 16_000) is None


def test_recordings_are_small_and_sound_the_same(tmp_path: Path) -> None:
    waveform = speech(40.0)
    content = recording.encode_opus(waveform, 16_000)
    assert len(content) < 3 * 3_000
    (tmp_path / "a.ogg").write_bytes(content)
    heard = load_audio(tmp_path / "a.ogg", 16_000)
    assert len(heard) == pytest.approx(len(waveform), abs=1_000)
    levels = [np.square(w[:47_000].reshape(-1, 1000)).mean(1) for w in (waveform, heard)]
    assert np.corrcoef(*levels)[0, 1] > 0.98


def test_the_budget_is_kept_and_spent_on_the_first(tmp_path: Path) -> None:
    said = []
    for index in range(5):
        soundfile.write(tmp_path / f"{index}.wav", speech(20.0, 1.0, 11_025), 11_025)
        said.append(Utterance(str(tmp_path / f"{index}.wav"), 0.5, "", id=str(index), offset=0.25))
    whole = recording.embed(said, range(5), 11_025, 1e6)
    assert sorted(whole) == [0, 1, 2, 3, 4]
    size = len(whole[3]) * 4 / 3
    assert list(recording.embed(said, [3, 1, 0], 11_025, 2.2 * size)) == [3, 1]
    assert recording.embed(said, range(5), 11_025, 0) == {}
    Path(said[3].audio_filepath).unlink()
    assert list(recording.embed(said, [3, 1, 0], 11_025, 1e6)) == [1, 0]
    assert [value is None for value in recording.measure_snr(said, 16_000)] == [
        False,
        False,
        False,
        True,
        False,
    ]

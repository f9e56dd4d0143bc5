"""Two systems compared in the error report: the paired bootstrap is scipy's, and hypotheses are read by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from speechlstm.data.manifest import write_manifest
from speechlstm.evaluation.errorreport import comparison
from speechlstm.evaluation.metrics import Counts
from speechlstm.model.tokenizer import Characters
from speechlstm.types import ManifestError, Utterance

LETTERS = Characters.from_texts(["ab"])  # <blank> <space> a b


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

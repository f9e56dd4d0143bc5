"""`find`: the learning rate and the batch it prints are those its own figures call for."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import TINY, write_both

from speechlstm.cli import find
from speechlstm.training import finding
from speechlstm.training.sampler import BucketSampler

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    write_both(tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [find.__file__, *TINY, *arguments])
        try:
            find.main()
            status = 0
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, *capsys.readouterr()

    return call


def test_the_rate_is_a_tenth_of_the_best_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run("what=lr", "steps=30", "lowest=1e-4", "highest=100")
    assert status == 0, err
    rows = [tuple(map(float, row)) for row in re.findall(r"^ *(\S+e\S+)  (\S+)$", out, re.MULTILINE)]
    rates, losses = zip(*rows, strict=True)
    assert rates[0] == pytest.approx(1e-4) and list(rates) == sorted(rates)
    assert rates[1] / rates[0] == pytest.approx(1e6 ** (1 / 29), rel=0.02)
    lowest, at = re.search(r"lowest loss (\S+) at (\S+);", out).groups()
    assert float(lowest) <= min(losses) < losses[0], "it learns before it diverges"
    assert float(re.search(r"optimizer\.lr=(\S+)", out)[1]) == pytest.approx(float(at) / 10, rel=0.05)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_batch_grows_until_all_the_data_is_in_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(finding, "_step", lambda cfg, model, data, batches, gpu: seen.append(batches) or 1.0)
    status, out, err = run("what=batch", "memory=4", "margin=0")
    assert status == 0, err
    sizes = [float(size) for size in re.findall(r"^ *(\S+) s in a batch:   1\.00 GB$", out, re.MULTILINE)]
    assert sizes[0] == pytest.approx(0.6) and len(sizes) == len(seen)
    assert len(seen[-1]) == 1 and len(seen[-1][0]) == 6
    assert float(re.search(r"data\.batch_seconds=(\S+)", out)[1]) == pytest.approx(sizes[-1], abs=0.1)


def test_the_batch_is_the_last_that_fits_less_the_margin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(cfg: object, model: object, data: object, batches: list[list[object]], gpu: bool) -> float:
        return float(max(map(len, batches)))

    monkeypatch.setattr(finding, "_step", step)
    status, out, err = run("what=batch", "memory=2.5", "margin=0.2")
    assert status == 0, err
    tried = re.findall(r"^ *(\S+) s in a batch: +(\S+) GB(  too much)?$", out, re.MULTILINE)
    assert [bool(much) for *_, much in tried] == [False] * (len(tried) - 1) + [True]
    suggested = float(re.search(r"data\.batch_seconds=(\S+)", out)[1])
    assert suggested == pytest.approx(max(0.8 * float(tried[-2][0]), 0.6), abs=0.1)


def test_a_step_tells_its_memory_and_the_heaviest_batches_are_measured(run: Run) -> None:
    status, out, err = run("what=batch", "memory=0.001")
    assert status == 2 and "too much" in out
    assert "not even the longest utterance fits" in err
    lengths = [1.0, 1.0, 1.0, 1.0, 3.5]
    batches = BucketSampler(lengths, 4.5).batches(0)
    heaviest = finding._heaviest(batches, lengths)
    assert [[index for index, *_ in batch] for batch in heaviest] == [[0, 1, 2, 3], [4]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["what=size"], "what is 'size', but must be lr or batch"),
        (["what=lr", "lowest=1"], "0 < lowest < highest"),
        (["what=batch"], "memory is not set: on a CPU say how many GB"),
        (["what=batch", "margin=1"], "margin is 1, but must be"),
        (["what=batch", "memory=0"], "memory is 0, but must be"),
    ],
)
def test_what_cannot_be_found_is_said(run: Run, arguments: list[str], message: str) -> None:
    status, _, err = run(*arguments)
    assert status == 2 and message in err and "Traceback" not in err

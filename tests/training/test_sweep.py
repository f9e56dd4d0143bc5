"""Sweeps: what is varied, trials in their folders, and the same command going on where it stopped."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tones import command, write_both

from speechlstm.cli import sweep
from speechlstm.training import sweeps
from speechlstm.types import UsageError

pytest.importorskip("optuna")
Run = Callable[..., tuple[int, str, str]]
SEARCH = "search={optimizer.lr:[1e-4,1e-2,log],encoder.num_layers:[1,4],encoder:[blstm,bgru]}"
# A training in no time: its error rate follows from its learning rate; it says what it was started with.
FAKE = """
import json, pathlib, sys
given = dict(each.split("=", 1) for each in sys.argv[3:])
out = pathlib.Path(given["out"])
out.mkdir(parents=True, exist_ok=True)
with open("started.txt", "a") as log:
    log.write(json.dumps(given) + "\\n")
number = int(out.name.rpartition("-")[2])
fault = json.loads(pathlib.Path("faults.json").read_text()).get(str(number))
if fault:
    sys.exit(fault)
(out / "score.json").write_text(json.dumps({"wer": float(given["optimizer.lr"]) * 10}))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that sweeps over trainings that take no time."""
    monkeypatch.chdir(tmp_path)
    Path("fake.py").write_text(FAKE)
    Path("faults.json").write_text("{}")
    Path("python").write_text(f'#!/bin/sh\nshift 1\nexec {sys.executable} -S {tmp_path}/fake.py "$@"\n')
    Path("python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [sweep.__file__, *arguments])
        try:
            sweep.main()
            status = 0
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, *capsys.readouterr()

    return call


def started() -> list[dict[str, str]]:
    return [json.loads(line) for line in Path("started.txt").read_text().splitlines()]


def faults(**found: int) -> None:
    Path("faults.json").write_text(json.dumps({name[1:]: status for name, status in found.items()}))


def test_the_best_trial_is_named_and_more_trials_go_on(run: Run) -> None:
    status, out, err = run(SEARCH, "trials=2", "name=x", "trainer.max_epochs=1")
    assert status == 0, err
    status, out, err = run(SEARCH, "trials=4", "name=x", "trainer.max_epochs=1")
    assert status == 0, err
    given = started()
    assert [each["out"] for each in given] == [f"runs/x-sweep/trial-{number}" for number in range(4)]
    assert {each["trainer.max_epochs"] for each in given} == {"1"} and "search" not in given[0]
    rates = [float(each["optimizer.lr"]) for each in given]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates) and len(set(rates)) == 4
    assert {each["encoder.num_layers"] for each in given} <= set("1234")
    assert {each["encoder"] for each in given} <= {"blstm", "bgru"}
    best = re.search(
        r"^  speechlstm train name=x trainer.max_epochs=1 optimizer\.lr=(\S+)", out, re.MULTILINE
    )
    assert float(best[1]) == min(rates)
    assert len(re.findall(r"^trial \d: WER", out, re.MULTILINE)) == 2, "only the new ones"
    run(SEARCH, "trials=4", "out=once", "name=x", "trainer.max_epochs=1")
    assert [float(each["optimizer.lr"]) for each in started()[4:]] == rates, "in one go it is the same"


@pytest.mark.parametrize("stop", [130, 143])
def test_an_interrupted_trial_goes_on_in_its_folder(run: Run, stop: int) -> None:
    faults(t1=stop)
    assert run(SEARCH, "trials=3", "out=here")[0] == stop
    faults()
    assert run(SEARCH, "trials=3", "out=here")[0] == 0
    given = started()
    assert [each["out"][-1] for each in given] == ["0", "1", "1", "2"]
    assert given[1] == given[2]


def test_failed_trainings_are_counted_and_the_others_go_on(run: Run) -> None:
    faults(t1=1, t2=2)
    status, out, _ = run(SEARCH, "trials=4", "study=kept/s.db")
    assert status == 3 and Path("kept/s.db").is_file()
    assert re.findall(r"^trial (\d): failed", out, re.MULTILINE) == ["1", "2"]
    faults(t0=1)
    status, _, err = run(SEARCH, "trials=1", "out=new")
    assert status == 1 and "all 1 trainings failed" in err


def test_settings_that_no_training_takes_end_the_sweep_and_can_be_mended(run: Run) -> None:
    faults(t0=2)
    status, _, err = run(SEARCH, "trials=9", "name=y", "seed=3")
    assert status == 2 and "the training refuses its settings: name=y seed=3 optimizer.lr=" in err
    faults()
    assert run(SEARCH, "trials=1", "name=y", "seed=4")[0] == 0
    status, _, err = run(SEARCH, "trials=2", "name=y", "seed=5")
    assert status == 2 and "study of other settings: ['name=y', 'seed=4'], now ['name=y', 'seed=5']" in err
    Path("text.db").write_text("no database " * 99)
    status, _, err = run(SEARCH, "study=text.db", "out=z")
    assert status == 1 and "text.db: cannot be used as a study" in err and "Traceback" not in err


def test_signals_reach_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\ntrap 'exit 143' TERM\nkill -TERM $PPID\nwhile :; do sleep 0.1; done\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    before = signal.getsignal(signal.SIGTERM)
    assert sweeps._train([]) == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("search={optimizer.lr:[2,1]}", "optimizer.lr is [2, 1], but must be [low,high]"),
        ("search={optimizer.lr:[0,1,log]}", "low > 0 with log"),
        ("search={optimizer.lr:3}", "is 3, but must be [low,high]"),
        ("search={optimizer.rate:[1,2]}", "no setting 'optimizer.rate' of a training"),
        ("search={trials:[1,2]}", "no setting 'trials' of a training"),
        ("search={}", "search is empty"),
    ],
)
def test_what_cannot_be_searched_is_refused(run: Run, search: str, message: str) -> None:
    status, _, err = run(search)
    assert status == 2 and message in err and not Path("runs").exists()


def test_two_numbers_are_a_range_anything_else_choices() -> None:
    found = sweeps.spaces(
        {"a": [1, 3], "b": [0.5, 2], "c": [1, 2, 3], "d": [True, False], "e": [1, 8, "log"]}
    )
    assert [type(space).__name__.removesuffix("Distribution") for space in found.values()] == [
        "Int", "Float", "Categorical", "Categorical", "Int",
    ]  # fmt: skip
    assert found["e"].log and not found["a"].log
    with pytest.raises(UsageError, match="must be numbers or words"):
        sweeps.spaces({"a": [[1], [2]]})


def test_a_training_leaves_its_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_both(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    score = json.loads((tmp_path / "run" / sweeps.SCORE).read_text())
    assert score["words"] == 3 and score["wer"] == round(3 * score["wer"]) / 3
    assert score["wer_interval"][0] <= score["wer"] <= score["wer_interval"][1]

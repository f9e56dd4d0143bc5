"""Sweeps: what is varied, trials in their folders, what fails, and the same command going on where it stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.configs.sweeper import space
from speechlstm.configs.trials import table
from speechlstm.types import SpeechlstmError, UsageError

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'speechlstm[tune]'")
Run = Callable[..., tuple[int, str, str]]
SWEEP = [
    "--multirun",
    "hydra/sweeper=optuna",
    "hydra.sweeper.n_trials=4",
    "data.train=a/b.jsonl",
    "data.dev=a/b.jsonl",
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that sweeps over trainings that take no time: their error rate is their learning rate."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, fault: Callable[[DictConfig], None] = lambda cfg: None) -> tuple[int, str, str]:
        @configs.main("train")
        def train(cfg: DictConfig) -> float:
            folder = Path(HydraConfig.get().runtime.output_dir)
            with Path("started.txt").open("a") as log:
                log.write(f"{folder.name} {cfg.optimizer.lr}\n")
            fault(cfg)
            (folder / "score.json").write_text(json.dumps({"wer": cfg.optimizer.lr}))
            return float(cfg.optimizer.lr)

        monkeypatch.setattr("sys.argv", ["train.py", *arguments])
        try:
            train()
            status = 0
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, *capsys.readouterr()

    return call


def started() -> list[str]:
    return Path("started.txt").read_text().splitlines()


def test_a_search_draws_trains_and_shows_the_best_first(run: Run) -> None:
    status, out, _ = run(*SWEEP)
    assert status == 0 and len(set(started())) == 4
    rates = [float(line.split()[1]) for line in started()]
    assert all(5e-4 <= rate <= 5e-3 for rate in rates)
    lines = out[out.index("error rate") :].splitlines()
    assert lines[0].split()[2:] == ["encoder.dropout", "optimizer.lr", "folder"]
    shown = [float(line.split()[2]) for line in lines[1:5]]
    assert shown == sorted(rates)
    assert f"optimizer.lr={min(rates)}" in lines[-1] and lines[-1].startswith("  speechlstm ")
    assert not list(Path("runs/my-speech-sweep").glob("*/b.jsonl*")), "values make one folder, slashes or not"
    assert Path("runs/my-speech-sweep/study.db").exists()


def test_the_same_command_goes_on_and_more_trials_are_more(run: Run) -> None:
    def stop(cfg: DictConfig) -> None:
        if len(started()) == 2:
            raise SystemExit(143)

    assert run(*SWEEP, fault=stop)[0] == 143
    assert run(*SWEEP)[0] == 0
    interrupted = started()
    assert interrupted[1] == interrupted[2] and len(set(interrupted)) == 4, "the second was begun again"
    Path("runs/my-speech-sweep").rename("other")
    run(*SWEEP)
    assert started()[5:] == list(dict.fromkeys(interrupted)), "the draws are those of a sweep in peace"
    assert run(*SWEEP, "hydra.sweeper.n_trials=5")[0] == 0
    assert len(started()) == 10


def test_one_failure_does_not_lose_the_others(run: Run) -> None:
    def fail(cfg: DictConfig) -> None:
        if len(started()) == 1:
            raise UsageError("no")
        if len(started()) == 2:
            raise RuntimeError("out of memory")

    status, out, err = run(*SWEEP, fault=fail)
    assert status == 3 and len(started()) == 4
    assert "error: no" in err and "RuntimeError: out of memory" in err
    assert out.count("\nfailed ") == 2
    status, out, _ = run(
        "--multirun", "optimizer.lr=1e-3,2e-3,3e-3", "data.train=x", "data.dev=x", "out=grid", fault=fail
    )
    assert status == 0 and out.count("launched") == 0 and len(started()) == 7


def test_a_grid_with_failures_trains_the_rest(run: Run) -> None:
    def fail(cfg: DictConfig) -> None:
        if cfg.optimizer.lr < 2e-3:
            raise UsageError("no")

    status, out, _ = run(
        "--multirun", "optimizer.lr=1e-3,2e-3,3e-3", "data.train=x", "data.dev=x", fault=fail
    )
    assert status == 3 and len(started()) == 3
    lines = out[out.index("error rate") :].splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["0.20%", "0.30%", "failed"]
    status, out, _ = run(
        "--multirun", "optimizer.lr=1e-4", "data.train=x", "data.dev=x", "out=none", fault=fail
    )
    assert status == 1 and "best" not in out


def test_a_study_of_other_settings_is_refused(run: Run) -> None:
    run(*SWEEP)
    status, _, err = run(*SWEEP, "seed=2")
    assert status == 2 and re.search(r"is a study with the settings .*seed=2.*another out=", err)
    status, _, err = run(*SWEEP, "hydra.sweeper.n_trials=5", "encoder.dropout=0.1,0.2")
    assert status == 2 and "is a study of other choices" in err


def test_nothing_to_search_is_refused(run: Run) -> None:
    status, _, err = run(*SWEEP, "hydra.sweeper.params=null")
    assert status == 2 and "there is nothing to search" in err


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("a=interval(0.5,1)", "FloatDistribution(high=1.0, log=False, low=0.5, step=None)"),
        ("a=tag(log,interval(1e-4,1e-2))", "FloatDistribution(high=0.01, log=True, low=0.0001, step=None)"),
        ("a=x,y", "CategoricalDistribution(choices=('x', 'y'))"),
        ("a=range(1,4)", "CategoricalDistribution(choices=(1, 2, 3))"),
    ],
)
def test_what_is_drawn_from(override: str, kind: str) -> None:
    assert repr(space(OverridesParser.create().parse_override(override))) == kind


def test_an_interval_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a=interval\(2,1\)"):
        space(OverridesParser.create().parse_override("a=interval(2,1)"))
    with pytest.raises(SpeechlstmError):
        space(OverridesParser.create().parse_override("a=tag(log,interval(0.0,1.0))"))


def test_the_table_shows_what_differs() -> None:
    rows = [
        ("one", {"a": "1", "b": "2"}, 0.5),
        ("two", {"a": "1", "b": "3"}, None),
        ("three", {"a": "1"}, 0.25),
    ]
    assert table(rows).splitlines() == [
        "error rate  b  folder",
        "25.00%         three",
        "50.00%      2  one",
        "failed      3  two",
    ]

"""Losses and gradients that are not finite: skipped, written down with their utterances, and too many end it."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tones import command, fit, last, same
from torch import Tensor

from speechlstm.training.callbacks.nonfinite import SkippedUpdates
from speechlstm.training.loss import CtcLoss

PLAIN = ["data.batch_seconds=1", "~callbacks.averaging", "out=run"]  # three batches an epoch


def steep(loss: Tensor) -> Tensor:
    """Return the loss itself, whose gradient is not a number: the slope of a root at 0 is infinite."""
    return loss + (loss * 0).sqrt()


def spoil(
    monkeypatch: pytest.MonkeyPatch, calls: set[int], how: Callable[[Tensor], Tensor]
) -> list[tuple[Any, Any]]:
    """Spoil the loss of those batches; return the list that gets weights and optimizer after every update."""
    loss, batches = CtcLoss.__call__, iter(range(10**6))

    def spoiled(self: CtcLoss, *args: Any) -> tuple[Tensor, dict[str, float]]:
        found, parts = loss(self, *args)
        return (how(found) if next(batches) in calls else found), parts

    monkeypatch.setattr(CtcLoss, "__call__", spoiled)
    states: list[tuple[Any, Any]] = []
    end = SkippedUpdates.on_train_batch_end

    def watch(self: SkippedUpdates, trainer: Any, model: Any, *args: Any) -> None:
        states.append(copy.deepcopy((dict(model.state_dict()), trainer.optimizers[0].state_dict()["state"])))
        end(self, trainer, model, *args)

    monkeypatch.setattr(SkippedUpdates, "on_train_batch_end", watch)
    return states


def written(path: str = "run/skipped.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    ("how", "loss_is_known"),
    [(lambda loss: loss * math.nan, False), (lambda loss: loss + math.inf, False), (steep, True)],
)
def test_an_update_is_skipped_and_its_utterances_written_down(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: Callable[[Tensor], Tensor],
    loss_is_known: bool,
) -> None:
    states = spoil(monkeypatch, {4}, how)
    _, trainer = fit(*PLAIN, "trainer.max_epochs=2")
    assert trainer.global_step == len(states) == 6
    changed = [not same(before, after) for before, after in itertools.pairwise(states)]
    assert changed == [True, True, True, False, True], "neither weights nor moments after the fifth batch"
    (line,) = written()
    assert (line["epoch"], line["step"], line["rank"]) == (1, 5, 0)
    assert line["utterances"] and set(line["utterances"]) <= {f"train{number}" for number in range(6)}
    assert (line["loss"] is not None) == loss_is_known
    assert (
        "step 5: loss or gradient not finite; skipped, and named in run/skipped.jsonl"
        in capsys.readouterr().err
    )
    assert all(weights.isfinite().all() for weights in last("run")["state_dict"].values())  # type: ignore[attr-defined]


def test_all_batches_of_an_accumulated_update_are_written_down(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, {1}, lambda loss: loss * math.nan)
    fit(
        *PLAIN,
        "trainer.max_epochs=1",
        "+trainer.accumulate_grad_batches=3",
        "callbacks.best.monitor=val/loss",
    )
    lines = written()
    assert [line["loss"] is None for line in lines] == [False, True, False], "which one it was"
    assert sorted(name for line in lines for name in line["utterances"]) == [f"train{i}" for i in range(6)]


def test_too_many_in_a_row_end_the_training_with_the_good_checkpoint(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, {1, *range(3, 99)}, lambda loss: loss * math.nan)
    often = "callbacks.last.every_minutes=0"  # one would be written after every update
    assert command(monkeypatch, *PLAIN, often, "callbacks.skipped.patience=3") == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert (
        len(errors) == 1
        and "was not finite in 3 updates in a row; their utterances are in run/skipped" in errors[0]
    )
    assert [line["step"] for line in written()] == [2, 4, 5, 6], "one alone does not count with the others"
    assert last("run")["global_step"] == 3


def test_no_update_no_word(here: Path) -> None:
    fit(*PLAIN, "trainer.max_epochs=1")
    assert not Path("run/skipped.jsonl").exists()

"""The schedules are PyTorch's, as long as the training, and go on in another length when that is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from tones import fit

from speechlstm import configs
from speechlstm.training import parts
from speechlstm.training.optimization import make_schedule
from speechlstm.types import UsageError


def rates(name: str, steps: int, *settings: str) -> list[float]:
    """Return the learning rate of each update of a training whose peak is 2."""
    cfg = configs.load("train", [f"scheduler={name}", "optimizer.lr=2.0", *settings])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    made = make_schedule(configs.build(cfg.scheduler), optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(made.get_last_lr()[0])
        optimizer.step()
        made.step()
    return found


def test_one_cycle_rises_for_its_share_and_falls_to_nothing() -> None:
    found = rates("one_cycle", 100, "scheduler.pct_start=0.2")
    assert found[0] == pytest.approx(2.0 / 25) and found[19] == max(found) == pytest.approx(2.0)
    assert found[59] == pytest.approx(1.0, abs=0.02), "half way down in the middle of the fall"
    assert all(np.diff(found[:20]) > 0) and all(np.diff(found[19:]) < 0) and found[-1] < 1e-4


def test_cosine_falls_from_the_first_update_on() -> None:
    found = rates("cosine", 100, "scheduler.eta_min=0.2")
    wanted = 0.2 + 1.8 * (1 + np.cos(np.pi * np.arange(100) / 100)) / 2
    np.testing.assert_allclose(found, wanted)


def test_constant_stays_after_its_rise() -> None:
    found = rates("constant", 8, "scheduler.start_factor=0.25", "scheduler.total_iters=3")
    assert found == pytest.approx([0.5, 1.0, 1.5] + [2.0] * 5)


def at_its_end(name: str, trainer: pl.Trainer) -> bool:
    """Return whether a training and its schedule have ended together."""
    (config,) = trainer.lr_scheduler_configs
    length = config.scheduler.state_dict()["total_steps" if name == "one_cycle" else "T_max"]
    return bool(config.scheduler.last_epoch == trainer.global_step == length)


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_a_resumed_training_of_other_length_takes_the_schedule_of_that_length(name: str, here: Path) -> None:
    settings = [f"scheduler={name}", "~scheduler.start_factor", "~scheduler.total_iters", "out=run"]
    fit(*settings, "trainer.max_epochs=2")
    _, trainer = fit(*settings, "trainer.max_epochs=6")
    assert at_its_end(name, trainer)


class Rates(Callback):
    """Keeps the rate of each update."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.found.append(float(optimizer.param_groups[0]["lr"]))


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
def test_a_finished_training_that_gets_more_epochs_learns_at_the_rates_of_all(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"scheduler={name}", "~scheduler.start_factor", "~scheduler.total_iters"]
    seen: list[list[float]] = []
    build = parts.make_trainer

    def watched(cfg: DictConfig) -> pl.Trainer:
        trainer, rates = build(cfg), Rates()
        trainer.callbacks.append(rates)  # type: ignore[attr-defined]
        seen.append(rates.found)
        return trainer

    monkeypatch.setattr(parts, "make_trainer", watched)
    fit(*settings, "out=run", "trainer.max_epochs=2")
    fit(*settings, "out=run", "trainer.max_epochs=6")
    fit(*settings, "out=whole", "trainer.max_epochs=6")
    _, resumed, whole = seen
    assert resumed == pytest.approx(whole[-len(resumed) :]) and 0 < len(resumed) < len(whole)


@pytest.mark.parametrize("name", ["one_cycle", "cosine"])
@pytest.mark.parametrize(("before", "after"), [(0.7, 60.0), (60.0, 0.7)])
def test_a_training_resumed_with_other_batches_comes_to_the_end_of_its_schedule(
    name: str, before: float, after: float, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"scheduler={name}", "~scheduler.start_factor", "~scheduler.total_iters", "out=run"]
    _, trainer = fit(*settings, "trainer.max_epochs=2", f"data.batch_seconds={before}")
    first = trainer.global_step
    model, trainer = fit(*settings, "trainer.max_epochs=3", f"data.batch_seconds={after}")
    batches = trainer.num_training_batches
    assert trainer.global_step == first + batches == model.planned and first != 2 * batches
    assert (
        f"the training was planned with {first} updates and now has {first + batches}"
        in capsys.readouterr().err
    )
    assert at_its_end(name, trainer)


def test_a_training_without_an_end_goes_on_until_its_time_is_over(here: Path) -> None:
    endless = ["out=run", "trainer.max_epochs=-1", "+trainer.max_time=00:00:00:01"]
    _, trainer = fit(*endless)
    assert trainer.global_step > 0
    with pytest.raises(UsageError, match=r"the training has no end: set trainer\.max_epochs"):
        fit(*endless, "out=other", "scheduler=one_cycle", "~scheduler.start_factor", "~scheduler.total_iters")


def test_a_setting_that_does_not_fit_is_named(here: Path) -> None:
    settings = ["scheduler=one_cycle", "~scheduler.start_factor", "~scheduler.total_iters", "out=run"]
    with pytest.raises(UsageError, match=r"a setting under scheduler\. does not fit: .* pct_start"):
        fit(*settings, "scheduler.pct_start=2.0")

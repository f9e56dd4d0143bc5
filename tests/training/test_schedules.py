"""Schedules: each has the shape that its name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from speechlstm import configs
from speechlstm.training.schedules import constant, cosine, noam, one_cycle, plateau
from speechlstm.types import UsageError


def rates(schedule: object, steps: int, **settings: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    made = schedule(optimizer, total_steps=steps, **settings)
    found = []
    for _ in range(steps + 3):
        found.append(made.get_last_lr()[0])
        optimizer.step()
        made.step()
    return found


def test_one_cycle_rises_in_a_line_and_falls_along_a_cosine() -> None:
    found = rates(one_cycle, 100, warmup=0.2, final=0.1)
    assert found[0] == pytest.approx(0.04 * 2) and found[20] == max(found) == pytest.approx(2.0)
    assert np.allclose(np.diff(found[:21], 2), 0)
    assert found[60] == pytest.approx(2 * (0.1 + 0.9 / 2)), "half way down in the middle"
    assert found[100:] == pytest.approx([0.2] * 3), "and it stays there"
    assert all(np.diff(found[20:]) <= 1e-12)
    assert all(math.isfinite(rate) for warmup in (0.0, 1.0) for rate in rates(one_cycle, 5, warmup=warmup))


def test_constant_stays_after_its_rise() -> None:
    assert rates(constant, 6, warmup_steps=3) == pytest.approx([0.5, 1.0, 1.5] + [2.0] * 6)
    assert rates(constant, 2) == pytest.approx([2.0] * 5)


def test_cosine_falls_from_the_first_step_on() -> None:
    found = rates(cosine, 100, final=0.1)
    assert found[0] == 2.0 and found[50] == pytest.approx(2 * 0.55)
    assert found[25] == pytest.approx(2 * (0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2))
    assert found[100:] == pytest.approx([0.2] * 3) and all(np.diff(found) <= 1e-12)


def test_cosine_like_that_of_torch_after_its_rise() -> None:
    found = rates(cosine, 60, warmup_steps=9)
    assert found[:10] == pytest.approx(np.linspace(0.2, 2.0, 10).tolist())
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 51)
    for rate in found[9:60]:
        assert rate == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()


def test_cosine_restarts() -> None:
    found = rates(cosine, 90, cycles=3, final=0.5)
    assert found[0] == found[30] == found[60] == 2.0
    assert found[29] == found[59] == found[89] == pytest.approx(1.0, abs=0.01)
    assert found[90:] == pytest.approx([1.0] * 3)


def test_noam_is_that_of_the_paper_up_to_its_scale() -> None:
    found = np.array(rates(noam, 200, warmup_steps=40))
    step = np.arange(1, 204)
    wanted = np.minimum(step**-0.5, step * 40**-1.5)
    np.testing.assert_allclose(found, 2 * wanted / wanted.max())
    assert found.argmax() == 39 and found.max() == 2.0
    assert rates(noam, 3, warmup_steps=0)[:2] == pytest.approx([2.0, 2 / math.sqrt(2)])


def test_plateau_waits_then_lowers_and_stops_at_the_least() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = plateau(optimizer, total_steps=0, factor=0.5, patience=1, final=0.3)
    found = []
    for loss in [9, 8, 7, 7, 7, 7, 7, 6, 6, 6, 6]:
        schedule.step(loss)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [2, 2, 2, 2, 1, 1, 0.6, 0.6, 0.6, 0.6, 0.6]


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [("cosine", "cycles=0", "scheduler.cycles is 0"), ("plateau", "factor=1.0", "scheduler.factor is 1.0")],
)
def test_what_is_no_schedule_is_refused(name: str, setting: str, message: str) -> None:
    cfg = configs.load("train", [f"scheduler={name}", f"scheduler.{setting}"])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    with pytest.raises(UsageError, match=message):
        configs.build(cfg.scheduler)(optimizer, total_steps=9)

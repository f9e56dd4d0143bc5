"""Averages of the weights: the running mean, and the plain mean of what the last validations found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, WeightAveraging
from tones import fit, last, load
from torch import nn

from speechlstm import configs
from speechlstm.training.callbacks.averaging import CheckpointAveraging, RunningMean, mean
from speechlstm.training.callbacks.interruptions import LastCheckpoint
from speechlstm.training.module import Recognizer
from speechlstm.types import UsageError

MEAN = [
    "callbacks=checkpoint_averaging",
    "callbacks.averaging.last=3",
    "augment=specaugment",
    "data.batch_seconds=1",
]
Weights = dict[str, torch.Tensor]


class Trainer:
    """Counts updates, as Lightning's trainer does."""

    global_step = 0


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.register_buffer("scale", torch.ones(2))
        self.register_buffer("count", torch.tensor(0))


def averaged(callback: WeightAveraging, model: Module, updates: int) -> list[torch.Tensor]:
    """Change the weights so many times and return the mean that the callback keeps."""
    torch.manual_seed(0)
    trainer = Trainer()
    callback.setup(trainer, model, "fit")
    for _ in range(updates):
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights))
        trainer.global_step += 1
        callback.on_train_batch_end(trainer, model, None, None, 0)
    callback.on_train_end(trainer, model)
    return [each.detach() for each in (*model.parameters(), *model.buffers())]


def test_the_mean_is_that_of_lightning() -> None:
    model = Module()
    ours = averaged(RunningMean(0.9), copy.deepcopy(model), 20)
    theirs = averaged(EMAWeightAveraging(decay=0.9), copy.deepcopy(model), 20)
    last = averaged(RunningMean(0.0), copy.deepcopy(model), 20)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.allclose(ours[0], last[0], atol=0.1), "and not the last weights"


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_is_a_share(decay: float) -> None:
    with pytest.raises(UsageError, match=r"averaging.decay is .* must be 0 or more and below 1"):
        RunningMean(decay)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Weights]]:
    """Return the weights that stood in the model before each validation, and those that were validated."""
    weights: dict[str, list[Weights]] = {"trained": [], "validated": []}

    def copy(model: pl.LightningModule) -> Weights:
        return {name: value.clone() for name, value in model.state_dict().items()}

    start, step = LastCheckpoint.on_validation_start, Recognizer.validation_step

    def on_validation_start(self: LastCheckpoint, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        start(self, trainer, module)
        if not trainer.sanity_checking:
            weights["trained"].append(copy(module))

    def validation_step(self: Recognizer, batch: Any, index: int) -> Any:
        if not self.trainer.sanity_checking and index == 0:
            weights["validated"].append(copy(self))
        return step(self, batch, index)

    monkeypatch.setattr(LastCheckpoint, "on_validation_start", on_validation_start)
    monkeypatch.setattr(Recognizer, "validation_step", validation_step)
    return weights


def plain(several: list[Weights]) -> Weights:
    """The oracle: sum and divide, in double precision."""
    return {
        name: sum((each[name].double() for each in several), torch.zeros(())) / len(several)
        for name in several[0]
    }


def assert_close(one: Any, other: Weights) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name].double(), other[name], rtol=1e-6, atol=1e-7)


def test_each_validation_is_of_the_mean_of_the_last(here: Path, seen: dict[str, list[Weights]]) -> None:
    fit(*MEAN, "out=run", "trainer.max_epochs=5")
    trained, validated = seen["trained"], seen["validated"]
    assert len(trained) == len(validated) == 5
    for number, weights in enumerate(validated):
        assert_close(weights, plain(trained[max(0, number - 2) : number + 1]))
    assert not torch.equal(trained[4]["encoder.output.weight"], validated[4]["encoder.output.weight"])
    end: Any = last("run")
    assert_close(end["state_dict"], plain(trained[2:]))
    assert all(torch.equal(end["current_model_state"][name], trained[4][name]) for name in trained[4])
    best = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    chosen = best["global_step"] // 3 - 1
    assert_close(best["state_dict"], plain(trained[max(0, chosen - 2) : chosen + 1]))


def test_validations_within_an_epoch_count(here: Path, seen: dict[str, list[Weights]]) -> None:
    fit(
        *MEAN,
        "out=run",
        "trainer.max_epochs=2",
        "+trainer.val_check_interval=1",
        "callbacks.averaging.last=2",
    )
    assert len(seen["trained"]) == 6
    assert_close(seen["validated"][0], plain(seen["trained"][:1]))
    assert_close(seen["validated"][4], plain(seen["trained"][3:5]))


def test_the_training_itself_is_not_changed(here: Path, seen: dict[str, list[Weights]]) -> None:
    fit(*MEAN, "out=mean")
    fit(*MEAN, "out=none", "callbacks.averaging=null")
    half = len(seen["trained"]) // 2
    for with_mean, without in zip(seen["trained"][:half], seen["trained"][half:], strict=True):
        assert all(torch.equal(with_mean[name], without[name]) for name in without)


def test_what_is_counted_is_the_last_one() -> None:
    one = {"weight": torch.tensor([1.0, 3.0]), "count": torch.tensor(4)}
    other = {"weight": torch.tensor([2.0, 5.0]), "count": torch.tensor(7)}
    result = mean([one, other])
    assert result["weight"].tolist() == [1.5, 4.0] and result["count"].item() == 7


def test_fewer_after_a_resume_forget_the_oldest() -> None:
    callback = CheckpointAveraging(3)
    callback.checkpoints.extend({"w": torch.tensor(float(number))} for number in range(5))
    narrower = CheckpointAveraging(2)
    narrower.load_state_dict(callback.state_dict())
    assert [each["w"].item() for each in narrower.checkpoints] == [3.0, 4.0]


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="0 checkpoints have no mean; last must be 1 or more"):
        CheckpointAveraging(0)


@pytest.mark.parametrize(
    "chosen", ["[checkpoint_averaging,early_stopping]", "[early_stopping,checkpoint_averaging]"]
)
def test_the_choice_stands_beside_others_in_any_order(chosen: str) -> None:
    [callback] = [
        each
        for each in map(configs.build, load(f"callbacks={chosen}").callbacks.values())
        if isinstance(each, WeightAveraging)
    ]
    assert isinstance(callback, CheckpointAveraging) and callback.checkpoints.maxlen == 5
    running = configs.build(load("callbacks.averaging.decay=0.25").callbacks.averaging)
    assert isinstance(running, RunningMean)

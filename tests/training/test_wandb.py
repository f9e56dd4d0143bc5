"""Weights & Biases, without a network: curves, settings, samples and pictures of one run, whatever interrupts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tones import TINY

from speechlstm import configs
from speechlstm.evaluation.plots import can_draw
from speechlstm.training import fit as training
from speechlstm.training.wandb import WandbRun
from speechlstm.types import UsageError

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install 'speechlstm[wandb]'")
SETTINGS = [
    *(setting for setting in TINY if "logger" not in setting),
    "logger=wandb",
    "~logger.tensorboard",
    "logger.wandb.offline=true",
    "out=run",
    "name=tones",
]


@pytest.fixture
def here(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with tones, as nobody who has an account."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    for name, value in {"MODE": "offline", "SILENT": "true", "CONFIG_DIR": "c", "CACHE_DIR": "c"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("HOME", str(here))
    wandb.teardown()  # it keeps the environment that it has read once
    return here


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return what is logged: the run's id, its settings, the values."""
    found: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    original = wandb.Run.log

    def log(self: Any, data: dict[str, Any], *args: Any, **options: Any) -> None:
        found.append((self.id, dict(self.config), data))
        original(self, data, *args, **options)

    monkeypatch.setattr(wandb.Run, "log", log)
    return found


def fit(*settings: str) -> None:
    cfg = configs.load("train", [*SETTINGS, *settings])
    training.fit(cfg, *training.prepare(cfg), Path(cfg.out))


def test_one_run_shows_everything_and_goes_on(here: Path, logged: list[Any]) -> None:
    fit("callbacks=[pictures,gates]", "trainer.max_epochs=2")
    assert wandb.run is None, "the next training of this process has a run of its own"
    first = len(logged)
    fit("callbacks=[pictures,gates]", "trainer.max_epochs=3")
    assert {name for name, _, _ in logged} == {Path("run/wandb/id").read_text()}
    assert all(config["encoder.hidden_size"] == 8 and config["name"] == "tones" for _, config, _ in logged)
    keys = [
        "val/wer",
        "val/loss",
        "val/samples",
        "val/posteriors",
        "gates/layer1_forward/forget_open",
        "lr-AdamW",
    ]
    for key in keys if can_draw() else [each for each in keys if each != "val/posteriors"]:
        steps = [values["trainer/global_step"] for _, _, values in logged if key in values]
        before = [values["trainer/global_step"] for _, _, values in logged[:first] if key in values]
        assert before and steps[len(before) :] and steps == sorted(steps), key
    folders = sorted(Path("run/wandb").glob("offline-run-*"))
    assert len(folders) == 2 and all(list(folder.glob("*.wandb")) for folder in folders)
    tables = [json.loads(path.read_text()) for path in folders[0].rglob("*.table.json")]
    assert len(tables) == 2 and tables[0]["columns"] == ["said", "heard"]
    assert [row[0] for row in tables[0]["data"]] == ["a c", "b"]
    if can_draw():
        pictures = list(folders[0].rglob("posteriors*.png"))
        assert [Image.open(path).width for path in pictures] == [1000, 1000]


def test_without_an_account_it_says_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(
        UsageError, match=r"Weights & Biases refuses: No API key .*; logger\.wandb\.offline=true"
    ):
        fit("logger.wandb.offline=false")
    assert not Path("run/checkpoints").exists()


def test_without_the_package_it_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytorch_lightning.loggers.wandb._WANDB_AVAILABLE", False)
    with pytest.raises(UsageError, match=r"pip install 'speechlstm\[wandb\]'"):
        WandbRun(str(tmp_path), "project", "name")

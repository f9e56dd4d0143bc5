"""Configs: every option composes and builds, and settings are checked."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.model.tokenizer import Characters
from speechlstm.training.optimization import make_schedule
from speechlstm.transcription.cluster import Pool
from speechlstm.types import UsageError

GROUPS = sorted(
    folder.name for folder in configs.CONF.iterdir() if folder.is_dir() and folder.name != "hydra"
)
FILES = sorted(configs.CONF.rglob("*.yaml"), key=str)
OPTIONS = [
    (path.parent.name, path.stem) for path in FILES if path.parent.parent == configs.CONF
]  # plugins test their own
TEXTS = ["the quick brown fox jumps over the lazy dog", "a b c"]


def compose(group: str, name: str, tmp_path: Path) -> DictConfig:
    """Compose an option within the command that has its group."""
    if group == "corpus":
        return configs.load("prepare", [f"corpus={name}", "root=here", "out=there"])
    if group == "executor":
        return configs.load("transcribe", [f"executor={name}"])
    return configs.load("train", [f"{group}={name}", "data.train=train.jsonl", f"out={tmp_path}"])


def optimizer(cfg: DictConfig) -> torch.optim.Optimizer:
    return configs.build(cfg.optimizer)([torch.nn.Parameter(torch.zeros(2))])


BUILD: dict[str, Callable[[DictConfig], Any]] = {
    "features": lambda cfg: configs.build_part("features", cfg.features).num_features,
    "augment": lambda cfg: [configs.build(cfg.augment[part]) for part in ("speed", "waveform", "features")],
    "tokenizer": lambda cfg: configs.build_part("tokenizer", cfg.tokenizer, texts=TEXTS).encode("a b"),
    "encoder": lambda cfg: (
        configs.build_part("encoder", cfg.encoder, num_features=80, vocab_size=30).subsampling
    ),
    "loss": lambda cfg: configs.build(cfg.loss).intermediate,
    "decoder": lambda cfg: (
        configs.build_part("decoder", cfg.decoder, tokenizer=Characters.from_texts(TEXTS)).decode
    ),
    "optimizer": optimizer,
    "scheduler": lambda cfg: make_schedule(configs.build(cfg.scheduler), optimizer(cfg), 100).get_last_lr(),
    "callbacks": lambda cfg: [configs.build(callback) for callback in cfg.callbacks.values()],
    "logger": lambda cfg: [configs.build(logger) for logger in cfg.logger.values()],
    "trainer": lambda cfg: configs.build(cfg.trainer, logger=False, enable_progress_bar=False).max_epochs,
}


def test_every_group_is_built_here() -> None:
    assert {*BUILD, "corpus", "executor", "experiment"} == set(GROUPS)


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_composes_and_builds(
    group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "wandb":
        pytest.importorskip("wandb", reason="wandb is not installed: pip install 'speechlstm[wandb]'")
    cfg = compose(group, name, tmp_path)
    if group == "corpus":  # the importers' own tests read corpora; here their settings must fit
        settings = OmegaConf.to_container(cfg.corpus)
        inspect.signature(get_object(settings.pop("_target_"))).bind(root=Path("here"), **settings)
        return
    if group == "executor":
        settings = OmegaConf.to_container(cfg.executor)
        assert settings.pop("name") == name
        assert settings == (asdict(Pool()) if name == "ray" else {})
        return
    if name in ("phones", "an4_phones", "english"):
        (tmp_path / "small.dic").write_text("".join(f"{word} X\n" for text in TEXTS for word in text.split()))
        cfg.tokenizer.lexicon = str(tmp_path / "small.dic")
    if name == "english":  # its words are of phones, this test's tokens are characters
        cfg.decoder.words = None
        cfg.decoder.lexicon = "none"
    if name in ("subwords", "librispeech_5h"):
        cfg.tokenizer.vocab_size = 29
    if cfg.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        with pytest.raises(UsageError, match=r"cannot build pytorch_lightning.Trainer: No supported gpu"):
            configs.build(cfg.trainer)
        cfg.trainer.accelerator = "cpu"
    for part in BUILD if group == "experiment" else [group]:
        assert BUILD[part](cfg) is not None
    assert not list(tmp_path.rglob("*.ckpt")), "building writes no checkpoints"


MISFITS = [
    (
        ["experiment=an4", "scheduler=cosine"],
        "experiment=an4 sets scheduler.pct_start, which scheduler=cosine does not have: leave it out with "
        "~scheduler.pct_start, or choose another experiment or option",
    ),
    (["experiment=an4", "augment=none"], "experiment=an4 sets augment.speed"),
    (
        ["experiment=an4", "encoder=conformer"],
        "experiment=an4 sets encoder.hidden_size, which encoder=conformer",
    ),
    (
        ["encoder.hidden_size=big"],
        "encoder.hidden_size is 'big', but must be a number, as in encoder.hidden_size=320",
    ),
    (["encoder.residual=1"], "encoder.residual is 1, but must be true or false, as in encoder.residual=true"),
    (["encoder.num_layers=true"], "encoder.num_layers is true, but must be a number"),
    (
        ["encoder.intermediate=2"],
        "encoder.intermediate is 2, but must be a list, as in encoder.intermediate=[]",
    ),
    (
        ["augment=noisy", "augment.waveform.gain.probability=1.5"],
        "augment.waveform.gain.probability is 1.5, but must be a number from 0 to 1",
    ),
    (
        ["augment=noisy", "augment.waveform.gain.decibels=[6,-6]"],
        "augment.waveform.gain.decibels is [6,-6], but must be a list, each a number from -100 to 100, least and",
    ),
    (["augment=noisy", "augment.waveform.noise.snr=[0]"], "augment.waveform.noise.snr is [0], but"),
    (["augment=noisy", "augment.waveform.noise.snr=[a,3]"], "augment.waveform.noise.snr is [a,3], but"),
    (["augment=noisy", "augment.waveform.noise.snr=[nan,3]"], "augment.waveform.noise.snr is [nan,3], but"),
    (["augment=noisy", "augment.waveform.reverb.rt60=[0,1]"], "augment.waveform.reverb.rt60 is [0,1], but"),
    (["augment=noisy", "augment.waveform.band.low=[-5,0]"], "augment.waveform.band.low is [-5,0], but"),
    (
        ["augment.waveform.silence.most=-1"],
        "augment.waveform.silence.most is -1, but must be a number, 0 or more",
    ),
    (
        ["augment.waveform.silence.inside=2"],
        "augment.waveform.silence.inside is 2, but must be a number from 0 to 1",
    ),
    (
        ["augment.features.time_masks=1.5"],
        "augment.features.time_masks is 1.5, but must be a whole number, 0 or more",
    ),
    (
        ["augment.features.time_width=null"],
        "augment.features.time_width is null, but must be a number from 0 to 1",
    ),
    (["augment.speed.low=0.1"], "augment.speed.low is 0.1, but must be a number from 0.25 to 4"),
    (["loss.intermediate=nan"], "loss.intermediate is nan, but must be a number from 0 to 1"),
    (["loss.intermediate=1.1"], "loss.intermediate is 1.1, but must be a number from 0 to 1"),
    (["loss=ctc_crf", "loss.ctc_weight=-0.1"], "loss.ctc_weight is -0.1, but must be a number, 0 or more"),
    (["loss=ctc_crf", "loss.order=4"], "loss.order is 4, but must be a whole number from 2 to 3"),
    (["loss=ctc_crf", "loss.order=true"], "loss.order is true, but must be a whole number from 2 to 3"),
    (
        ["callbacks.averaging.decay=1.0"],
        "callbacks.averaging.decay is 1.0, but must be a number from 0 to 1, without",
    ),
    (
        ["callbacks.last.every_minutes=-1"],
        "callbacks.last.every_minutes is -1, but must be a number, 0 or more",
    ),
    (
        ["callbacks.skipped.patience=0"],
        "callbacks.skipped.patience is 0, but must be a whole number, 1 or more",
    ),
    (
        ["callbacks=gates", "callbacks.gates.every_epochs=0"],
        "callbacks.gates.every_epochs is 0, but must be a whole",
    ),
    (["bundle.dtype=float8"], "bundle.dtype is 'float8', but must be one of float32, float16, as in"),
    (["bundle.path=null"], "bundle.path is null, but must be text"),
    (["name="], "name is '', but must be text"),
    (["data.train=[]"], "data.train is [], but must be text or a list, not empty"),
]


@pytest.mark.parametrize(("overrides", "message"), MISFITS)
def test_what_does_not_fit_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        configs.load("train", overrides)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=an4", "scheduler=cosine", "~scheduler.pct_start"],
        ["experiment=an4", "callbacks=[default,pictures]", "encoder=bgru"],
        ["encoder.projection_size=null", "seed=${sample_rate}", "trainer.devices=[1]"],
        ["+optimizer.betas=[0.9,0.99]", "+callbacks.mine._target_=pytorch_lightning.callbacks.Timer"],
    ],
)
def test_what_fits_is_taken(overrides: list[str]) -> None:
    configs.load("train", overrides)


def test_an_experiment_may_set_arguments_of_other_packages_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ntrainer: {accumulate_grad_batches: 4}\ncallbacks: {mine: {_target_: a.B, c: 1}}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    (tmp_path / "experiment" / "typo.yaml").write_text(text.replace("accumulate_grad", "acumulate_grad"))
    monkeypatch.setattr(sys, "argv", ["train.py", "--config-dir", str(tmp_path)])
    assert configs.load("train", ["experiment=mine"]).trainer.accumulate_grad_batches == 4
    with pytest.raises(
        UsageError, match=r"experiment=typo sets trainer.acumulate_grad_batches, which trainer=auto"
    ):
        configs.load("train", ["experiment=typo"])


def test_a_conf_folder_counts_only_if_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "decoder").mkdir(parents=True)
    (tmp_path / "conf" / "decoder" / "tuned.yaml").write_text("name: beam\nbeam_size: 7\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no decoder 'tuned'"):
        configs.load("transcribe", ["decoder=tuned"])
    monkeypatch.setattr(sys, "argv", ["transcribe.py", "--config-dir=conf"])
    assert configs.load("transcribe", ["decoder=tuned"]).decoder.beam_size == 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(configs.CONF)))
def test_every_setting_says_what_it_is(path: Path) -> None:
    """Settings that only choose another value of a commented one (experiments, variants) may go without."""
    text = path.read_text(encoding="utf-8")
    if path.parent.name == "experiment" or (path.parent != configs.CONF and text.find("defaults:") >= 0):
        assert text.startswith("# "), "the first line of a variant describes it"
        return
    section, bare = "", []
    for line in text.splitlines():
        section = match[1] if (match := re.match(r"(\w+):", line)) else section
        setting = re.match(r"\s*(\w+):\s+([^\s#].*)$", line)
        exempt = section in ("defaults", "hydra") or (
            setting and setting[1] in ("_target_", "_partial_", "name")
        )
        if setting and not exempt and "#" not in line and not setting[2].startswith("${"):
            bare.append(line)
    assert not bare, "settings without a comment"


def test_commands_and_primary_configs_belong_together() -> None:
    commands = {path.stem for path in (Path(configs.__file__).parents[1] / "cli").glob("*.py")} - {
        "__init__",
        "main",
        "devices",
        "completion",
    }
    assert commands == {path.stem for path in configs.CONF.glob("*.yaml")}

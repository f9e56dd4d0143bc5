"""Configs: every option composes and builds, `build` keeps to its rules, and mistakes are explained."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.configs import folders
from speechlstm.model.tokenizer import Characters
from speechlstm.training.module import scheduled
from speechlstm.types import AudioError, SpeechlstmError, TokenizerError, UsageError

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
    "scheduler": lambda cfg: scheduled(configs.build(cfg.scheduler), optimizer(cfg), 100).get_last_lr(),
    "callbacks": lambda cfg: [configs.build(callback) for callback in cfg.callbacks.values()],
    "logger": lambda cfg: [configs.build(logger) for logger in cfg.logger.values()],
    "trainer": lambda cfg: configs.build(cfg.trainer, logger=False, enable_progress_bar=False).max_epochs,
}


def test_every_group_is_built_here() -> None:
    assert {*BUILD, "corpus", "experiment"} == set(GROUPS)


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
        ["experiment=an4", "callbacks=[gates,early_stopping]", "encoder=bgru"],
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


# build


def node(target: str, **params: Any) -> DictConfig:
    return OmegaConf.create({"_target_": target, **params})


def test_build_passes_sizes_as_they_are() -> None:
    texts = ["a ${b} ???", "???"]
    tokenizer = configs.build(
        node("speechlstm.model.tokenizer.Characters.from_texts", case="upper"), texts=texts
    )
    assert tokenizer.decode(tokenizer.encode(texts[0])) == "A ${B} ???"


def test_sizes_come_before_the_config_and_lists_are_plain() -> None:
    cfg = node("speechlstm.model.tokenizer.Characters", tokens=["<blank>", "a"], case="upper")
    tokenizer = configs.build(cfg, case="lower")
    assert tokenizer.rules.case == "lower" and type(tokenizer.tokens) is list


def test_nothing_is_built_from_nothing_and_partial_waits() -> None:
    assert configs.build(None) is None
    made = configs.build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert isinstance(made, partial)
    assert made([torch.nn.Parameter(torch.zeros(1))]).defaults["lr"] == 0.5


@pytest.mark.parametrize(
    "cfg",
    [
        {"_target_": "os.system", "command": "touch here"},
        {"_target_": "speechlstmx.evil"},
        {"_target_": "torch.optim.SGD", "params": {"deep": [{"_target_": "builtins.eval"}]}},
    ],
)
def test_build_refuses_what_is_not_allowed(cfg: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"may only build from speechlstm\., torch.optim\."):
        configs.build(cfg)


@pytest.mark.parametrize(
    ("cfg", "error", "message"),
    [
        (
            node("speechlstm.model.tokenizer.Characters", tokens="???"),
            UsageError,
            "tokens is not set: add tokens=",
        ),
        (node("speechlstm.model.tokenizer.Charakters"), UsageError, "speechlstm.model.tokenizer.Charakters"),
        (
            node("speechlstm.model.tokenizer.Characters", tokns=[]),
            UsageError,
            "cannot build .*Characters: .*'tokns'",
        ),
        (node("torch.optim.SGD", params=[], lr=1.0), UsageError, "cannot build torch.optim.SGD: .*empty"),
        (node("speechlstm.model.tokenizer.Characters", tokens=["a"]), TokenizerError, "first '<blank>'"),
    ],
)
def test_build_explains_what_does_not_fit(
    cfg: DictConfig, error: type[SpeechlstmError], message: str
) -> None:
    with pytest.raises(error, match=message):
        configs.build(cfg)


def test_an_error_of_a_nested_part_keeps_its_kind() -> None:
    inner = node("speechlstm.model.tokenizer.Characters", tokens=["a"])
    with pytest.raises(TokenizerError, match="first '<blank>'"):
        configs.build(node("speechlstm.decoders.create", name="greedy", tokenizer=inner))


# explain, on a small tree of its own


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "run.yaml": """
defaults:
  - encoder: small
  - decoder: greedy
  - experiment: null
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
root: ???
seed: 0
twin: ${root}
debug: false
hydra: {run: {dir: .}, output_subdir: null}
""",
        "need.yaml": "defaults:\n  - encoder: ???\n  - _self_\nroot: 1\n",
        "encoder/small.yaml": "hidden_size: 3\nlayers: 2\n",
        "encoder/other.yaml": "_target_: torch.optim.SGD\nwidth: 3\n",
        "decoder/greedy.yaml": "name: greedy\n",
        "loss/plain.yaml": "weight: 1\n",
        "experiment/first.yaml": "# @package _global_\nseed: 4\n",
        "experiment/broken.yaml": "# @package _global_\ndefaults:\n  - override /encoder: smal\n",
    }
    for name, content in files.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(content)
    monkeypatch.setattr(folders, "CONF", tmp_path / "conf")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = [
    ("sede=4", "no setting 'sede'; did you mean 'seed'?"),
    ("encoder.hiden_size=4", "no setting 'encoder.hiden_size'; did you mean 'encoder.hidden_size'?"),
    ("hidden_size=4", "no setting 'hidden_size'; did you mean 'encoder.hidden_size'?"),
    ("decodr=greedy", "no setting 'decodr'; did you mean 'decoder'?"),
    ("~sede", "no setting 'sede'; did you mean 'seed'?"),
    ("encoder=smal", "no encoder 'smal'; did you mean 'small'?; there are: other, small"),
    ("encoder=xyz", "no encoder 'xyz'; there are: other, small"),
    ("experiment=frist", "no experiment 'frist'; did you mean 'first'?; there are: broken, first"),
    ("experiment=broken", "no encoder 'smal'; did you mean 'small'?; there are: other, small"),
    ("loss=plain", "no setting 'loss'"),  # a group, but none that this command has
    ("+seed=4", "there is a setting 'seed' already: write seed=... without a +"),
    ("call.wav", "'call.wav' is not a setting: write KEY=VALUE"),
    ("root=a(b", "cannot read root=a(b: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'"),
    (
        "root=it's",
        "cannot read root=it's: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'",
    ),
]


@pytest.mark.parametrize(("override", "message"), MISTAKES)
def test_a_mistake_gets_the_nearest(tree: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        configs.load("run", [override])
    assert str(raised.value) == message


def test_the_nearest_key_is_that_of_the_chosen_option(tree: Path) -> None:
    hint = r"did you mean 'encoder.width'\?; for another of torch.optim.SGD, write \+encoder.wdth=\.\.\.$"
    with pytest.raises(UsageError, match=hint):
        configs.load("run", ["encoder=other", "encoder.wdth=3"])


def test_a_group_without_a_choice_lists_its_options(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"encoder is not set: add encoder=\.\.\. with one of: other, small"):
        configs.load("need")


def run(
    task: Callable[[DictConfig], int | None], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> int | str | None:
    """Run a command as its file would, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    try:
        configs.main("run")(task)()
    except SystemExit as leaving:
        return leaving.code
    return 0


@pytest.mark.parametrize(
    ("task", "arguments", "status", "message"),
    [
        (lambda cfg: None, [], 0, ""),
        (lambda cfg: 3, [], 3, ""),
        (lambda cfg: cfg.root and None, ["root=x"], 0, ""),
        (lambda cfg: cfg.root and None, [], 2, "error: root is not set: add root=... to the command line\n"),
        (
            lambda cfg: cfg.twin and None,
            ["twin=${nope}"],
            2,
            "error: twin: Interpolation key 'nope' not found\n",
        ),
        (lambda cfg: 0, ["sede=4"], 2, "error: no setting 'sede'; did you mean 'seed'?\n"),
        (lambda cfg: 0, ["encoder=smal"], 2, "error: no encoder 'smal'; did you mean 'small'?; there are: "),
        (lambda cfg: 0, ["seed=1,2"], 2, "error: seed is '1,2', but must be a number"),
        (lambda cfg: 0, ["hydra.run.dir=conf/run.yaml/x"], 1, "error: conf/run.yaml/x: Not a directory\n"),
        (lambda cfg: 0, ["encoder=null"], 2, "error: a group of settings cannot be null"),
        (
            lambda cfg: int(Path("gone.txt").read_text()),
            [],
            1,
            "error: gone.txt: No such file or directory\n",
        ),
    ],
)
def test_main_turns_results_and_errors_into_exit_status(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: Callable[[DictConfig], int | None],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    assert run(task, monkeypatch, *arguments) == status
    printed = capsys.readouterr().err
    assert printed.startswith(message) and printed.count("\n") == bool(message)
    assert sorted(path.name for path in tree.iterdir()) == ["conf"], "nothing is littered"


@pytest.mark.parametrize(
    ("error", "status"), [(AudioError("a.wav: broken"), 1), (UsageError("a.wav: broken"), 2)]
)
def test_main_prints_the_packages_errors_as_one_line(
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
) -> None:
    def task(cfg: DictConfig) -> int:
        raise error

    assert run(task, monkeypatch) == status
    assert capsys.readouterr().err == "error: a.wav: broken\n"
    with pytest.raises(type(error)):
        run(task, monkeypatch, "debug=true")


def test_a_fault_of_the_program_is_not_hidden(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(cfg: DictConfig) -> int:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        run(task, monkeypatch)


def test_composing_imports_neither_torch_nor_a_decoder() -> None:
    code = (
        "import sys; from speechlstm import configs; configs.load('decoder/greedy')\n"
        "assert 'torch' not in sys.modules and 'speechlstm.decoders' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_tokenizer_settings_reach_the_tokenizer() -> None:
    cfg = configs.load("tokenizer/characters", ["tokenizer.case=upper"])
    tokenizer = configs.build_part("tokenizer", cfg.tokenizer, texts=TEXTS)
    assert isinstance(tokenizer, Characters) and "Q" in tokenizer.tokens and "q" not in tokenizer.tokens


@pytest.mark.parametrize("name", ["characters", "words"])
def test_rules_for_texts_reach_every_tokenizer(name: str) -> None:
    data = ["data.train=a", "data.dev=a", "text.punctuation=strip", "text.language=tr"]
    cfg = configs.load("train", [f"tokenizer={name}", *data])
    tokenizer = configs.build_part("tokenizer", cfg.tokenizer, texts=["Iğdır, izmir!"])
    assert tokenizer.decode(tokenizer.encode("IĞDIR - İZMİR")) == "ığdır izmir"

"""Warm start: settings and weights come along, what fits is copied to where it belongs, what is frozen stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from tones import load
from torch import Tensor

from speechlstm.decoders import create
from speechlstm.model.acoustic import AcousticModel, has_row_per_token
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.installed import CONF
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Characters
from speechlstm.training import warmstart
from speechlstm.training.loss import CtcLoss
from speechlstm.training.module import TrainingModule
from speechlstm.types import SpeechlstmError, UsageError

RATE = 8_000
FEATURES = {"name": "logmel", "sample_rate": RATE, "num_mels": 16}
ENCODER: dict[str, Any] = {
    "name": "blstm",
    "hidden_size": 6,
    "num_layers": 2,
    "conv_channels": 2,
}


def recognizer(alphabet: str, seed: int = 0, **settings: object) -> TrainingModule:
    torch.manual_seed(seed)
    features, tokenizer = LogMel(RATE, 16), Characters.from_texts([alphabet])
    options = {key: value for key, value in (ENCODER | settings).items() if key != "name"}
    encoder = Encoder(features.num_features, len(tokenizer), **options)
    decoder = create("greedy", tokenizer=tokenizer)
    return TrainingModule(AcousticModel(features, encoder), tokenizer, decoder, CtcLoss())


def weights_of(model: TrainingModule) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.acoustic.state_dict().items()}


def saved(folder: Path, alphabet: str = "ab", **settings: object) -> tuple[Path, dict[str, Tensor]]:
    """Write a bundle; return its folder and its weights."""
    model = recognizer(alphabet, 1, **settings)
    config = {"features": FEATURES, "encoder": ENCODER | settings, "name": "first", "sample_rate": RATE}
    save_bundle(Bundle(model.acoustic, model.tokenizer, config), folder / "bundle", "card")
    return folder / "bundle", weights_of(model)


def start(model: TrainingModule, path: Path, verbose: bool = False) -> dict[str, Tensor]:
    """Initialize; return the weights."""
    warmstart.initialize(model, warmstart.read(path), (), verbose)
    return weights_of(model)


def test_the_same_alphabet_gives_the_same_recognizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, theirs = saved(tmp_path)
    found = start(recognizer("ab"), path)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], theirs[name]) for name in theirs)
    count = len(theirs)
    said = f"init_from={path}: {count} of {count} weights copied, 4 of 4 tokens known\n"
    assert capsys.readouterr().err == said.replace(
        "4 of 4", f"{len(Characters.from_texts(['ab']))} of {len(Characters.from_texts(['ab']))}"
    )


def test_tokens_take_their_weights_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, theirs = saved(tmp_path, "bdz")
    model = recognizer("abcd")
    drawn = weights_of(model)
    found = start(model, path, verbose=True)
    old, new = Characters.from_texts(["bdz"]).tokens, model.tokenizer.tokens
    for number, token in enumerate(new):
        source, row = (theirs, old.index(token)) if token in old else (drawn, number)
        assert torch.equal(found["encoder.output.weight"][number], source["encoder.output.weight"][row])
        assert found["encoder.output.bias"][number] == source["encoder.output.bias"][row]
    others = [name for name in theirs if not has_row_per_token(name)]
    assert len(others) > 10 and all(torch.equal(found[name], theirs[name]) for name in others)
    said = capsys.readouterr().err
    assert (
        f"{len(set(old) & set(new))} of {len(new)} tokens known\n" in said and "new tokens: 'a' 'c'\n" in said
    )
    assert "not copied" not in said


def test_what_does_not_fit_is_counted_in_a_line_and_named_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, theirs = saved(tmp_path, num_layers=3, conv_channels=3, subsampling=2)
    model = recognizer("ab")
    drawn = weights_of(model)
    found = start(model, path)
    fits = {name for name in found if theirs[name].shape == found[name].shape}
    assert 0 < len(fits) < len(found)
    for name, value in found.items():
        assert torch.equal(value, (theirs if name in fits else drawn)[name])
    said = capsys.readouterr().err
    assert said.startswith(f"init_from={path}: {len(fits)} of {len(found)} weights copied")
    assert said.endswith("; verbose=true shows details\n") and said.count("\n") == 1
    start(recognizer("ab"), path, verbose=True)
    said = capsys.readouterr().err
    assert "  not copied: encoder.subsample.conv1.weight is of shape 2x1x3x3, there 3x1x3x3\n" in said
    assert "  not copied: encoder.layers.2.rnn.weight_ih_l0 is there only\n" in said
    assert said.count("not copied") == len(found) - len(fits) + len(theirs.keys() - found.keys())


def test_another_network_is_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    model = recognizer("ab", hidden_size=7, conv_channels=3, layer_norm=False)
    before = weights_of(model)
    with pytest.raises(UsageError, match=r"no weight of this encoder fits, .*: encoder\.\S+ is of shape"):
        start(model, path)
    assert all(torch.equal(value, before[name]) for name, value in weights_of(model).items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "config.json: missing"),
        (lambda path: path.write_bytes(b"PK, but no more"), "damaged checkpoint"),
        (
            lambda path: torch.save({"state_dict": {}}, path),
            "no checkpoint of speechlstm: it has no tokenizer",
        ),
    ],
)
def test_what_is_no_recognizer_is_named(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "it")
    with pytest.raises(SpeechlstmError, match=rf"{tmp_path}/it.*{message}"):
        warmstart.read(tmp_path / "it")


# settings


THERE = {
    "features": {"name": "logmel", "sample_rate": RATE, "num_mels": 12},
    "encoder": ENCODER | {"hidden_size": 5, "num_layers": 3, "dropout": 0.9, "intermediate": [1]},
}


def test_a_training_takes_the_settings_of_the_weights() -> None:
    cfg = load("encoder.dropout=0.25")
    changes = warmstart.adopt(cfg, THERE)
    assert (cfg.encoder.hidden_size, cfg.encoder.num_layers, cfg.features.num_mels) == (5, 3, 12)
    assert (cfg.encoder.dropout, list(cfg.encoder.intermediate)) == (0.25, []), (
        "what is of training is its own"
    )
    assert "encoder.num_layers=3 (was 1)" in changes and "features.num_mels=12 (was 20)" in changes
    assert not any("dropout" in change for change in changes)


def test_the_command_line_has_the_last_word() -> None:
    cfg = load()
    warmstart.adopt(cfg, THERE, ["encoder.num_layers=1", "features=mfcc"])
    assert (cfg.encoder.hidden_size, cfg.encoder.num_layers, cfg.features.num_mels) == (5, 1, 20)
    cfg = load("encoder=blstm")
    before = OmegaConf.to_container(cfg.encoder)
    warmstart.adopt(cfg, THERE, ["encoder=blstm"])
    assert OmegaConf.to_container(cfg.encoder) == before


def test_another_kind_of_encoder_comes_whole() -> None:
    cfg = load()
    conformer = {"name": "conformer", "width": 8, "dropout": 0.1}
    warmstart.adopt(cfg, THERE | {"encoder": conformer})
    assert OmegaConf.to_container(cfg.encoder) == conformer


def test_the_encoder_that_an_experiment_has_chosen_stays_and_gets_the_sizes_of_the_weights() -> None:
    cfg = load("encoder=chunked", "encoder.chunk_size=20", "encoder.dropout=0.25")
    changes = warmstart.adopt(cfg, THERE)
    assert (cfg.encoder.name, cfg.encoder.chunk_size, cfg.encoder.dropout) == ("chunked", 20, 0.25)
    assert (cfg.encoder.hidden_size, cfg.encoder.num_layers, cfg.features.num_mels) == (5, 3, 12)
    assert not any("name" in change or "chunk" in change for change in changes)
    cfg = load("encoder=chunked")
    warmstart.adopt(cfg, THERE | {"encoder": {"name": "conformer", "width": 8}})
    assert cfg.encoder.name == "chunked" and "width" not in cfg.encoder
    assert {"encoder": warmstart._DEFAULT} in OmegaConf.load(CONF / "train.yaml").defaults


def test_features_for_another_rate_stay_where_they_were() -> None:
    cfg = load()
    warmstart.adopt(cfg, THERE | {"features": THERE["features"] | {"sample_rate": 16_000}})
    assert cfg.features.num_mels == 20 and cfg.encoder.num_layers == 3


def test_an_installed_bundle_has_a_name() -> None:
    source = warmstart.read("small")
    assert source.settings["encoder"]["num_layers"] == 3 and len(source.weights) > 10


# frozen parts


def test_frozen_parts_have_no_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    model = recognizer("ab")
    warmstart.freeze(model.acoustic.encoder, ["subsample", "layers.0", "output"])
    assert capsys.readouterr().err.startswith(
        "frozen: subsample, layers.0, output; 0.00 million weights are "
    )
    log_probs, lengths = model.train()(torch.randn(2, RATE), torch.tensor([RATE, RATE // 2]))
    model.loss(log_probs, torch.tensor([[1, 2], [2, 0]]), lengths, torch.tensor([2, 1]), [])[0].backward()
    trained = {
        name.split(".")[0]
        for name, weights in model.acoustic.encoder.named_parameters()
        if weights.grad is not None
    }
    assert trained == {"layers", "norm"}
    assert not any(weights.requires_grad for weights in model.acoustic.encoder.layers[0].parameters())
    assert all(weights.grad is not None for weights in model.acoustic.encoder.layers[1].parameters())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            ["layers.7"],
            r"the encoder has no part 'layers.7'; it has: subsample, subsample.conv1, .*layers.1, ",
        ),
        (["layers", "subsample", "norm", "output"], "leaves nothing to train"),
    ],
)
def test_what_cannot_be_frozen_is_refused(parts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        warmstart.freeze(recognizer("ab").acoustic.encoder, parts)

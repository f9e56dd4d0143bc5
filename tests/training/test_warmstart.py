"""Warm start: what fits is copied to where it belongs, what does not is named, and what is frozen stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from speechlstm.decoders import create
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Characters
from speechlstm.training import warmstart
from speechlstm.training.loss import CtcLoss
from speechlstm.training.module import TrainingModule
from speechlstm.types import SpeechlstmError, UsageError

RATE = 8_000
FEATURES = {"name": "logmel", "sample_rate": RATE, "num_mels": 16}
ENCODER = {
    "name": "blstm",
    "hidden_size": 6,
    "num_layers": 2,
    "conv_channels": 2,
}


def recogniser(
    alphabet: str, seed: int = 0, **settings: object
) -> tuple[TrainingModule, dict[str, dict[str, object]]]:
    """Return a recogniser and its settings."""
    torch.manual_seed(seed)
    node = ENCODER | settings
    features, tokenizer = LogMel(RATE, 16), Characters.from_texts([alphabet])
    options = {key: value for key, value in node.items() if key != "name"}
    encoder = Encoder(features.num_features, len(tokenizer), **options)
    decoder = create("greedy", tokenizer=tokenizer)
    return TrainingModule(AcousticModel(features, encoder), tokenizer, decoder, CtcLoss()), {
        "features": FEATURES,
        "encoder": node,
    }


def saved(folder: Path, alphabet: str = "ab", **settings: object) -> tuple[Path, dict[str, Tensor]]:
    """Write a bundle; return its folder and its weights."""
    model, nodes = recogniser(alphabet, 1, **settings)
    config = {**nodes, "name": "first", "sample_rate": RATE}
    save_bundle(Bundle(model.acoustic, model.tokenizer, config), folder / "bundle", "card")
    return folder / "bundle", {name: value.clone() for name, value in model.state_dict().items()}


def start(model: TrainingModule, nodes: dict[str, dict[str, object]], path: Path) -> dict[str, Tensor]:
    """Initialise; return the weights."""
    warmstart.initialise(model, path, nodes)
    return dict(model.state_dict())


def test_the_same_alphabet_gives_the_same_recogniser(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, theirs = saved(tmp_path)
    found = start(*recogniser("ab"), path)
    assert found.keys() == theirs.keys()
    assert all(torch.equal(found[name], theirs[name]) for name in theirs)
    assert capsys.readouterr().err == f"init_from={path}: {len(theirs)} of {len(theirs)} weights copied\n"


def test_tokens_take_their_weights_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, theirs = saved(tmp_path, "bdz")
    model, nodes = recogniser("abcd")
    drawn = {name: value.clone() for name, value in model.state_dict().items()}
    found = start(model, nodes, path)
    old, new = Characters.from_texts(["bdz"]).tokens, model.tokenizer.tokens
    for number, token in enumerate(new):
        source, row = (theirs, old.index(token)) if token in old else (drawn, number)
        assert torch.equal(found["encoder.output.weight"][number], source["encoder.output.weight"][row])
        assert found["encoder.output.bias"][number] == source["encoder.output.bias"][row]
    others = [name for name in theirs if name not in warmstart._OF_TOKENS]
    assert len(others) > 10 and all(torch.equal(found[name], theirs[name]) for name in others)
    said = capsys.readouterr().err
    shared = len(set(old) & set(new))
    assert f"the output layer knows {shared} of {len(new)} tokens; new: 'a' 'c'\n" in said
    assert "not copied" not in said


def test_what_does_not_fit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, theirs = saved(tmp_path, num_layers=3, conv_channels=3, subsampling=2)
    model, nodes = recogniser("ab")
    drawn = {name: value.clone() for name, value in model.state_dict().items()}
    found = start(model, nodes, path)
    fits = {name for name in found if theirs[name].shape == found[name].shape}
    assert 0 < len(fits) < len(found)
    for name, value in found.items():
        assert torch.equal(value, (theirs if name in fits else drawn)[name])
    said = capsys.readouterr().err
    assert said.startswith(f"init_from={path}: {len(fits)} of {len(found)} weights copied\n")
    assert "  not copied: encoder.subsample.conv1.weight is of shape 2x1x3x3, there 3x1x3x3\n" in said
    assert "  not copied: encoder.layers.2.rnn.weight_ih_l0 is there only\n" in said
    assert said.count("not copied") == len(found) - len(fits) + len(theirs.keys() - found.keys())
    assert (
        "it was trained with encoder.conv_channels=3 (here 2), encoder.num_layers=3 (here 2), encoder.sub"
        not in said
    )
    assert "encoder.subsampling" not in said, "the settings of one side only are defaults"


def test_more_layers_than_there_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = saved(tmp_path)
    start(*recogniser("ab", num_layers=3), path)
    assert "  not copied: encoder.layers.2.rnn.weight_ih_l0 is not there\n" in capsys.readouterr().err


def test_another_network_is_refused(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    model, nodes = recogniser("ab", hidden_size=7, conv_channels=3, layer_norm=False)
    nodes["encoder"] |= {"num_layers": 4}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        UsageError, match=r"no weight of this encoder fits; .*encoder.hidden_size=6 \(here 7\)"
    ):
        warmstart.initialise(model, path, nodes)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder"),
        (lambda path: path.mkdir(), "config.json: missing"),
        (lambda path: path.write_bytes(b"PK, but no more"), "damaged checkpoint"),
        (
            lambda path: torch.save({"state_dict": {}}, path),
            "no checkpoint of speechlstm, it lacks 'tokenizer'",
        ),
    ],
)
def test_what_is_no_recogniser_is_named(tmp_path: Path, make: object, message: str) -> None:
    make(tmp_path / "it")
    with pytest.raises(SpeechlstmError, match=rf"{tmp_path}/it.*{message}"):
        warmstart.initialise(*recogniser("ab")[:1], tmp_path / "it", {})


# frozen parts


def test_frozen_parts_have_no_gradient(capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = recogniser("ab")
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
        warmstart.freeze(recogniser("ab")[0].encoder, parts)

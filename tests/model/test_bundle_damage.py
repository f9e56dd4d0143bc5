"""Damage of every kind to a bundle is named, and nothing of a bundle is executed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_bundle import edit, edit_weights

from speechlstm import __version__
from speechlstm.model.bundle import load_bundle
from speechlstm.types import BundleError


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder, and no installed model of that name; installed are: small"),
    "no config": (lambda b: (b / "config.json").unlink(), r"config\.json: missing"),
    "no weights": (lambda b: (b / "model.safetensors").unlink(), r"model\.safetensors: missing"),
    "weights cut short": (lambda b: truncate(b / "model.safetensors"), r"model\.safetensors: damaged"),
    "config cut short": (lambda b: truncate(b / "config.json"), r"config\.json: damaged"),
    "config not UTF-8": (lambda b: (b / "config.json").write_bytes(b"\xff\xfe{}"), r"config\.json: damaged"),
    "newer format": (
        lambda b: edit(b, lambda c: c.update(format=99)),
        r"format 99, but this version .* reads 2",
    ),
    "no format": (lambda b: edit(b, lambda c: c.pop("format")), r"format None"),
    "no encoder": (lambda b: edit(b, lambda c: c.pop("encoder")), r"config\.json: no 'encoder'"),
    "no features": (lambda b: edit(b, lambda c: c.pop("features")), r"config\.json: no 'features'"),
    "no tokenizer": (lambda b: edit(b, lambda c: c.pop("tokenizer")), r"config\.json: no 'tokenizer'"),
    "no sample rate": (lambda b: edit(b, lambda c: c.pop("sample_rate")), r"config\.json: no 'sample_rate'"),
    "other sample rate": (
        lambda b: edit(b, lambda c: c.update(sample_rate=16000)),
        "not that of the features",
    ),
    "sample rate a word": (
        lambda b: edit(b, lambda c: c.update(sample_rate="fast")),
        r"config\.json: sample_rate",
    ),
    "encoder a word": (lambda b: edit(b, lambda c: c.update(encoder="lstm")), r"config\.json: encoder"),
    "features null": (lambda b: edit(b, lambda c: c.update(features=None)), r"config\.json: features"),
    "name a list": (lambda b: edit(b, lambda c: c.update(name=["x"])), r"config\.json: name"),
    "tokenizer of no kind": (
        lambda b: edit(b, lambda c: c["tokenizer"].update(kind="runes")),
        r"kind is 'runes'",
    ),
    "tokens missing": (lambda b: edit(b, lambda c: c["tokenizer"].pop("tokens")), "damaged description"),
    "a token too few": (lambda b: edit(b, lambda c: c["tokenizer"]["tokens"].pop()), "do not fit together"),
    "other size": (lambda b: edit(b, lambda c: c["encoder"].update(hidden_size=9)), "do not fit together"),
    "impossible size": (
        lambda b: edit(b, lambda c: c["encoder"].update(hidden_size=-1)),
        "do not fit together",
    ),
    "size a word": (lambda b: edit(b, lambda c: c["encoder"].update(hidden_size="x")), "do not fit together"),
    "unknown argument": (lambda b: edit(b, lambda c: c["encoder"].update(depth=9)), "do not fit together"),
    "hop nothing": (lambda b: edit(b, lambda c: c["features"].update(hop=0.0)), "do not fit together"),
    "a tensor missing": (
        lambda b: edit_weights(b, lambda t: t.pop("encoder.output.bias")),
        "do not fit together: .*output.bias",
    ),
    "a tensor too many": (
        lambda b: edit_weights(b, lambda t: t.update({"encoder.extra": torch.ones(2)})),
        "do not fit together: .*extra",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(small: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(small)
    with pytest.raises(BundleError, match=message) as raised:
        load_bundle(small)
    assert str(raised.value).startswith(str(small)) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("encoder", {"name": "os.system"}, "needs encoder 'os.system', which is not installed"),
        ("encoder", {"name": "logmel"}, "needs encoder 'logmel', which is not installed"),
        ("features", {"name": None}, "features must be chosen by name, but is None; installed are: .*logmel"),
        ("features", {"name": ["logmel"]}, r"by name, but is \['logmel'\]"),
        (
            "encoder",
            {"_target_": "os.system", "command": "touch executed"},
            "do not fit together: .*'_target_'",
        ),
        ("features", {"hop": {"_target_": "os.system", "command": "touch executed"}}, "do not fit together"),
    ],
)
def test_nothing_but_installed_parts_is_built(
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    change: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    edit(small, lambda config: config[stage].update(change))
    with pytest.raises(BundleError, match=message):
        load_bundle(small)
    assert not (tmp_path / "executed").exists()


def test_a_class_is_no_name(small: Path) -> None:
    edit(small, lambda config: config.update(encoder={"_target_": "os.system"}))
    with pytest.raises(BundleError, match=r"encoder must be chosen by name, but is 'os\.system'"):
        load_bundle(small)


def test_a_part_that_is_not_installed_is_asked_for_by_its_package(small: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        assert config["packages"] == dict.fromkeys(
            ("features", "encoder", "tokenizer"), f"speechlstm {__version__}"
        )
        config["encoder"]["name"] = "minlstm9"
        config["packages"]["encoder"] = "speechlstm-minlstm9 0.3"

    edit(small, change)
    wanted = (
        "needs encoder 'minlstm9', .*it came with speechlstm-minlstm9 0.3: pip install speechlstm-minlstm9$"
    )
    with pytest.raises(BundleError, match=wanted):
        load_bundle(small)


def test_weights_that_are_a_pickle_are_not_unpickled(small: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"encoder.output.bias": Trap()}, small / "model.safetensors")
    with pytest.raises(BundleError, match=r"model\.safetensors: damaged"):
        load_bundle(small)
    assert not (tmp_path / "executed").exists()

"""Bundles whose weights or self-test are damaged: what is wrong with which tensor, at once and in little memory."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from headers import change_header
from safetensors.torch import load_file, save_file
from tiny_bundle import ENCODER, Damage, config, refused

from speechlstm.model.bundle import load_bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.reading import read_tensors
from speechlstm.model.selftest import verify
from speechlstm.types import BundleError

WEIGHTS = sorted(Encoder(16, 8, **ENCODER).state_dict())


def weights(change: Callable[[dict[str, torch.Tensor]], object], file: str = "model.safetensors") -> Damage:
    def damage(tiny: Path) -> None:
        tensors = load_file(tiny / file)
        change(tensors)
        save_file(tensors, tiny / file)

    return damage


def header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the header of the weights and leave the numbers."""

    return lambda tiny: change_header(tiny / "model.safetensors", change)


OF_A_TENSOR: dict[str, tuple[Callable[[dict[str, torch.Tensor], str], object], str]] = {
    "NaN": (lambda t, name: t[name].view(-1)[-1:].fill_(torch.nan), "has numbers that are NaN"),
    "infinite": (lambda t, name: t[name].view(-1)[:1].fill_(-torch.inf), "has infinite numbers"),
    "whole numbers": (lambda t, name: t.update({name: t[name].to(torch.int32)}), "is of type torch.int32"),
    "another shape": (
        lambda t, name: t.update({name: t[name][None].clone()}),
        "do not fit together: .* must be .*, but is ",
    ),
    "missing": (
        lambda t, name: t.pop(name),
        r"model\.safetensors: .* do not fit together: by config.json, .* is missing",
    ),
}


def test_the_first_wrong_tensors_are_named_with_both_shapes(tiny: Path) -> None:
    config(encoder__hidden_size=9)(tiny)
    message = r"model\.safetensors: .* must be \(18, 8\), but is \(16, 8\); .*; and \d+ more; put back"
    with refused(tiny, message=message):
        load_bundle(tiny)


@pytest.mark.parametrize("kind", OF_A_TENSOR)
@pytest.mark.parametrize("name", [f"encoder.{name}" for name in WEIGHTS])
def test_a_tensor_that_is_wrong_is_named(tiny: Path, name: str, kind: str) -> None:
    change, message = OF_A_TENSOR[kind]
    weights(lambda tensors: change(tensors, name))(tiny)
    with refused(tiny, message=message):
        load_bundle(tiny)


def at(name: str, **changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda about: about[name].update(changes)


BIAS = "encoder.output.bias"
HEADERS: dict[str, Damage] = {
    **{f"dtype {dtype}": header(at(BIAS, dtype=dtype)) for dtype in ("F4", "F6_E2M3", "F8_E5M2", "C64", "U64", "", 5)},
    "huge shape": header(at(BIAS, shape=[10**15])),
    "shape beyond 64 bits": header(at(BIAS, shape=[10**30])),
    "negative shape": header(at(BIAS, shape=[-8])),
    "empty shape of much": header(at(BIAS, shape=[0, 10**15])),
    "shape a text": header(at(BIAS, shape="8")),
    "offsets beyond the file": header(at(BIAS, data_offsets=[0, 10**12])),
    "offsets reversed": header(at(BIAS, data_offsets=[32, 0])),
    "offsets of another tensor": header(at(BIAS, data_offsets=[0, 32])),
    "no dtype": header(lambda about: about[BIAS].pop("dtype")),
    "a tensor too many": header(lambda about: about.update(more=about[BIAS])),
    "all gone": header(dict.clear),
    "another name": header(lambda about: about.update({"x" * 10**6: about.pop(BIAS)})),
    "header longer than the file": lambda tiny: (tiny / "model.safetensors").write_bytes(
        struct.pack("<Q", 2**63) + b"{}"
    ),
    "header no JSON": lambda tiny: (tiny / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"[[[["),
    "cut short": lambda tiny: os.truncate(tiny / "model.safetensors", 2000),
    "a tensor of the self-test": weights(lambda tensors: tensors.update(waveform=torch.zeros(9))),
    "a pickle": lambda tiny: torch.save({}, tiny / "model.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_weights_with_a_wrong_header(tiny: Path, name: str) -> None:
    HEADERS[name](tiny)
    with refused(tiny) as caught:
        load_bundle(tiny)
    for foreign in ("deserializing", "expected", "line 1 column", "usize", "Error"):  # words of the library's
        assert foreign not in str(caught.value)


TENSOR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


@pytest.mark.parametrize(
    ("about", "numbers", "message"),
    [
        (b"", 16, "its header is cut short, or it is no safetensors file"),
        (b"{nope", 16, "its header is not JSON"),
        (b"\xff{}", 16, "its header is not JSON"),
        (b"[" * 3000, 16, "its header is not JSON"),
        (b"null", 16, "its header is not a JSON object"),
        ({"a": TENSOR}, 13, "13 bytes of numbers follow its header, which tells of 16"),
        ({"a": TENSOR | {"dtype": "Q9"}}, 16, "its header gives 'a' the type 'Q9', but can be BOOL"),
        ({"a": TENSOR | {"shape": [5]}}, 16, "its header gives 'a' 16 bytes, but its type and shape need 20"),
        ({"a": TENSOR | {"shape": [-1]}}, 16, "'a' a shape that is not a list of whole numbers from 0"),
        ({"a": TENSOR | {"shape": [2**60] * 2000}}, 16, "'a' a shape of more numbers than any file holds"),
        ({"a": TENSOR | {"data_offsets": [16, 0]}}, 16, "'a' a place that is not its beginning and its end"),
        ({"a": {"shape": [4]}}, 16, "its header gives 'a' no type, shape, or place"),
        ({"a": TENSOR, "b": TENSOR}, 16, "by its header, numbers of two tensors overlap, or belong to none"),
        ({"__metadata__": {"x": 5}, "a": TENSOR}, 16, "what its header says of the file are not all texts"),
    ],
)
def test_how_a_safetensors_file_is_damaged(tmp_path: Path, about: Any, numbers: int, message: str) -> None:
    text = about if isinstance(about, bytes) else json.dumps(about).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(numbers))
    with pytest.raises(BundleError) as caught:
        read_tensors(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: damaged: ") and message in said and said.endswith("; copy it again")
    path.write_bytes(struct.pack("<Q", len(good := json.dumps({"a": TENSOR}))) + good.encode() + bytes(16))
    assert read_tensors(path)["a"].tolist() == [0.0] * 4


SELFTESTS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "no waveform": lambda t: t.pop("waveform"),
    "no log-probabilities": lambda t: t.pop("log_probs"),
    "a waveform of rank 2": lambda t: t.update(waveform=t["waveform"][None].clone()),
    "a waveform of rank 0": lambda t: t.update(waveform=torch.tensor(0.5)),
    "an empty waveform": lambda t: t.update(waveform=torch.zeros(0)),
    "a long waveform": lambda t: t.update(waveform=torch.zeros(61 * 8000)),
    "a waveform of whole numbers": lambda t: t.update(waveform=torch.zeros(8000, dtype=torch.int64)),
    "a waveform of NaN": lambda t: t["waveform"].fill_(torch.nan),
    "log-probabilities of rank 3": lambda t: t.update(log_probs=t["log_probs"][None].clone()),
    "log-probabilities of fewer tokens": lambda t: t.update(log_probs=t["log_probs"][:, 1:].clone()),
    "log-probabilities of whole numbers": lambda t: t.update(log_probs=t["log_probs"].to(torch.int32)[:3]),
}


@pytest.mark.parametrize("name", SELFTESTS)
def test_a_self_test_that_is_none(tiny: Path, name: str) -> None:
    weights(SELFTESTS[name], "selftest.safetensors")(tiny)
    with refused(tiny):
        verify(load_bundle(tiny))

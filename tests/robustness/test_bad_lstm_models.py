"""LSTM language models that are damaged or hostile: one sentence each, at once and in little memory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from headers import change_header
from safetensors.torch import load_file, save, save_file
from tiny_bundle import NO_FILES, instead, make, refused

import speechlstm
from speechlstm.decoders.lm.lstm import KIND, MARKS, LstmLM, load_lstm
from speechlstm.model.selftest import save_bundle
from speechlstm.types import SpeechlstmError

Tensors = dict[str, torch.Tensor]
WORDS = [*MARKS, "a", "bad", "cafe"]
NAMES = sorted(LstmLM(WORDS, 4, 6).state_dict())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    LstmLM(WORDS, 4, 6).save(tmp_path / "lm.safetensors")
    return tmp_path / "lm.safetensors"


@pytest.mark.parametrize("kind", NO_FILES)
def test_a_file_that_is_none(model: Path, kind: str) -> None:
    instead(kind)(model)
    with refused(model, SpeechlstmError, "damaged|no such file"):
        load_lstm(model)


CHANGES: dict[str, tuple[Callable[[Tensors, str], object], str]] = {
    "NaN": (lambda t, name: t[name].view(-1)[-1:].fill_(torch.nan), "has numbers that are NaN"),
    "infinite": (lambda t, name: t[name].view(-1)[:1].fill_(-torch.inf), "whole or infinite numbers"),
    "whole numbers": (lambda t, name: t.update({name: t[name].to(torch.int32)}), "whole or infinite numbers"),
    "another rank": (lambda t, name: t.update({name: t[name][None].clone()}), "is of shape"),
    "one row less": (lambda t, name: t.update({name: t[name][1:].clone()}), "is of shape"),
    "empty": (lambda t, name: t.update({name: t[name][:0].clone()}), "is of shape"),
    "missing": (lambda t, name: t.pop(name), "is of shape"),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_that_is_wrong(model: Path, name: str, kind: str) -> None:
    change, message = CHANGES[kind]
    tensors = load_file(model)
    change(tensors, name)
    save_file(tensors, model, {KIND: json.dumps(WORDS)})
    with refused(model, SpeechlstmError, message):
        load_lstm(model)


def test_a_tensor_too_many(model: Path) -> None:
    save_file({**load_file(model), "more": torch.zeros(1)}, model, {KIND: json.dumps(WORDS)})
    with refused(model, SpeechlstmError, "damaged: more is of shape"):
        load_lstm(model)


METADATA: dict[str, tuple[Any, str]] = {
    "none": (None, "not an LSTM language model that this version reads"),
    "of another program": ({"format": "pt"}, "not an LSTM language model"),
    "of a later version": ({KIND[:-1] + "2": json.dumps(WORDS)}, "not an LSTM language model"),
    "a number": ({KIND: "5"}, "its words must be a list of distinct texts"),
    "no JSON": ({KIND: "words"}, "its words must be a list"),
    "deep": ({KIND: "[" * 100_000}, "its words must be a list"),
    "a long number": ({KIND: "1" * 10_000}, "its words must be a list"),
    "without the marks": ({KIND: '["a", "b", "c", "d", "e", "f"]'}, "that begins with <s>, </s>, <unk>"),
    "a word twice": ({KIND: json.dumps([*WORDS[:-1], "a"])}, "its words must be a list of distinct"),
    "a number among them": ({KIND: json.dumps([*WORDS[:-1], 5])}, "its words must be a list"),
    "half a surrogate pair": ({KIND: json.dumps([*WORDS[:-1], "\ud83d"])}, "its words must be a list"),
    "a word too few": ({KIND: json.dumps(WORDS[:-1])}, "must be .5,. for 5 words"),
    "many words": ({KIND: json.dumps([*MARKS, *map(str, range(200_000))])}, "for 200,003 words"),
}


@pytest.mark.parametrize("kind", METADATA)
def test_words_that_are_wrong(model: Path, kind: str) -> None:
    metadata, message = METADATA[kind]
    save_file(load_file(model), model, metadata)
    with refused(model, SpeechlstmError, message):
        load_lstm(model)


def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return lambda path: change_header(path, change)


HEADERS: dict[str, Callable[[Path], object]] = {
    "huge shape": header(lambda about: about["bias"].update(shape=[10**15])),
    "empty shape of much": header(lambda about: about["projection.weight"].update(shape=[0, 10**15])),
    "metadata a text": header(lambda about: about.update(__metadata__="words")),
    "metadata of numbers": header(lambda about: about.update(__metadata__={KIND: 5})),
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 5),
    "no numbers at all": lambda path: path.write_bytes(save({}, {KIND: json.dumps(WORDS)})),
    "an n-gram model": lambda path: path.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n\n\\end\\\n"),
    "a pickle": lambda path: torch.save({}, path),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_is_wrong(model: Path, kind: str) -> None:
    HEADERS[kind](model)
    with refused(model, SpeechlstmError):
        load_lstm(model)


# the second pass of a bundle

ARPA = "\\data\\\nngram 1=4\n\n\\1-grams:\n-1\ta\n-1\tbad\n-1\tcafe\n-1\t</s>\n\n\\end\\\n"


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """Return a bundle with an n-gram model and an LSTM."""
    bundle = make()
    bundle.decoder = {"name": "beam", "lm": "lm.arpa", "rescore": "lm.safetensors", "rescore_weight": 0.4}
    save_bundle(bundle, tmp_path / "tiny", "")
    (tmp_path / "tiny/lm.arpa").write_text(ARPA)
    shutil.copy(model, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_bundle_brings_its_second_pass(folder: Path) -> None:
    decoder: Any = speechlstm.load(folder).create_decoder()
    assert decoder.second_pass.lstm.words == WORDS
    again: Any = speechlstm.load(folder).create_decoder(rescore=None)
    assert again.second_pass is None


SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "a missing file": ({"rescore": "gone.safetensors"}, r"decoder\.json: rescore is 'gone\.safetensors', which is no"),
    "a file elsewhere": ({"rescore": "/etc/passwd"}, r"decoder\.json: rescore is '/etc/passwd', which is no file"),
    "a file above": ({"rescore": "../lm.safetensors"}, r"decoder\.json: rescore is"),
    "the weights of the encoder": ({"rescore": "model.safetensors"}, r"model\.safetensors: not an LSTM language"),
    "the n-gram model": ({"rescore": "lm.arpa"}, r"lm\.arpa: damaged"),
    "no n-gram model": ({"lm": None}, r"decoder\.json: decoder\.rescore needs an n-gram model of words"),
    "a weight above 1": ({"rescore_weight": 2}, r"decoder\.json: decoder\.rescore_weight is 2"),
    "too many": ({"rescore_best": 10**9}, r"decoder\.json: decoder\.rescore_best is 1000000000"),
    "a number for a file": ({"rescore": 5}, r"decoder\.json: decoder\.rescore is 5"),
    "a list for a file": ({"rescore": ["lm.safetensors"]}, r"decoder\.json: decoder\.rescore is"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_second_pass_that_cannot_be_made(folder: Path, kind: str) -> None:
    changes, message = SETTINGS[kind]
    about = json.loads((folder / "decoder.json").read_text())
    (folder / "decoder.json").write_text(json.dumps(about | changes))
    with refused(folder, SpeechlstmError, message):
        speechlstm.load(folder).create_decoder()

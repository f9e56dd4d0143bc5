"""`build` keeps to its rules."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.types import SpeechlstmError, TokenizerError, UsageError


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

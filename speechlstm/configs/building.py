"""Builds what a config node describes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from speechlstm.model import registry
from speechlstm.types import SpeechlstmError, UsageError

_TARGETS = ("speechlstm.", "torch.optim.", "pytorch_lightning.")  # what a config may instantiate


def build(cfg: DictConfig | dict[str, Any] | None, /, *args: Any, **sizes: Any) -> Any:
    """Make the object a config node describes; `sizes` are what follows from other stages.

    Raises:
        UsageError: the node's `_target_` lies outside the allowed packages, or its arguments do not fit.
    """
    if cfg is None:
        return None
    node = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(cfg)
    if unset := sorted(key for key in OmegaConf.missing_keys(node) if key.rpartition(".")[2] not in sizes):
        raise UsageError(f"{unset[0]} is not set: add {unset[0]}=... to the command line")
    for target in _targets(OmegaConf.to_container(node, resolve=False)):
        if not str(target).startswith(_TARGETS):
            raise UsageError(f"config asks for {target!r}, but may only build from {', '.join(_TARGETS)}")
    try:
        # Hydra would make config nodes of `args` and `sizes`: slow for many texts, wrong for one with "${".
        make = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        return functools.partial(make, *args, **sizes) if node.get("_partial_") else make(*args, **sizes)
    except (SpeechlstmError, OSError):
        raise
    except Exception as error:  # whatever the constructors of other packages raise
        inner = isinstance(error, hydra.errors.InstantiationException)
        cause = error.__cause__ if inner and error.__cause__ else error
        if isinstance(cause, SpeechlstmError):
            raise cause from None
        raise UsageError(f"cannot build {node.get('_target_')}: {cause}") from error


def build_part(stage: str, cfg: DictConfig | dict[str, Any], /, **sizes: Any) -> Any:
    """Make the part of a recognizer that a config node names.

    Args:
        stage: features, encoder, tokenizer or decoder.
        cfg: the name of the part, and its settings.
        **sizes: what follows from other stages; goes before settings of that name.

    Raises:
        UsageError: no such part, a setting that it does not take, or one that is not set.
        PluginError: it cannot be imported or made.
    """
    node = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(cfg)
    missing = (key.removeprefix(f"{stage}.") for key in OmegaConf.missing_keys(node))
    if unset := sorted(key for key in missing if key not in sizes):
        raise UsageError(f"{stage}.{unset[0]} is not set: add {stage}.{unset[0]}=... to the command line")
    settings: Any = OmegaConf.to_container(node, resolve=True)
    if not isinstance(settings.get("name"), str):
        known = ", ".join(registry.names(stage))
        raise UsageError(f"{stage} has no name, which its YAML must give, as name: NAME; there are: {known}")
    return registry.create(stage, **{**settings, **sizes})


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)

"""The only calls into Hydra: `main` runs a command with its config, `build` makes what a node describes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from speechlstm.configs.folders import option_names
from speechlstm.model.installed import CONF

if TYPE_CHECKING:
    from speechlstm.configs.building import build, build_part
    from speechlstm.configs.composing import load, task_overrides
    from speechlstm.configs.program import main

__all__ = ["CONF", "build", "build_part", "load", "main", "option_names", "task_overrides"]

_PLACES = {
    "build": "building",
    "build_part": "building",
    "load": "composing",
    "main": "program",
    "task_overrides": "composing",
}


def __getattr__(name: str) -> Any:
    """Import Hydra only when it is needed: the help of a command is written without it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"speechlstm.configs.{_PLACES[name]}"), name)

"""The only calls into Hydra: `main` runs a command with its config, `build` makes what a node describes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from speechlstm.configs.folders import option_names as option_names
from speechlstm.model.installed import CONF as CONF

if TYPE_CHECKING:
    from speechlstm.configs.building import build as build
    from speechlstm.configs.building import build_part as build_part
    from speechlstm.configs.composing import given_settings as given_settings
    from speechlstm.configs.composing import load as load
    from speechlstm.configs.composing import task_overrides as task_overrides
    from speechlstm.configs.program import arguments_again as arguments_again
    from speechlstm.configs.program import inputs as inputs
    from speechlstm.configs.program import main as main
    from speechlstm.configs.program import reads as reads

_PLACES = {
    "building": ("build", "build_part"),
    "composing": ("given_settings", "load", "task_overrides"),
    "program": ("arguments_again", "inputs", "main", "reads"),
}


def __getattr__(name: str) -> Any:
    """Import Hydra only when it is needed: the help of a command is written without it."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"speechlstm.configs.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

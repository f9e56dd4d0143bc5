"""Whether settings fit the options beside them: keys that the options have, values of their kind."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict

from speechlstm.configs import folders
from speechlstm.configs.arguments import given_keys
from speechlstm.configs.help import ConfigFile, read
from speechlstm.configs.limits import Limit, limits
from speechlstm.configs.limits import check as check_limits
from speechlstm.configs.mistakes import settings
from speechlstm.model.registry import nearest
from speechlstm.types import UsageError


def check(
    cfg: DictConfig, plain: DictConfig, config_name: str, choices: Mapping[str, Any], overrides: Sequence[str]
) -> None:
    """See that a config has only the settings that its options have, with values that fit.

    `plain` is composed of the same options, without an experiment and without settings. What `overrides` add by a + may
    be new.

    Raises:
        UsageError: a setting of the experiment that the options do not have, or a value that does not fit.
    """
    path = folders.CONF / f"{config_name}.yaml"
    file = read(path) if path.is_file() else ConfigFile()
    _refuse_left_out(cfg, file, overrides)
    added = given_keys(each for each in overrides if each.startswith("+"))
    ours: Any = OmegaConf.to_container(cfg, resolve=False)
    theirs: Any = OmegaConf.to_container(plain, resolve=False)
    for key in _misfits(ours, theirs, "") if choices.get("experiment") else ():
        if not f"{key}.".startswith(tuple(f"{each}." for each in added)):
            group = key.partition(".")[0]
            option = f"{group}={choices[group]}" if choices.get(group) else "this command"
            raise UsageError(
                f"experiment={choices.get('experiment')} sets {key}, which {option} does not have: "
                f"leave it out with ~{key}, or choose another experiment or option"
            )
    _refuse_added(added, dict(settings(theirs)), file)
    own = dict(_own(ours, theirs, ""))
    for key, value in own.items():
        inner = next((each for each in file.settings if each.startswith(f"{key}.")), None)
        if inner and not isinstance(value, dict):
            raise UsageError(f"{key} is {value!r}, but holds several settings: set one, as in {inner}=...")
    for key, value in _numbers(ours, ""):
        if not math.isfinite(value):
            raise UsageError(f"{key} is {value}, but must be a finite number")
    check_limits(_filled_in(cfg, own), _limits(file, choices), dict(settings(theirs)))


def _refuse_left_out(cfg: DictConfig, file: ConfigFile, overrides: Sequence[str]) -> None:
    """Let a command do without callbacks or loggers, and nothing else."""
    for key in given_keys(each for each in overrides if each.startswith("~")):
        if key in ("callbacks", "logger"):
            with open_dict(cfg):
                cfg[key] = {}
        elif key in file.groups or any(f"{each}.".startswith(f"{key}.") for each in file.settings):
            raise UsageError(f"{key} cannot be left out by ~{key}: give it another value by {key}=...")


def _refuse_added(added: Sequence[str], known: Mapping[str, Any], file: ConfigFile) -> None:
    """Let `+KEY=...` add to a group, whose parts know their settings, or where nothing is set, but not to a command."""
    for key in added:
        if "/" in key or "@" in key or key.partition(".")[0] in {*file.groups, "hydra", "experiment"}:
            continue
        parents = [key.rsplit(".", count)[0] for count in range(1, key.count(".") + 1)]
        if key not in known and not any(known.get(parent, key) in ({}, None) for parent in parents):
            raise UsageError(f"no setting {key!r}{nearest(key, sorted(known))}")


def _limits(file: ConfigFile, choices: Mapping[str, Any]) -> dict[str, Limit]:
    """Return what fits the settings of a command and of its chosen options."""
    known = limits(file)
    searched = folders.conf_folders(sys.argv[1:])
    for group, names in choices.items():
        options = folders.options(group, searched)
        for name in names if isinstance(names, list) else [names]:
            if str(name) in options and group != "experiment":
                found = limits(read(options[str(name)]), of_command=False)
                known |= {f"{group}.{key}": each for key, each in found.items()}
    return known


def _misfits(ours: dict[str, Any], theirs: Any, prefix: str) -> Iterator[str]:
    """Yield the keys that only the first tree has, new parts and arguments of other packages' parts excepted."""
    for name, value in ours.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and "_target_" in value and not _same_part(value, theirs.get(name)):
            continue  # a part of its own
        if name not in theirs:
            if not _accepts(theirs.get("_target_"), str(name)):
                yield key
        elif isinstance(value, dict) and isinstance(theirs[name], dict):
            yield from _misfits(value, theirs[name], f"{key}.")
        elif isinstance(value, dict) and value and theirs[name] is None:
            yield next(inner for inner, below in settings(value, f"{key}.") if not isinstance(below, dict))


def _own(ours: dict[str, Any], theirs: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the settings in which the first tree differs, but those of other packages' parts, who check them."""
    for name, value in ours.items():
        default = theirs.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            if str(value.get("_target_", "speechlstm.")).startswith("speechlstm."):
                yield from _own(value, default, f"{prefix}{name}.")
        elif value != default or isinstance(value, bool) != isinstance(default, bool):  # 1 == True
            yield f"{prefix}{name}", value


def _filled_in(cfg: DictConfig, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with what they refer to by `${...}`, but for what Hydra knows of a run that may not have begun.

    Raises:
        OmegaConfBaseException: one refers to what is not there.
    """
    filled = dict(given)
    for key, value in given.items():
        if "${" in str(value) and "${hydra:" not in str(value):
            found = OmegaConf.select(cfg, key)
            filled[key] = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    return filled


def _numbers(node: Any, key: str, foreign: bool = False) -> Iterator[tuple[str, float]]:
    """Yield the numbers among the settings of other packages' parts, of which few refuse what is not finite."""
    if isinstance(node, dict):
        foreign = foreign or not str(node.get("_target_", "speechlstm.")).startswith("speechlstm.")
        for name, value in node.items():
            yield from _numbers(value, f"{key}.{name}" if key else str(name), foreign)
    elif isinstance(node, list):
        for value in node:
            yield from _numbers(value, key, foreign)
    elif foreign and isinstance(node, float):
        yield key, node


def _same_part(value: dict[str, Any], default: Any) -> bool:
    return isinstance(default, dict) and default.get("_target_") == value["_target_"]


def _accepts(target: Any, name: str) -> bool:
    """Return whether the constructor of another package takes an argument; ours have all of theirs in YAML."""
    if target is None or str(target).startswith("speechlstm."):
        return False
    try:
        parameters = inspect.signature(get_object(str(target))).parameters
    except (ImportError, AttributeError, ValueError, TypeError):
        return True  # building it shows
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())

"""Whether settings fit the options beside them: keys that the options have, values of their kind."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from speechlstm.configs.mistakes import REQUIRED, settings
from speechlstm.types import UsageError

_KINDS: tuple[tuple[type | tuple[type, ...], type | tuple[type, ...], str], ...] = (
    (bool, bool, "true or false"),  # before numbers, of which Python takes booleans for some
    ((int, float), (int, float), "a number"),
    (list, list, "a list"),
)


def check(cfg: DictConfig, plain: DictConfig, choices: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """See that a config has only the settings that its options have, with values of their kind.

    Args:
        cfg: as composed.
        plain: composed of the same options, without an experiment and without settings.
        choices: the option of each group.
        overrides: of the command line; what they add by a + may be new.

    Raises:
        UsageError: a setting of the experiment that the options do not have, or a value of the wrong kind.
    """
    added = tuple(each.lstrip("+").partition("=")[0] for each in overrides if each.startswith("+"))
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
    known = dict(settings(theirs))
    for key, value in _own(ours, theirs, ""):
        for default, fit, what in _KINDS:
            if isinstance(known.get(key), default):
                if not _fits(value, fit):
                    raise UsageError(
                        f"{key} is {value!r}, but must be {what}, as in {key}={_shown(known[key])}"
                    )
                break


def _fits(value: Any, kind: type | tuple[type, ...]) -> bool:
    if value is None or (isinstance(value, str) and ("${" in value or value == REQUIRED)):
        return True
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


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


def _same_part(value: dict[str, Any], default: Any) -> bool:
    return isinstance(default, dict) and default.get("_target_") == value["_target_"]


def _accepts(target: Any, name: str) -> bool:
    """Say whether the constructor of another package takes an argument; ours have all of theirs in YAML."""
    if target is None or str(target).startswith("speechlstm."):
        return False
    try:
        parameters = inspect.signature(get_object(str(target))).parameters
    except (ImportError, AttributeError, ValueError, TypeError):
        return True  # it says so itself when it is built
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)

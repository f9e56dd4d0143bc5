"""What is wrong with a command line: its keys are compared with those of the config that it chooses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    GrammarParseError,
    InterpolationKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from speechlstm.configs import folders
from speechlstm.configs.arguments import KEY, as_typed
from speechlstm.configs.help import read
from speechlstm.model.installed import missing_settings
from speechlstm.model.registry import nearest

REQUIRED = "???"

Composed = Callable[[str, list[str]], DictConfig]


def explain(error: Exception, config_name: str, arguments: Sequence[str], composed: Composed) -> str:
    """Return in one line what is wrong, with the nearest key or the options that exist."""
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is not set: add {error.full_key}=... to the command line"
    if isinstance(error, HydraException | ValueError):
        if fault := next(_faults(config_name, arguments, composed), None):
            return fault
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            group, _, name = str(error.missing_cfg_file).removesuffix(".yaml").rpartition("/")
            return no_option(group.lstrip("/"), name, arguments)
    text = str(error).strip() or str(error.__cause__ or type(error).__name__)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    where = str(error.full_key or "") if isinstance(error, OmegaConfBaseException) else ""
    given = [text.lstrip("+").partition("=")[0] for text in arguments if "${" in text]
    if given and (not where or where.startswith("hydra.")):  # whose own settings refer to others
        where = where if where in given else given[0]
    if isinstance(error, InterpolationResolutionError | GrammarParseError):
        return f"{where}: the ${{...}} in it {_reference_fault(error, lines[0])}; write \\${{ for the text itself"
    detail = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{where}: {detail}" if where else detail


def _reference_fault(error: OmegaConfBaseException, text: str) -> str:
    """Return what is wrong with a reference to another setting, of which OmegaConf says `text`."""
    name = (re.findall("'(.*)'", text) or re.findall(r"\S+$", text))[0]
    if isinstance(error, GrammarParseError):
        return "cannot be read: a closing brace is missing, or a sign in it is wrong"
    if isinstance(error, UnsupportedInterpolationType):
        return f"is of kind {name!r}, which is not known"
    if isinstance(error, InterpolationToMissingValueError):
        return f"refers to {name!r}, which is not set"
    if isinstance(error, InterpolationKeyError):
        return f"refers to {name!r}, but there is no such setting"
    if text.startswith("Recursive"):
        return "leads back to itself"
    return f"cannot be filled in ({text.partition(': ')[2].strip(chr(34)) or text})"


def no_option(group: str, name: str, arguments: Sequence[str]) -> str:
    """Return that a group has no such option, and those that it has."""
    options = folders.option_names(group, arguments)
    if fault := missing_settings(group, name):
        return fault
    return f"no {group or 'config'} {name!r}{nearest(name, options)}; there are: {', '.join(options)}"


def _faults(config_name: str, arguments: Sequence[str], composed: Composed) -> Iterator[str]:
    """Yield what is wrong with the overrides, the gravest first."""
    multirun = any(argument in ("-m", "--multirun") for argument in arguments)
    overrides: list[Override] = []
    for text in folders.without_flags(arguments):
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            yield _unreadable(text)
            return
        if override.is_sweep_override() and not multirun:
            yield _unreadable(text)
        overrides.append(override)
    path = folders.CONF / f"{config_name}.yaml"
    groups = read(path).groups if path.is_file() else {}
    given = {each.key_or_group: each for each in overrides}
    for group, chosen in groups.items():
        if group not in given and chosen == REQUIRED:
            options = ", ".join(folders.option_names(group, arguments))
            yield f"{group} is not set: add {group}=... with one of: {options}"
        elif group in given and not given[group].is_delete() and not given[group].is_sweep_override():
            yield from _option_faults(group, given[group].value(), arguments)
    selected = [str(each.input_line) for each in overrides if each.key_or_group in groups]
    keys = [each for each in overrides if each.key_or_group not in groups]
    for group, _, setting in (each.key_or_group.partition(".") for each in keys):
        if setting and group not in given and groups.get(group, REQUIRED) is None:
            options = ", ".join(folders.option_names(group, arguments))
            yield f"{group}.{setting} needs a {group} to be chosen: add {group}=... with one of: {options}"
    yield from _key_faults(lambda: composed(config_name, selected), keys)


def _option_faults(group: str, value: Any, arguments: Sequence[str]) -> Iterator[str]:
    if value is None:
        yield "a group of settings cannot be null: choose one of its options, or leave it out with ~GROUP"
    for name in value if isinstance(value, list) else [value]:
        option = str(name).replace(r"\${", "${")  # as it was typed
        if option not in folders.option_names(group, arguments):
            yield no_option(group, option, arguments)


def _key_faults(compose: Callable[[], DictConfig], overrides: list[Override]) -> Iterator[str]:
    """Yield which keys there are not, or are already, in the config with the options that are chosen."""
    try:
        known = dict(settings(OmegaConf.to_container(compose(), resolve=False)))
    except (HydraException, OmegaConfBaseException, ValueError):
        return  # of an experiment's own faults
    for override in overrides:
        key = override.key_or_group
        if override.package is not None or key.partition(".")[0].partition("/")[0] == "hydra":
            continue
        if override.is_add() and not override.is_force_add() and key in known:
            yield f"there is a setting {key!r} already: write {key}=... without a +"
        elif not override.is_add() and not override.is_force_add() and key not in known:
            yield _no_setting(key, known)
        elif isinstance(known.get(key), dict) and isinstance(override.value(), list):
            inner = next(iter(known[key]), "KEY")
            yield f"{key} is {override.value()}, but holds several settings: set one, as in {key}.{inner}=..."
        elif isinstance(known.get(key), list) and isinstance(override.value(), dict):
            yield f"{key} is {override.value()}, but must be a list, as in {key}={_listed(known[key])}"
        elif override.is_delete() and known[key] is None:  # which Hydra takes for absent
            yield f"{key} cannot be left out by ~{key}: give it another value by {key}=..."


def _listed(values: Sequence[Any]) -> str:
    return f"[{','.join(map(str, values))}]"


def _no_setting(key: str, known: Mapping[str, Any]) -> str:
    if key in ("device", "devices") and "trainer.devices" in known:
        return f"no setting {key!r}; devices are chosen by trainer=cpu, trainer=gpu or trainer.devices=2"
    if key in ("model", "models") and "bundle" in known:
        return f"no setting {key!r}; a trained model is chosen by bundle=FOLDER or bundle=NAME"
    target = str(known.get(f"{key.rpartition('.')[0]}._target_", "speechlstm."))
    add = "" if target.startswith("speechlstm.") else f"; for another of {target}, write +{key}=..."
    return f"no setting {key!r}{nearest(key, sorted(known))}{add}"


def _unreadable(text: str) -> str:
    key = text.partition("=")[0]
    if "=" not in text or not re.fullmatch(KEY, key):
        return f"{as_typed(text)!r} is not a setting: write KEY=VALUE"
    return f"cannot read {text}: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'"


def settings(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all settings of a config, and the parts that hold them, by their dotted keys."""
    for name, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{name}", value
        yield from settings(value, f"{prefix}{name}.")

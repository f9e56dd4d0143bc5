"""Explains what is wrong with a command line."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from speechlstm.configs import folders
from speechlstm.model.installed import missing_settings

NULL_GROUP = "Config group override must be"  # Hydra's ValueError for `decoder=null`


def explain(error: Exception, config_name: str, overrides: list[str]) -> str:
    """Return Hydra's complaint in one line, with the nearest key or the options that exist.

    Args:
        error: what Hydra or OmegaConf raised.
        config_name: the command's config.
        overrides: what the command line asks for.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    if option := re.search(r"Could not (?:find|load) '([^']+)'", message):
        group, _, name = option[1].removesuffix(".yaml").rpartition("/")
        options = folders.option_names(group)
        if fault := missing_settings(group, name):
            return fault
        return f"no {group or 'config'} {name!r}{_nearest(name, options)}; there are: {', '.join(options)}"
    if group_missing := re.search(r"You must specify '([^']+)'", message):
        group = group_missing[1]
        return f"{group} is not set: add {group}=... with one of: {', '.join(folders.option_names(group))}"
    if missing := re.search(r"Missing mandatory value: (\S+)", message):
        return f"{missing[1]} is not set: add {missing[1]}=... to the command line"
    if there := re.search(r"Could not append to config. An item is already at '([^']+)'", message):
        return f"there is a setting {there[1]!r} already: write {there[1]}=... without a +"
    if key := re.search(r"Could not (?:override|delete)[^']*'([^']+)'", message):
        known = _settings(config_name, overrides)
        if key[1] in ("device", "devices") and "trainer.devices" in known:
            return (
                f"no setting {key[1]!r}; devices are chosen by trainer=cpu, trainer=gpu or trainer.devices=2"
            )
        target = known.get(f"{key[1].rpartition('.')[0]}._target_", "speechlstm.")
        add = "" if target.startswith("speechlstm.") else f"; for another of {target}, write +{key[1]}=..."
        return f"no setting {key[1]!r}{_nearest(key[1], sorted(known))}{add}"
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'", message)
    if ambiguous or isinstance(error, OverrideParseException):
        text = ambiguous[1] if ambiguous else getattr(error, "override", message)
        if "=" not in text:
            return f"{text!r} is not a setting: write KEY=VALUE"
        return f"cannot read {text}: a value with signs in it needs quotes twice, as in 'KEY=\"a, (b)\"'"
    if NULL_GROUP in message:
        return "a group of settings cannot be null: choose one of its options, or leave it out with ~GROUP"
    where = next((line.split()[-1] for line in lines if line.startswith("full_key:")), "")
    detail = f"{message} {lines[1]}" if message.endswith("composing config:") and len(lines) > 1 else message
    return f"{where}: {detail}" if where else detail


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _settings(config_name: str, overrides: list[str]) -> dict[str, Any]:
    """Return all settings by their dotted names, with the options that the overrides choose."""
    from speechlstm.configs.composing import composed

    tree: Any = {}
    for chosen in (list(_choices(overrides).values()), []):
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            tree = tree or OmegaConf.to_container(composed(config_name, chosen))

    def walk(node: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in node.items() if isinstance(node, dict) else ():
            yield f"{prefix}{name}", value
            yield from walk(value, f"{prefix}{name}.")

    return dict(walk(tree, ""))


def _choices(overrides: list[str]) -> dict[str, str]:
    """Return the overrides that choose an option, by their group."""
    settings = ((each.partition("=")[0], each) for each in overrides if "=" in each)
    return {group: each for group, each in settings if (folders.CONF / group).is_dir()}

"""The only calls into Hydra: `main` runs a command with its config, `build` makes what a node describes."""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from speechlstm.errors import SpeechlstmError, UsageError

PLUGIN_GROUP = "speechlstm.decoders"
_TARGETS = ("speechlstm.", "torch.optim.", "pytorch_lightning.")  # what a config may instantiate

_installed = Path(__file__).parent / "conf"  # in a wheel; a checkout has it beside the package
CONF = _installed if _installed.is_dir() else Path(__file__).parents[1] / "conf"


class PluginSearchPath(SearchPathPlugin):
    """Appends the `conf/` folder of every package with a decoder entry point; imports none of them."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add `<package>/conf` of each plugin package that has one."""
        for name, folder in plugin_conf_folders():
            search_path.append(provider=name, path=f"file://{folder}")


def plugin_conf_folders() -> Iterator[tuple[str, Path]]:
    """Yield `(package, conf folder)` of every installed plugin package that brings configs."""
    packages = sorted({entry.module.partition(".")[0] for entry in entry_points(group=PLUGIN_GROUP)})
    for package in packages:
        spec = None if package == "speechlstm" else find_spec(package)
        for folder in spec.submodule_search_locations or [] if spec else []:
            if (Path(folder) / "conf").is_dir():
                yield package, Path(folder) / "conf"


def main(config_name: str) -> Callable[[Callable[[DictConfig], int | None]], Callable[[], None]]:
    """Make a command's function into a program: config in, exit status out.

    The function gets the composed config and returns the exit status (None means 0). Errors of the package
    are printed as one line; `debug=true` on the command line shows the traceback too.
    """

    def decorate(task: Callable[[DictConfig], int | None]) -> Callable[[], None]:
        @functools.wraps(task)
        def wrapped(cfg: DictConfig) -> None:
            try:
                status = task(cfg) or 0
            except SpeechlstmError as error:
                if cfg.get("debug"):
                    raise
                print(f"error: {error}", file=sys.stderr)
                status = error.exit_status
            except OSError as error:
                if cfg.get("debug"):
                    raise
                where = f"{error.filename}: " if error.filename else ""
                print(f"error: {where}{error.strerror or error}", file=sys.stderr)
                status = 1
            if status:
                sys.exit(status)

        @functools.wraps(task)
        def program() -> None:
            register_plugins()
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come back here, to be explained
            try:
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(wrapped)()
            except (HydraException, OmegaConfBaseException) as error:
                if "debug=true" in sys.argv:
                    raise
                print(f"error: {explain(error, config_name)}", file=sys.stderr)
                sys.exit(UsageError.exit_status)
            except KeyboardInterrupt:
                sys.exit(130)

        return program

    return decorate


def register_plugins() -> None:
    """Tell Hydra about the plugins' config folders; calling it again changes nothing."""
    if PluginSearchPath not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginSearchPath)


def load(config_name: str, overrides: list[str] | None = None) -> DictConfig:
    """Compose a config without running a command.

    Raises:
        UsageError: an override names a key or option that does not exist.
    """
    register_plugins()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(config_name, overrides or [])
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explain(error, config_name)) from error


def build(cfg: DictConfig | dict[str, Any] | None, /, *args: Any, **sizes: Any) -> Any:
    """Make the object a config node describes; `sizes` are what follows from other stages.

    Raises:
        UsageError: the node's `_target_` lies outside the allowed packages, or its arguments do not fit.
    """
    if cfg is None:
        return None
    node = cfg if isinstance(cfg, DictConfig) else OmegaConf.create(cfg)
    if unset := [str(node._get_full_key(key)) for key in OmegaConf.missing_keys(node) if key not in sizes]:
        raise UsageError(f"{unset[0]} is not set: add {unset[0]}=... to the command line")
    for target in _targets(OmegaConf.to_container(node, resolve=False)):
        if not str(target).startswith(_TARGETS):
            raise UsageError(f"config asks for {target!r}, but may only build from {', '.join(_TARGETS)}")
    try:
        # Hydra would turn `args` and `sizes` into config nodes: slow for many texts, wrong for a text with "${".
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


def explain(error: Exception, config_name: str) -> str:
    """Return Hydra's complaint in one or two lines, with the nearest key or option that exists."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    key = re.search(r"Could not (?:override|append|delete)[^']*'([^']+)'", message)
    option = re.search(r"Could not find '([^']+)'|In '[^']*': Could not (?:find|load) '([^']+)'", message)
    if option:
        wanted = (option[1] or option[2]).removesuffix(".yaml")
        group, _, name = wanted.rpartition("/")
        known = sorted(option_names(group))
        return f"no {group or 'config'} {name!r}{_nearest(name, known)}; there are: {', '.join(known)}"
    missing = re.search(r"Missing mandatory value: (\S+)", message)
    if missing:
        return f"{missing[1]} is not set: add {missing[1]}=... to the command line"
    if key:
        return f"no setting {key[1]!r}{_nearest(key[1], sorted(_keys(config_name)))}"
    return message


def option_names(group: str) -> set[str]:
    """Return the names that can be chosen in a config group, those of plugins included."""
    folders = [CONF / group, *(folder / group for _, folder in plugin_conf_folders())]
    return {path.stem for folder in folders for path in folder.glob("*.yaml")}


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys(config_name: str) -> set[str]:
    choices = [arg for arg in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w/.-]+", arg)]
    groups = [arg for arg in choices if (CONF / arg.partition("=")[0]).is_dir()]
    try:
        tree = OmegaConf.to_container(load(config_name, groups))
    except UsageError:
        tree = OmegaConf.to_container(load(config_name))

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for name, value in node.items() if isinstance(node, dict) else ():
            yield f"{prefix}{name}"
            yield from walk(value, f"{prefix}{name}.")

    return set(walk(tree, ""))


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _targets(item)

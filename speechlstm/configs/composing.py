"""Composes configs: the package's files, those of plugins, and the command line."""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from speechlstm.configs import folders
from speechlstm.configs.arguments import given_keys
from speechlstm.configs.fitting import check
from speechlstm.configs.mistakes import explain
from speechlstm.model.installed import conf_folders
from speechlstm.types import UsageError


class PluginSearchPath(SearchPathPlugin):
    """Appends `conf/` of every package with parts, none of them imported."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders after the package's own, whose options go before those of the same name."""
        for name, folder in conf_folders():
            search_path.append(provider=name, path=f"file://{folder}")
        for folder in folders.given_conf_folders(sys.argv[1:]):
            search_path.append(provider="command line", path=f"file://{folder.resolve()}")


def register_plugins() -> None:
    """Register the plugins' config folders with Hydra; calling it again changes nothing."""
    OmegaConf.register_new_resolver("file_name", _file_name, replace=True)
    if PluginSearchPath not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginSearchPath)


def _file_name(text: str) -> str:
    """Return the name of a file or folder for any text, such as the settings of a job: `${file_name:...}`."""
    name = text.replace("/", "+")
    return name if len(name.encode()) <= 120 else f"{name[:100]}-{zlib.crc32(text.encode()):08x}"


def load(config_name: str, overrides: list[str] | None = None) -> DictConfig:
    """Compose a config without running a command.

    Raises:
        UsageError: an override names a key or option that does not exist.
    """
    given = overrides or []
    try:
        with_hydra = composed(config_name, given, with_hydra=True)
        choices = with_hydra.hydra.runtime.choices
        with open_dict(with_hydra):
            del with_hydra["hydra"]
        check_fit(with_hydra, config_name, choices, given)
        return with_hydra
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(explain(error, config_name, given, composed)) from error


def check_fit(
    cfg: DictConfig, config_name: str, choices: Mapping[str, Any], overrides: Sequence[str]
) -> None:
    """Raise a UsageError for settings that the chosen options do not have, or of the wrong kind."""
    if overrides:
        groups = {key: name for key, name in choices.items() if "/" not in key and "@" not in key}
        chosen = [f"{key}={_listed(name)}" for key, name in groups.items() if key != "experiment" and name]
        chosen += [each for each in overrides if each.startswith("hydra.searchpath=")]  # where options lie
        plain = _plain(config_name, tuple(chosen), *folders.conf_folders(sys.argv[1:]))
        check(cfg, plain, config_name, groups, overrides)


@functools.lru_cache(maxsize=64)
def _plain(config_name: str, chosen: tuple[str, ...], *_: Path) -> DictConfig:
    """Compose options without settings from the folders of configs; once for all jobs of a sweep that choose them."""
    return composed(config_name, list(chosen))


def _listed(name: Any) -> str:
    return str(name).replace("'", "")  # Hydra writes a list of options as Python does


def task_overrides() -> list[str]:
    """Return the settings that the command line, or a sweep for this job, has given; "${...}" in them as it stands."""
    task: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    return list(task)


def given_settings(group: str, option: str) -> set[str] | None:
    """Return which settings of a group the command line gives; None unless the option of that name is chosen."""
    if not HydraConfig.initialized() or HydraConfig.get().runtime.choices.get(group) != option:
        return None
    keys = given_keys(task_overrides())
    return {key.split(".")[1] for key in keys if key.startswith(f"{group}.")}


def composed(config_name: str, overrides: list[str], with_hydra: bool = False) -> DictConfig:
    """Compose a config, beside the command that may be running; errors are Hydra's."""
    register_plugins()
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folders.CONF), version_base="1.3"):
            return compose(config_name, overrides, return_hydra_config=with_hydra)
    finally:
        GlobalHydra.instance().hydra = running

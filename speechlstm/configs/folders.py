"""Where config files lie: in the package, in plugin packages, and in a folder that the command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from speechlstm.model.installed import CONF as CONF
from speechlstm.model.installed import conf_folders as _of_plugins

_FLAGS = ("--config-dir", "-cd")
FLAGS_WITH_VALUE = (*_FLAGS, "--config-path", "-cp", "--config-name", "-cn", "--package", "-p", "--cfg", "-c")


def given_conf_folders(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the folder that a command line names by `--config-dir FOLDER`."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        if flag in _FLAGS and (value or following):
            yield Path(value if equals else following)


def conf_flags(arguments: Sequence[str]) -> list[str]:
    """Return the flag by which another command line finds the same folder; flags stand before overrides."""
    return [f"--config-dir={folder}" for folder in given_conf_folders(arguments)]


def without_flags(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the overrides of a command line, flags and their values left out."""
    rest = iter(arguments)
    for argument in rest:
        if argument in FLAGS_WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            yield argument


def conf_folders(arguments: Sequence[str] = ()) -> list[Path]:
    """Return all folders with config files, in the order in which they are searched."""
    plugins = (folder for _, folder in _of_plugins())
    return [CONF, *plugins, *given_conf_folders(arguments)]


def options(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the options of a config group by name, each with the first file that has the name."""
    files = [path for folder in folders for path in sorted((folder / group).glob("*.yaml"))]
    return {path.stem: path for path in reversed(files)}


def option_names(group: str, arguments: Sequence[str] = ()) -> list[str]:
    """Return the names that can be chosen in a config group, those of plugins included."""
    return sorted(options(group, conf_folders(arguments)))

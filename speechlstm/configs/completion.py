"""Completion on TAB: the scripts that shells load, and the words that they ask for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from speechlstm.configs import folders
from speechlstm.configs.help import read
from speechlstm.data.names import expanded
from speechlstm.model import registry

# Each asks `speechlstm --complete SHELL LINE` with the line up to the cursor, and gets whole words, one a line.
SCRIPTS = {shell: Path(__file__).parent / f"shells/completion.{shell}" for shell in ("bash", "zsh", "fish")}


def complete(shell: str, line: str, commands: Sequence[str]) -> list[str]:
    """Return the words that may stand where a command line ends."""
    words, word = _words(line)
    if len(words) < 2:
        return [f"{name}" for name in [*commands, "--help", "--version"] if name.startswith(word)]
    command = words[1]
    if command == "completion":
        return [name for name in SCRIPTS if name.startswith(word)]
    if command not in commands or not (folders.CONF / f"{command}.yaml").is_file():
        return []
    file, searched = read(folders.CONF / f"{command}.yaml"), folders.conf_folders(words)
    key, equals, value = word.partition("=")
    if equals and key in file.groups:
        return [f"{key}={name}" for name in sorted(folders.options(key, searched)) if name.startswith(value)]
    if equals:
        models = _models(value) if key == "bundle" else []
        return [f"{key}={_escaped(name, shell)}" for name in models + _files(value)]
    group, dot, _ = word.partition(".")
    if dot and group in file.groups:  # settings of a group are many: they come once its name is there
        given = (each.partition("=")[2] for each in reversed(words) if each.startswith(f"{group}="))
        path = folders.options(group, searched).get(next(given, None) or file.groups[group] or "")
        keys = [f"{group}.{name}=" for name in (read(path).settings if path else {}) if name != "name"]
    else:
        keys = [f"{name}=" for name in (*file.groups, *file.settings) if name != "inputs"]
        keys += [f"{name}." for name, option in file.groups.items() if option]
    files = (_models(word) if command == "models" else []) + (
        _files(word) if "inputs" in file.settings else []
    )
    flags = ["--help", "--version", "--multirun", "--config-dir"]
    return [
        *(each for each in (*keys, *flags) if each.startswith(word)),
        *(_escaped(name, shell) for name in files),
    ]


def _words(line: str) -> tuple[list[str], str]:
    """Split a line into its finished words and the one at the cursor, which may be empty or lack its closing quote."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
            break
        except ValueError:
            continue
    else:
        words = line.split()
    unfinished = bool(line) and not re.search(r"(?<!\\)\s$", line)
    return (words[:-1], words[-1]) if unfinished and words else (words, "")


def _models(beginning: str) -> list[str]:
    """Return the names of installed models that begin like this."""
    return [name for name in registry.names("bundle") if name.startswith(beginning)]


def _files(beginning: str) -> list[str]:
    """Return the files and folders whose path begins like this; hidden ones only if a dot is typed."""
    folder, slash, name = beginning.rpartition("/")
    place = expanded(f"{folder}{slash}" or ".")
    if not place.is_dir():
        return []
    found = (path for path in place.iterdir() if path.name.startswith(name))
    return sorted(
        f"{folder}{slash}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if name.startswith(".") or not path.name.startswith(".")
    )


def _escaped(name: str, shell: str) -> str:
    return re.sub(r"([^\w@%+=:,./~-])", r"\\\1", name) if shell == "bash" else name

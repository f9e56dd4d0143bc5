"""What `speechlstm COMMAND --help` shows, read from the YAML files and their comments without importing Hydra."""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from speechlstm.configs import folders

_KEY_COLUMN = 34  # characters before the comments
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a config file: its value as it is written, and the comment beside it."""

    value: str
    comment: str


@dataclass(slots=True)
class ConfigFile:
    """A config file as people read it."""

    head: list[str] = field(default_factory=list)  # its first comment lines, commands among them indented
    settings: dict[str, Setting] = field(default_factory=dict)  # by dotted key, in the order of the file
    # the option that its defaults list chooses for each group; None for none, ??? where the user must choose
    groups: dict[str, str | None] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)  # by group, what happens when no option is chosen
    # the options that it sets in groups of the whole config, as experiments do
    overrides: dict[str, str | None] = field(default_factory=dict)
    is_global: bool = False  # whether its settings are those of the whole config


def read(path: Path) -> ConfigFile:
    """Read a config file, those that it builds on included."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    root = yaml.compose(text, Loader=_LOADER)
    found = ConfigFile(is_global="# @package _global_" in text)
    for line in lines:
        if not line.startswith("#"):
            break
        if "@package" not in line:
            found.head.append(line.removeprefix("#").removeprefix(" ").rstrip())
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in pairs:
        if key.value == "defaults":
            _read_defaults(found, value, path, lines)
        elif key.value != "hydra":
            for name, setting in _settings(key, value, "", lines):
                before = found.settings.get(name, setting)
                found.settings[name] = Setting(setting.value, setting.comment or before.comment)
    return found


def _read_defaults(found: ConfigFile, node: yaml.Node, path: Path, lines: list[str]) -> None:
    for item in node.value:
        if isinstance(item, yaml.ScalarNode):
            if item.value != "_self_" and (file := _base(path, item.value)) is not None:
                base = read(file)
                found.settings.update(base.settings)
                found.groups.update(base.groups)
                found.absent.update(base.absent)
            continue
        for key, value in item.value:
            words = key.value.split()
            name = words[-1].lstrip("/")
            option = None if value.value == "null" else value.value
            if not name.startswith("hydra/"):
                comment = lines[value.end_mark.line][value.end_mark.column :].partition("#")[2].strip()
                if comment.startswith("null:"):
                    found.absent[name] = comment
                (found.overrides if words[0] == "override" else found.groups)[name] = option


def _base(path: Path, name: str) -> Path | None:
    """Return the file that another of the same group builds on; None if there is none, which Hydra will tell."""
    places = [path.parent, *(folder / path.parent.name for folder in folders.conf_folders())]
    return next((file for place in places if (file := place / f"{name}.yaml").is_file()), None)


def _settings(
    key: yaml.ScalarNode, value: yaml.Node, prefix: str, lines: list[str]
) -> Iterator[tuple[str, Setting]]:
    name = f"{prefix}{key.value}"
    if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        for inner, below in value.value:
            yield from _settings(inner, below, f"{name}.", lines)
    elif not key.value.startswith("_"):
        begin, end = value.start_mark, value.end_mark
        shown = lines[begin.line][begin.column : end.column] if begin.line == end.line else "[...]"
        shown = shown if isinstance(value, yaml.ScalarNode) else shown.strip()
        rest = lines[begin.line][end.column if begin.line == end.line else len(lines[begin.line]) :]
        yield name, Setting(shown, rest.partition("#")[2].strip())


def command_keys(command: str) -> dict[str, str]:
    """Return the keys that a command has, those of its groups included, with their default values."""
    file = read(folders.CONF / f"{command}.yaml")
    keys = {key: each.value for key, each in file.settings.items()}
    for group, name in file.groups.items():
        keys[group] = name or "null"
        for option, path in folders.options(group, folders.conf_folders()).items():
            if name in (option, None):
                keys |= {f"{group}.{key}": each.value for key, each in read(path).settings.items()}
    return keys


def command_help(command: str, summary: str, arguments: Sequence[str]) -> str:
    """Return the help of a command: usage, examples, its settings and its groups.

    Of a group that is chosen in `arguments`, the rest of the command line, the option's settings are shown.
    """
    width = shutil.get_terminal_size((110, 24)).columns
    file = read(folders.CONF / f"{command}.yaml")
    usage = [line for line in file.head if line.startswith("usage:")]
    examples = [line for line in file.head if "speechlstm " in line and line not in usage]
    searched = folders.conf_folders(arguments)
    chosen = _chosen(file, arguments, searched)
    lines = [*(usage or [f"usage: speechlstm {command} [KEY=VALUE ...]"]), "", summary]
    if examples:
        lines += ["", "examples:", *(f"  {example.strip()}" for example in examples[:3])]
    lines += ["", "settings:", *_table(file.settings, "", width)]
    if file.groups:
        first = next(iter(file.groups))
        names = sorted(folders.options(first, searched))
        some = chosen[first] if chosen[first] in names else next(iter(names), "OPTION")
        lines += [
            "",
            f"groups of options (* is chosen; {first}={some} --help also shows the settings of that option):",
        ]
        for group in file.groups:
            names = sorted(folders.options(group, searched))
            marked = ", ".join(f"{name}*" if name == chosen[group] else name for name in names)
            described = [marked or "none installed", *filter(None, [file.absent.get(group)])]
            lines += _entry(f"{group}=", "; ".join(described), 16, width)
    for group in file.groups:
        if any(argument.startswith(f"{group}=") for argument in arguments):
            lines += _option(group, chosen[group], searched, width)
    return "\n".join(lines)


def _chosen(file: ConfigFile, arguments: Sequence[str], searched: Sequence[Path]) -> dict[str, str | None]:
    """Return the option of each group: that of the command line, else of an experiment there, else the default."""
    given = dict(each.split("=", 1) for each in arguments if each.partition("=")[0] in file.groups)
    chosen = file.groups | given
    for group, name in given.items():
        if path := folders.options(group, searched).get(name):
            chosen |= {key: option for key, option in read(path).overrides.items() if key not in given}
    return chosen


def _option(group: str, name: str | None, searched: Sequence[Path], width: int) -> list[str]:
    """Return the lines on one option of a group."""
    path = folders.options(group, searched).get(name or "")
    if path is None:
        return ["", f"no {group} {name!r}; there are: {', '.join(sorted(folders.options(group, searched)))}"]
    file = read(path)
    settings = {key: each for key, each in file.settings.items() if file.is_global or key != "name"}
    lines = ["", f"{group}={name}:"]
    for is_command, part in itertools.groupby(file.head, key=lambda line: line.startswith(" ")):
        lines += [f"  {line}" for line in (part if is_command else textwrap.wrap(" ".join(part), width - 2))]
    return lines + _table(settings, "" if file.is_global else f"{group}.", width)


def _table(settings: dict[str, Setting], prefix: str, width: int) -> list[str]:
    longest = max((len(f"{prefix}{key}={each.value}") for key, each in settings.items()), default=0)
    column = min(longest + 4, _KEY_COLUMN)
    lines = []
    for key, each in settings.items():
        if each.value == "???":
            lines += _entry(f"{prefix}{key}=...", f"required: {each.comment}", column, width)
        else:
            lines += _entry(f"{prefix}{key}={each.value}", each.comment, column, width)
    return lines


def _entry(left: str, right: str, column: int, width: int) -> list[str]:
    """Return a line with a comment beside it, wrapped; what is long has its comment below."""
    indent = " " * column
    if len(left) + 4 > column:
        return [
            f"  {left}",
            *textwrap.wrap(right, max(width, column + 30), initial_indent=indent, subsequent_indent=indent),
        ]
    return textwrap.wrap(
        right, max(width, column + 30), initial_indent=f"  {left}".ljust(column), subsequent_indent=indent
    ) or [f"  {left}"]

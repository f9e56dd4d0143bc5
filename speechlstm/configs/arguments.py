"""Command lines as people type them: plain file names, and settings whose values need no quotes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from speechlstm.configs.folders import FLAGS_WITH_VALUE
from speechlstm.types import UsageError

# `key=`, `group@package=`, `+key=`, `++key=`, `~key=` or `~key`, as in Hydra's grammar
KEY = r"(?a:(\+{0,2}|~)[\w$][\w$./@:-]*)"
_OVERRIDE = re.compile(rf"{KEY}=|~[\w$][\w$./@:-]*$", re.ASCII)
_STRUCTURED = re.compile(r"[\[{'\"]|.*\$\{", re.DOTALL)  # a list, a mapping, quoted, or with an interpolation
_FLAG = re.compile(r"--?[a-z][a-z-]*(=|$)")


def split(
    arguments: Sequence[str], takes_files: bool = True, texts: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Return the flags and settings of a command line, which are Hydra's, and the plain file names.

    What exists on disk is a file, whatever it looks like, and so is all that follows `--`. Of the rest,
    settings and flags keep their meaning; anything else is taken for a file that is missing.

    Args:
        arguments: the command line.
        takes_files: whether the command takes files; without, all of it is left to Hydra.
        texts: keys of settings that are text, so that 2024 or 1e5 is taken as it was typed.

    Raises:
        UsageError: files are given both by name and as `inputs=`.
    """
    flags: list[str] = []
    overrides: list[str] = []
    files: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if takes_files and argument == "--":
            files += rest
        elif takes_files and _exists(argument):
            files.append(argument)
        elif _FLAG.match(argument):
            flags.append(argument)
            if argument in FLAGS_WITH_VALUE:
                flags += [value for value in [next(rest, None)] if value is not None]
        elif _OVERRIDE.match(argument) or not takes_files:
            overrides.append(argument)
        else:
            files.append(argument)
    if files and any(override.startswith("inputs=") for override in overrides):
        raise UsageError("files are given both by name and as inputs=[...]; give them one way only")
    sweeps = not {"-m", "--multirun"}.isdisjoint(flags)
    return [*flags, *(_taken(override, sweeps, texts) for override in overrides)], files


def _taken(override: str, sweeps: bool, texts: Collection[str]) -> str:
    key, equals, value = override.partition("=")
    if equals and key in texts and not sweeps and value != "null" and not _STRUCTURED.match(value):
        return f"{key}={_quote(value)}"
    return quoted(override, sweeps)


def quoted(argument: str, sweeps: bool = False) -> str:
    """Return an override, its value quoted if Hydra's grammar cannot take it bare, such as `out=été`.

    With `sweeps` `a,b` and `range(2,5)` are several values, as for `--multirun`; otherwise they are text.
    """
    key, equals, value = argument.partition("=")
    try:
        if sweeps or not OverridesParser.create().parse_override(argument).is_sweep_override():
            return argument
    except HydraException:
        if not equals:
            return argument
        if re.fullmatch(r"\[.*\]", value):  # a list of phrases, some of which the grammar does not know
            items = re.findall(r"""\s*('[^']*'|"[^"]*"|[^,]+)\s*,?""", value[1:-1])
            return f"{key}=[{','.join(_item(item.strip()) for item in items)}]"
    return f"{key}={_quote(value)}"


def as_typed(argument: str) -> str:
    """Return an override as a person types it: without the quotes that `quoted` has put around its value."""
    key, equals, value = argument.partition("=")
    if len(value) < 2 or not value[0] == value[-1] == "'":
        return argument
    return f"{key}{equals}" + value[1:-1].replace("\\'", "'")


def given_keys(overrides: Iterable[str]) -> list[str]:
    """Return the dotted keys, or the groups, that overrides are for."""
    return [override.lstrip("+~").partition("=")[0] for override in overrides]


def _item(text: str) -> str:
    """Return an item of a list, quoted if need be."""
    try:
        OverridesParser.create().parse_override(f"item={text}")
    except HydraException:
        return _quote(text)
    return text


def _quote(text: str) -> str:
    # To OmegaConf, dollar and brace begin an interpolation, and backslashes right before them count double.
    literal = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    return QuotedString(text=literal, quote=Quote.single).with_quotes()


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a file name, or NUL
        return False

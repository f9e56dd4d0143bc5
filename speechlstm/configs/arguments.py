"""Command lines as people type them, with plain file names, made into Hydra overrides."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from speechlstm.types import UsageError

# `key=`, `group@package=`, `+key=`, `++key=`, `~key=` or `~key`, as in Hydra's grammar
_OVERRIDE = re.compile(r"(\+{0,2}|~)[\w$][\w$./@:-]*=|~[\w$][\w$./@:-]*$", re.ASCII)
_FLAG = re.compile(r"--?[a-z][a-z-]*(=|$)")
_FLAG_WITH_VALUE = re.compile(r"-(c|p|cp|cn|cd|-cfg|-package|-config-(path|name|dir))$")


def with_inputs(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the plain file names among them gathered into one override, `inputs=[...]`.

    What exists on disk is a file, whatever it looks like, and so is all that follows `--`. Of the rest,
    overrides and flags keep their meaning; anything else is taken for a file that is missing.

    Raises:
        UsageError: files are given both by name and as `inputs=`.
    """
    flags: list[str] = []
    overrides: list[str] = []
    files: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            files += rest
        elif _exists(argument):
            files.append(argument)
        elif _FLAG.match(argument):
            flags.append(argument)
            if _FLAG_WITH_VALUE.match(argument):
                flags += [value for value in [next(rest, None)] if value is not None]
        elif _OVERRIDE.match(argument):
            overrides.append(quoted(argument))
        else:
            files.append(argument)
    if not files:
        return [*flags, *overrides]
    if any(override.startswith("inputs=") for override in overrides):
        raise UsageError("files are given both by name and as inputs=[...]; give them one way only")
    # OmegaConf reads the text ??? as "value missing".
    names = [quote(f"./{file}" if file == "???" else file) for file in files]
    return [*flags, *overrides, f"inputs=[{','.join(names)}]"]


def files_apart(arguments: Sequence[str]) -> list[str]:
    """Return arguments with the files of `inputs=[...]` each an argument again: the length of one is limited."""
    files: list[str] = []
    others: list[str] = []
    for argument in arguments:
        if argument.startswith("inputs=["):
            files += map(str, OverridesParser.create().parse_override(argument).value())  # type: ignore[arg-type]
        else:
            others.append(argument)
    return [*others, *(["--"] if files else []), *files]


def take_inputs() -> None:
    """Rewrite `sys.argv` by `with_inputs`; what cannot be understood ends the process with a line and exit status 2.

    It is rewritten in place, so that a process which starts `sys.argv` again gets the same files.
    """
    try:
        sys.argv[1:] = with_inputs(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


def quote_arguments() -> None:
    """Rewrite `sys.argv` so that file names in any script may stand there unquoted."""
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]


def quote(text: str) -> str:
    """Return text as a value in a Hydra override that comes back as it is."""
    # To OmegaConf, dollar and brace begin an interpolation, and backslashes right before them count double.
    literal = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    return QuotedString(text=literal, quote=Quote.single).with_quotes()


def quoted(argument: str) -> str:
    """Return an override, its value quoted if Hydra's grammar cannot take it bare, such as `out=été`."""
    key, equals, value = argument.partition("=")
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return f"{key}={quote(value)}" if equals else argument
    return argument


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a file name, as a gathered `inputs=[...]` may be
        return False

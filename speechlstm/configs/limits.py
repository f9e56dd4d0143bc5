"""What a setting may be: its kind, from the default in its YAML file, and its range, from the comment beside it.

A range stands at the end of a comment or before a semicolon, in the notation of intervals: `[1, inf)`. With whole
numbers as ends the setting must be one. "Least and greatest" of something are two numbers in order. In the file of a
command, a setting without a default is text; a comment that shows brackets or braces, or speaks of several, allows a
list or a mapping, too. Words after "one of" are all that fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml

from speechlstm.configs.help import ConfigFile, Setting
from speechlstm.model.settings import Filled, Ordered, Within, describe, fits
from speechlstm.types import UsageError

_RANGE = re.compile(r"(?:^|\s)([\[(])(-?[\d.e-]+|-inf), (-?[\d.e-]+|inf)([\])])(?=;|$)")
_CHOICES = re.compile(r"\bone of ([\w-]+(?:, [\w-]+)*)(?=;|$)")

Limit = tuple[Any, bool]  # what a setting must be, as an annotation, and whether it may be null besides


def limits(file: ConfigFile, of_command: bool = True) -> dict[str, Limit]:
    """Return what fits the settings of a command's config file, or of an option's, by dotted key."""
    return {key: _limit(setting, of_command) for key, setting in file.settings.items()}


def _limit(setting: Setting, of_command: bool) -> Limit:
    default = None if setting.value == "???" else yaml.safe_load(setting.value)
    null, comment = setting.value == "null", setting.comment
    ranged, choices = _RANGE.search(comment), _CHOICES.search(comment)
    hint: Any = Any
    if choices:
        hint = Literal[tuple(choices[1].split(", "))]
    elif ranged:
        opens, low, high, closes = ranged.groups()
        whole = not any(mark in low + high.replace("inf", "") for mark in ".e")
        bounds = Within(float(low), float(high), (opens == "[", closes == "]"))
        hint = Annotated[int if whole else float, bounds]
        if isinstance(default, list):
            ordered = comment.startswith("least and greatest")
            hint = Annotated[list[hint], Ordered() if ordered else Filled()]
    elif isinstance(default, list) and default:
        numbers = all(type(each) in (int, float) for each in default)
        hint = Annotated[list[float] if numbers else list, Filled()]
    elif default is not None and not isinstance(default, str):
        hint = float if type(default) is int else type(default)
    elif of_command:
        hint = str | list if re.search(r"several|list|\[", comment) else str
        hint = hint | dict if "{" in comment else hint
        hint = hint if default == "" else Annotated[hint, Filled()]
    return hint | None if null and of_command else hint, not of_command and (not ranged or "null" in comment)


def accepts(value: Any, limit: Limit) -> bool:
    """Return whether a value is within a limit; a number is text, too, and `${` in it says nothing yet."""
    hint, null = limit
    number = isinstance(value, int | float) and not isinstance(value, bool)
    unknown = isinstance(value, str) and "${" in value
    return (value is None and null) or unknown or fits(value, hint) or (number and fits(str(value), hint))


def check(values: Mapping[str, Any], known: Mapping[str, Limit], defaults: Mapping[str, Any]) -> None:
    """Raise a UsageError for the first value that does not fit.

    All are known by dotted keys; a default is an example for the message, where it fits.
    """
    for key, value in values.items():
        if key not in known or value == "???" or accepts(value, known[key]):
            continue
        default = defaults.get(key)
        fitting = default not in (None, "???") and accepts(default, known[key])
        shown = f", as in {key}={_shown(default)}" if fitting else ""
        several = "; several values are for --multirun" if isinstance(value, str) and "," in value else ""
        got = repr(value) if isinstance(value, str) else _shown(value)
        raise UsageError(f"{key} is {got}, but must be {describe(known[key][0])}{shown}{several}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)

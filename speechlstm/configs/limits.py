"""What a setting may be: its kind, from the default in its YAML file, and its range, from the comment beside it.

A range stands at the end of a comment or before a semicolon, in the notation of intervals: `[1, inf)`. With whole
numbers as ends the setting must be one. "Least and greatest" of something are two numbers in order. In the file of a
command, a setting without a default is text; a comment that shows brackets or braces, or speaks of several, allows a
list or a mapping, too. Words after "one of" are all that fits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from speechlstm.configs.help import ConfigFile, Setting
from speechlstm.types import UsageError

_RANGE = re.compile(r"(?:^|\s)([\[(])(-?[\d.e-]+|-inf), (-?[\d.e-]+|inf)([\])])(?=;|$)")
_CHOICES = re.compile(r"\bone of ([\w-]+(?:, [\w-]+)*)(?=;|$)")
_KINDS = {"switch": "true or false", "list": "a list", "mapping": "a mapping", "text": "text"}


@dataclass(frozen=True, slots=True)
class Limit:
    """What fits a setting."""

    kinds: tuple[str, ...]  # switch, number, text, list, mapping; nothing where anything fits
    optional: bool  # whether it may be null
    least: float = -math.inf  # smallest number, or the one that it must be above
    most: float = math.inf  # largest number, or the one that it must be below
    ends: tuple[bool, bool] = (True, True)  # whether the two belong to the range
    whole: bool = False  # whether a number must be a whole one
    items: Limit | None = None  # what fits the items of a list, if they are numbers
    pair: bool = False  # whether a list must be of two, in order
    choices: tuple[str, ...] = ()  # all that fits, if anything
    filled: bool = False  # whether it must not be empty
    null: bool = False  # whether it is null by default

    def fits(self, value: Any) -> bool:
        """Return whether a value is within the limit; text with `${` in it is not known yet."""
        if value is None:
            return self.optional
        if not self.kinds or (isinstance(value, str) and "${" in value):
            return True
        if self.choices or value in ("", []):
            return value in self.choices if self.choices else not self.filled
        if isinstance(value, list):
            fit = "list" in self.kinds and all(self.items is None or self.items.fits(item) for item in value)
            return fit and (not self.pair or (len(value) == 2 and value[0] <= value[1]))
        if isinstance(value, dict | bool | str):
            return {dict: "mapping", bool: "switch", str: "text"}[type(value)] in self.kinds
        return "text" in self.kinds or ("number" in self.kinds and self._within(value))

    def _within(self, number: float) -> bool:
        above = number >= self.least if self.ends[0] else number > self.least
        below = number <= self.most if self.ends[1] else number < self.most
        return above and below and not (self.whole and not isinstance(number, int))

    def __str__(self) -> str:
        texts = [self._number() if kind == "number" else _KINDS[kind] for kind in self.kinds]
        if self.filled and "list" in self.kinds:
            texts[-1] += " that is not empty"
        if self.items:
            texts = [f"{'[least, greatest]' if self.pair else 'a list'}, each {self.items}"]
        if self.choices:
            texts = [f"one of {', '.join(self.choices)}"]
        return " or ".join(texts) + (", or null" if self.null else "")

    def _number(self) -> str:
        name = "a whole number" if self.whole else "a number"
        if math.isinf(self.least):
            return name
        if math.isinf(self.most):
            return f"{name}, {self.least:g} or more" if self.ends[0] else f"{name} above {self.least:g}"
        within = f"{name} from {self.least:g} to {self.most:.12g}"
        excluded = [
            f"{end:g}" for end, closed in zip((self.least, self.most), self.ends, strict=True) if not closed
        ]
        return within + (f", without {' and '.join(excluded)}" if excluded else "")


def limits(file: ConfigFile, of_command: bool = True) -> dict[str, Limit]:
    """Return what fits the settings of a command's config file, or of an option's, by dotted key."""
    return {key: _limit(setting, of_command) for key, setting in file.settings.items()}


def _limit(setting: Setting, of_command: bool) -> Limit:
    default = None if setting.value == "???" else yaml.safe_load(setting.value)
    null = setting.value == "null"
    ranged = _RANGE.search(setting.comment)
    optional = null or (not of_command and (not ranged or "null" in setting.comment))  # parts may take null
    if match := _CHOICES.search(setting.comment):
        return Limit(("text",), optional, choices=tuple(match[1].split(", ")), null=null)
    if ranged:
        opens, low, high, closes = ranged.groups()
        whole = not any(mark in low + high.replace("inf", "") for mark in ".e")
        ends = (opens == "[", closes == "]")
        number = Limit(("number",), optional, float(low), float(high), ends, whole, null=null)
        pair = setting.comment.startswith("least and greatest")
        return Limit(("list",), optional, items=number, pair=pair) if isinstance(default, list) else number
    for kind, name in ((bool, "switch"), (int | float, "number"), (list, "list"), (dict, "mapping")):
        if isinstance(default, kind):
            return Limit((name,), optional)
    if not of_command or default == "":
        return Limit((), True)
    lists = ("list",) if re.search(r"several|list|\[", setting.comment) else ()
    mappings = ("mapping",) if "{" in setting.comment else ()
    return Limit(("text", *lists, *mappings), optional, null=null, filled=not null)


def check(values: Mapping[str, Any], known: Mapping[str, Limit], defaults: Mapping[str, Any]) -> None:
    """Raise a UsageError for the first value that does not fit.

    All are known by dotted keys; a default is an example for the message, where it fits.
    """
    for key, value in values.items():
        what = known.get(key)
        if what is None or value == "???" or what.fits(value):
            continue
        default = defaults.get(key)
        shown = "" if default is None or not what.fits(default) else f", as in {key}={_shown(default)}"
        several = "; several values are for --multirun" if isinstance(value, str) and "," in value else ""
        got = repr(value) if isinstance(value, str) else _shown(value)
        raise UsageError(f"{key} is {got}, but must be {what}{shown}{several}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)

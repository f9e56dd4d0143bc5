"""Checks of a part's settings against the annotations of its constructor, and of the arguments of public functions.

    class Mine(nn.Module):
        def __init__(self, num_features: int, vocab_size: int, hidden_size: Size = 64, dropout: Share = 0.1) -> None:

The bounds keep a bundle of a few bytes from asking for all of a machine's memory. Other annotations are not
checked here but left to the part itself.
"""

from __future__ import annotations

import math
import numbers
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from speechlstm.types import UsageError


class Check(ABC):
    """What values of an annotated type must be besides; `in` says whether one is, `str` describes it."""

    @abstractmethod
    def __contains__(self, value: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class Within(Check):
    """The bounds of a number."""

    low: float
    high: float
    ends: tuple[bool, bool] = (True, True)  # whether the two belong to the range

    def __contains__(self, number: Any) -> bool:
        above = self.low <= number if self.ends[0] else self.low < number
        return bool(above and (number <= self.high if self.ends[1] else number < self.high))

    def __str__(self) -> str:
        low, high = f"{self.low:g}", f"{self.high:.12g}"
        if self.high == math.inf:
            return f", {low} or more" if self.ends[0] else f" above {low}"
        excluded = [end for end, closed in zip((low, high), self.ends, strict=True) if not closed]
        return f" from {low} to {high}" + (f", without {' and '.join(excluded)}" if excluded else "")


class Ordered(Check):
    """A list of two numbers, the least and the greatest."""

    def __contains__(self, values: Any) -> bool:
        return len(values) == 2 and values[0] <= values[1]

    def __str__(self) -> str:
        return ", least and greatest"


class Filled(Check):
    """A text or list that is not empty."""

    def __contains__(self, value: Any) -> bool:
        return len(value) > 0

    def __str__(self) -> str:
        return ", not empty"


@dataclass(frozen=True, slots=True)
class Kind(Check):
    """The classes of which a value may be, and what that means in words."""

    classes: tuple[type, ...]
    words: str

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, self.classes)

    def __str__(self) -> str:
        return self.words


_NAMES: Mapping[Any, str] = {
    object: "",  # which only stands before a check that says more
    int: "a whole number", float: "a number", bool: "true or false", str: "text", list: "a list", dict: "a mapping",
    NoneType: "null",
}  # fmt: skip
Size = Annotated[int, Within(1, 8192)]  # units, channels, heads: sizes of weights
Layers = Annotated[int, Within(1, 64)]
Frames = Annotated[int, Within(0, 1000)]
Share = Annotated[float, Within(0, 0.99)]  # a probability of dropping something
Rate = Annotated[int, Within(1000, 768000)]  # Hz, of audio
Bands = Annotated[int, Within(4, 512)]  # of a mel filterbank
Window = Annotated[float, Within(0.001, 0.5)]  # seconds
Positive = Annotated[float, Within(1e-30, 1e30)]
Tokens = Annotated[int, Within(2, 100_000)]
FileName = Annotated[object, Kind((str, os.PathLike), "a name or path: text or a pathlib.Path")]


def check(stage: str, makers: Sequence[Callable[..., Any]], settings: Mapping[str, Any]) -> None:
    """See that settings are what the arguments of a part's constructors are annotated with.

    Raises:
        UsageError: a setting of the wrong type or out of range; the message says what fits.
    """
    hints: dict[str, Any] = {}
    for make in reversed(makers):
        try:
            hints |= get_type_hints(make, include_extras=True)
        except (NameError, TypeError, AttributeError):  # names known to type checkers alone
            continue
    for key, value in settings.items():
        if key in hints:
            check_argument(f"{stage}.{key}", value, hints[key])


def check_argument(name: str, value: Any, hint: Any) -> None:
    """See that a setting, or an argument of a public function, is what an annotation asks for.

    Raises:
        UsageError: it is not; the message says what fits.
    """
    if not fits(value, hint):
        raise UsageError(f"{name} is {shown(value)}, but must be {describe(hint)}")


def fits(value: Any, hint: Any) -> bool:
    """Return whether a value is what an annotation asks for; true where the annotation is of no known kind."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, inner[0]) and all(value in each for each in inner[1:] if isinstance(each, Check))
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Literal:
        return value in [each for each in inner if type(each) is type(value)]
    if origin in (list, Sequence):
        listed = isinstance(value, list if origin is list else list | tuple)
        return listed and all(fits(each, inner[0]) for each in value)
    if hint in (int, float):
        kind: Any = numbers.Integral if hint is int else numbers.Real  # NumPy's are among them
        return isinstance(value, kind) and not isinstance(value, bool) and bool(value == value)  # no NaN
    return hint not in (bool, str, list, dict, NoneType) or isinstance(value, hint)


def describe(hint: Any) -> str:
    """Return what an annotation asks for, in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe(inner[0]) + "".join(str(each) for each in inner[1:] if isinstance(each, Check))
    if origin in (Union, UnionType):
        null = ", or null" if NoneType in inner else ""
        return " or ".join(describe(each) for each in inner if each is not NoneType) + null
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (list, Sequence):
        return f"a list, each {describe(inner[0])}"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def shown(value: Any) -> str:
    """Return a value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by their dotted names."""
    flattened: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping) and bool(value)
        flattened |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flattened

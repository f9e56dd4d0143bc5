"""Decoder names to entry points, and entry points to classes, imported on first use."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from speechlstm.configs import PLUGIN_GROUP
from speechlstm.types import DecoderError, SpeechlstmError, UsageError

if TYPE_CHECKING:  # torch takes seconds to import: not for the names alone
    from speechlstm.decoders.base import Decoder
    from speechlstm.model.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Installed:
    """What is known of one installed decoder.

    Attributes:
        name: on the command line.
        package: the distribution it came with.
        version: of the package.
        summary: first line of the class's docstring; empty if it cannot be imported.
        parameters: its own parameters with their defaults; `REQUIRED` where there is none.
        problem: why it cannot be used; empty if it can.
    """

    name: str
    package: str
    version: str
    summary: str
    parameters: dict[str, Any]
    problem: str = ""


REQUIRED = "???"  # as Hydra writes it


def names() -> list[str]:
    """Return the names of all installed decoders, without importing any."""
    return sorted({point.name for point in entry_points(group=PLUGIN_GROUP)})


def installed() -> list[Installed]:
    """Return what is known of each installed decoder, by name; imports them all."""
    points = sorted(entry_points(group=PLUGIN_GROUP), key=lambda point: (point.name, _package(point)))
    counts = Counter(point.name for point in points)
    return [_describe(point, clashes=counts[point.name] > 1) for point in points]


def entry(name: str) -> EntryPoint:
    """Return the entry point that brings a decoder, without importing it.

    Raises:
        UsageError: no installed package has a decoder of that name.
        DecoderError: several have.
    """
    found = list(entry_points(group=PLUGIN_GROUP, name=name))
    if not found:
        known = names()
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"no decoder {name!r}{hint}; installed are: {', '.join(known) or 'none'}")
    if len(found) > 1:
        packages = " and ".join(sorted(_package(each) for each in found))
        raise DecoderError(f"decoder {name!r} is claimed by {packages}; uninstall all but one of them")
    return found[0]


def load(name: str) -> type[Decoder]:
    """Import a decoder's class.

    Raises:
        UsageError: no such decoder.
        DecoderError: it cannot be imported, or is not a `Decoder`; the message names its package.
    """
    return _load(entry(name))


def origin_of(name: str) -> str:
    """Return a decoder's name with the package, or packages, that it comes from, for messages."""
    packages = sorted(_package(each) for each in entry_points(group=PLUGIN_GROUP, name=name))
    return f"decoder {name!r} of {' and '.join(packages)}"


def parameters(kind: type[Decoder]) -> dict[str, Any]:
    """Return a decoder's own parameters with their defaults; `REQUIRED` for those without one."""
    own = {key: each for key, each in inspect.signature(kind).parameters.items() if key != "tokenizer"}
    return {key: REQUIRED if each.default is each.empty else each.default for key, each in own.items()}


def create(name: str, tokenizer: Tokenizer, **params: Any) -> Decoder:
    """Make the decoder that is installed under a name.

    Args:
        name: its name on the command line.
        tokenizer: whose ids it decodes.
        **params: the decoder's own parameters.

    Raises:
        UsageError: no such decoder, or parameters that it does not take.
        DecoderError: it cannot be imported or made.
    """
    kind, origin = load(name), origin_of(name)
    try:
        inspect.signature(kind).bind(tokenizer=tokenizer, **params)
    except TypeError as error:
        known = ", ".join(parameters(kind)) or "none"
        raise UsageError(f"decoder {name!r}: {error}; its parameters are: {known}") from None
    try:
        decoder = kind(tokenizer=tokenizer, **params)
    except SpeechlstmError:
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{origin} cannot be made: {error}") from error
    except Exception as error:  # whatever a foreign constructor may raise
        raise DecoderError(f"{origin} cannot be made: {type(error).__name__}: {error}") from error
    decoder.origin = origin
    return decoder


def _load(point: EntryPoint) -> type[Decoder]:
    from speechlstm.decoders.base import Decoder

    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # whatever a foreign package's import may raise
        cause = f"{type(error).__name__}: {error}"
        raise DecoderError(
            f"decoder {point.name!r} of {_package(point)} cannot be imported: {cause}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Decoder)):
        raise DecoderError(f"{point.value} of {_package(point)} is not a speechlstm.decoders.Decoder")
    return found


def _describe(point: EntryPoint, clashes: bool) -> Installed:
    package, version = (point.dist.name, point.dist.version) if point.dist else (point.module, "")
    try:
        if clashes:
            entry(point.name)  # raises, naming all
        kind = _load(point)
        return Installed(point.name, package, version, _summary(kind), parameters(kind))
    except DecoderError as error:
        return Installed(point.name, package, version, "", {}, str(error))


def _summary(kind: type[Decoder]) -> str:
    """Return the first sentence of a class's own docstring, or nothing."""
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    return " ".join(text.partition("\n\n")[0].split())


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.module

"""Decoder names to entry points, and entry points to classes, imported on first use."""

from __future__ import annotations

import difflib
import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from speechlstm.configs import PLUGIN_GROUP
from speechlstm.decoders.base import Decoder
from speechlstm.errors import DecoderError, UsageError
from speechlstm.tokenizer import Tokenizer


def names() -> list[str]:
    """Return the names of all installed decoders, without importing any."""
    return sorted(entry_points(group=PLUGIN_GROUP).names)


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
    point = entry(name)
    try:
        found = point.load()
    except Exception as error:  # whatever a foreign package's import may raise
        cause = f"{type(error).__name__}: {error}"
        raise DecoderError(f"decoder {name!r} of {_package(point)} cannot be imported: {cause}") from error
    if not (isinstance(found, type) and issubclass(found, Decoder)):
        raise DecoderError(f"{point.value} of {_package(point)} is not a speechlstm.decoders.Decoder")
    return found


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
    kind = load(name)
    signature = inspect.signature(kind)
    try:
        signature.bind(tokenizer=tokenizer, **params)
    except TypeError as error:
        known = ", ".join(key for key in signature.parameters if key != "tokenizer") or "none"
        raise UsageError(f"decoder {name!r}: {error}; its parameters are: {known}") from None
    try:
        return kind(tokenizer=tokenizer, **params)
    except (TypeError, ValueError) as error:
        raise UsageError(f"decoder {name!r} cannot be made: {error}") from error


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.module

"""Decoders: CTC log-probabilities to token sequences. Importing this package imports neither a decoder nor torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechlstm.decoders.registry import create, names

if TYPE_CHECKING:
    from speechlstm.decoders.base import Decoder

__all__ = ["Decoder", "create", "names"]


def __getattr__(name: str) -> Any:
    if name != "Decoder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from speechlstm.decoders.base import Decoder  # brings torch, which takes seconds

    return Decoder

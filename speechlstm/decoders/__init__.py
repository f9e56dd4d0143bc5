"""Decoders: CTC log-probabilities to token sequences. Importing this package imports neither a decoder nor torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechlstm.model import registry

if TYPE_CHECKING:
    from speechlstm.decoders.base import Decoder
    from speechlstm.model.tokenizer import Tokenizer

__all__ = ["Decoder", "create", "names"]


def names() -> list[str]:
    """Return the names of all installed decoders, without importing any."""
    return registry.names("decoder")


def create(name: str, tokenizer: Tokenizer, **params: Any) -> Decoder:
    """Make the decoder that is installed under a name.

    Raises:
        UsageError: no such decoder, or settings that it does not take.
        PluginError: it cannot be imported or made.
    """
    decoder: Decoder = registry.create("decoder", name, tokenizer=tokenizer, **params)
    return decoder


if not TYPE_CHECKING:  # so that the type checker still misses what is not there

    def __getattr__(name: str) -> Any:
        if name != "Decoder":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from speechlstm.decoders.base import Decoder  # brings torch, which takes seconds

        return Decoder

"""Text to token ids and back: characters, words, subwords, phones. Id 0 is the CTC blank everywhere."""

from __future__ import annotations

from typing import Any

from speechlstm.model import registry
from speechlstm.model.tokenizer.base import Tokenizer, normalize
from speechlstm.model.tokenizer.characters import Characters
from speechlstm.model.tokenizer.phones import Phones
from speechlstm.model.tokenizer.subwords import Subwords
from speechlstm.model.tokenizer.words import Words
from speechlstm.types import TokenizerError

__all__ = ["Characters", "Phones", "Subwords", "Tokenizer", "Words", "from_dict", "normalize"]


def from_dict(content: dict[str, Any]) -> Tokenizer:
    """Make the tokenizer that some tokenizer's `to_dict` described; `kind` is its name.

    Raises:
        TokenizerError: not such a description, or its tokenizer is not installed.
        PluginError: its tokenizer cannot be imported.
    """
    kind = content.get("kind") if isinstance(content, dict) else None
    known = registry.names("tokenizer")
    if kind not in known:
        raise TokenizerError(f"tokenizer kind is {kind!r}, but must be one of {', '.join(known)}")
    found: type[Tokenizer] = registry.load("tokenizer", kind)
    try:
        return found.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TokenizerError(
            f"damaged description of a {kind} tokenizer: {type(error).__name__} {error}"
        ) from None

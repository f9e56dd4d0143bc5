"""Text to token ids and back: characters, words, subwords, phones. Id 0 is the CTC blank everywhere."""

from __future__ import annotations

from typing import Any

from speechlstm.model import registry
from speechlstm.model.tokenizer.base import Tokenizer, normalize
from speechlstm.model.tokenizer.characters import Characters
from speechlstm.model.tokenizer.phones import Phones
from speechlstm.model.tokenizer.subwords import Subwords
from speechlstm.model.tokenizer.words import Words
from speechlstm.types import PluginError, TokenizerError, UsageError

__all__ = ["Characters", "Phones", "Subwords", "Tokenizer", "Words", "from_dict", "normalize"]


def from_dict(content: dict[str, Any]) -> Tokenizer:
    """Make the tokenizer that some tokenizer's `to_dict` described; `kind` is its name.

    Raises:
        TokenizerError: not such a description, or its tokenizer is not installed.
        PluginError: its tokenizer cannot be imported.
    """
    kind = content.get("kind") if isinstance(content, dict) else None
    known = registry.names("tokenizer")
    if not isinstance(kind, str) or kind not in known:
        raise TokenizerError(f"tokenizer kind is {kind!r:.99}, but must be one of {', '.join(known)}")
    tokenizer: type[Tokenizer] = registry.load("tokenizer", kind)
    try:
        return tokenizer.from_dict(content)
    except (TokenizerError, PluginError, KeyboardInterrupt):
        raise
    except UsageError as error:
        raise TokenizerError(f"damaged description of a {kind} tokenizer: {error}") from None
    except BaseException as error:  # whatever damage leads to, in a plugin too
        reason = f"{type(error).__name__}: {str(error)[:80]}"
        raise TokenizerError(f"damaged description of a {kind} tokenizer: {reason}") from None

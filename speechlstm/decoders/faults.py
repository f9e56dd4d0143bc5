"""What makes a hypothesis of a decoder unusable."""

from __future__ import annotations

import math
from operator import le, lt
from typing import Any

from speechlstm.types import Hypothesis


def fault(found: Any, frames: int, vocab: int) -> str:
    """Return what makes a hypothesis unusable, or nothing."""
    if not isinstance(found, Hypothesis):
        return f"a {type(found).__name__}, but must return a Hypothesis"
    tokens, starts, ends, confidences = found.tokens, found.starts, found.ends, found.confidences
    if not len(tokens) == len(starts) == len(ends) == len(confidences):
        each = f"tokens: {len(tokens)}, starts: {len(starts)}, ends: {len(ends)}, confidences: {len(confidences)}"
        return f"{each}, but there must be one of each for each token"
    if not isinstance(found.score, float | int) or math.isnan(found.score):
        return f"the score {found.score!r}, but it must be a number"
    text: Any = found.text
    if not (text is None or isinstance(text, str)):
        return f"the text {text!r}, but it must be a string or None"
    if not tokens:
        return ""
    if not 0 < min(tokens) <= max(tokens) < vocab:
        return (
            f"tokens from {min(tokens)} to {max(tokens)}, but they go from 1 to {vocab - 1}; 0 is the blank"
        )
    ordered = all(map(lt, starts, ends)) and all(map(le, ends, starts[1:]))
    if not (ordered and starts[0] >= 0 and ends[-1] <= frames):
        return (
            f"tokens that start at frames {starts[:8]} and end at {ends[:8]} of {frames}, but they must follow"
            " each other, start < end <= next start"
        )
    if not (min(confidences) >= 0 and max(confidences) <= 1 + 1e-4 and not math.isnan(sum(confidences))):
        return f"confidences {confidences[:8]}, but they must lie between 0 and 1"
    return ""

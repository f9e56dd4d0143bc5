"""A small ARPA file, and what a refusal must be like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from speechlstm.decoders.lm import NGram
from speechlstm.model.tokenizer import Characters
from speechlstm.types import SpeechlstmError

CHARACTERS = Characters.from_texts(["ab c"])
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tb\t-0.2

\\2-grams:
-0.2\t<s> a
-0.5\ta b
-0.3\tb a

\\end\\
"""
HUGE = 17 << 20  # bytes, of a line that is too long


def refused(work: Callable[[], Any], status: int, *parts: str) -> None:
    """Check that something is refused in one short line that has these parts."""
    with pytest.raises(SpeechlstmError) as caught:
        work()
    message = str(caught.value)
    assert caught.value.exit_status == status
    assert "\n" not in message and len(message) < 1000
    for part in parts:
        assert part in message


def scores(model: NGram) -> list[float]:
    return model.score(["a", "b", "a", "x"])

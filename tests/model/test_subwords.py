"""Subwords: as many as asked for, joined into words, and what they need."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from toy_texts import TEXTS

from speechlstm.model.tokenizer import Subwords, Tokenizer
from speechlstm.types import TokenizerError


def test_subwords_are_as_many_as_asked_and_carry_their_model(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["subwords"]
    assert len(tokenizer) == 13
    assert tokenizer.unknown("one äx") == Counter("äx")
    with pytest.raises(TokenizerError, match=r"'ä' \(1\) not in the tokenizer's characters"):
        tokenizer.encode("one ä")
    assert tokenizer.normalize("one▁two") == "one two" == tokenizer.decode(tokenizer.encode("one▁two"))


def test_subwords_join_into_words() -> None:
    tokenizer = Subwords(["<blank>", "▁", "▁on", "e", "o"], b"")
    ids = [tokenizer.tokens.index(token) for token in ["e", "▁on", "e", "▁", "▁", "o", "e", "▁on", "▁"]]
    assert tokenizer.words(ids) == [("e", 0, 1), ("one", 1, 3), ("oe", 5, 7), ("on", 7, 8)]


@pytest.mark.parametrize("size", [3, 10_000])
def test_an_impossible_number_of_subwords_is_explained(size: int) -> None:
    with pytest.raises(TokenizerError, match=rf"cannot make {size} subwords \(tokenizer.vocab_size\): \S+"):
        Subwords.from_texts(TEXTS, vocab_size=size)


def test_without_sentencepiece_subwords_decode_and_say_how_to_encode(
    tokenizers: dict[str, Tokenizer],
) -> None:
    description = json.dumps(tokenizers["subwords"].to_dict())
    code = (
        "import sys, json; sys.modules['sentencepiece'] = None\n"
        "from speechlstm.model.tokenizer import from_dict\n"
        "tokenizer = from_dict(json.load(sys.stdin))\n"
        f"print(tokenizer.decode({tokenizers['subwords'].encode('twenty two')}))\n"
        "tokenizer.encode('two')"
    )
    done = subprocess.run([sys.executable, "-c", code], input=description, capture_output=True, text=True)
    assert done.stdout == "twenty two\n"
    assert "TokenizerError: subwords need sentencepiece: pip install 'speechlstm[subwords]'" in done.stderr

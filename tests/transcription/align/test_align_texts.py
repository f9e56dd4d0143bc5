"""What of a written text can be spelled, and how."""

from __future__ import annotations

import pytest

from speechlstm.model.tokenizer import Characters, Phones, Subwords, Tokenizer, Words
from speechlstm.transcription.align.texts import read
from speechlstm.types import SpeechlstmError

TEXT = "the two old men went on to the sea and two to the town"


def tokenizers() -> list[Tokenizer]:
    lexicon = {word: [[letter.upper() for letter in word]] for word in TEXT.split()}
    phones = sorted({phone for (way,) in lexicon.values() for phone in way})
    return [
        Characters.from_texts([TEXT]),
        Words.from_texts([TEXT]),
        Subwords.from_texts([TEXT] * 3, vocab_size=16),
        Phones(["<blank>", "|", *phones], lexicon),
    ]


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda each: each.kind)
def test_word_by_word_is_the_whole_text(tokenizer: Tokenizer) -> None:
    words = read(TEXT, tokenizer)
    separator = [] if tokenizer.separator is None else [tokenizer.tokens.index(tokenizer.separator)]
    ids = [
        index for number, word in enumerate(words) for index in [*(separator if number else []), *word.ids]
    ]
    assert ids == tokenizer.encode(TEXT)
    assert [word.texts for word in words] == [[word] for word in TEXT.split()]


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda each: each.kind)
def test_marks_and_case_do_not_keep_a_word_from_being_spelled(tokenizer: Tokenizer) -> None:
    words = read('"The two-old" MEN, — 1914 日本 — (went) to_the sea!', tokenizer)
    assert [" ".join(word.texts) for word in words] == [
        '"The', 'two-old"', "MEN,", "— 1914 日本 —", "(went)", "to_the", "sea!",
    ]  # fmt: skip
    assert [word.spoken for word in words] == ["the", "two old", "men", "", "went", "to the", "sea"]
    assert [bool(word.ids) for word in words] == [True, True, True, False, True, True, True]
    assert words[1].ids == tokenizer.encode("two old")


def test_what_has_no_words_or_none_that_can_be_spelled_is_refused() -> None:
    tokenizer = tokenizers()[0]
    for text in ("", " \n\t"):
        with pytest.raises(SpeechlstmError, match="there is no text to align"):
            read(text, tokenizer)
    with pytest.raises(SpeechlstmError, match=r"'日' \(1\), '本' \(1\) not in the tokenizer's characters"):
        read("日本", tokenizer)
    with pytest.raises(SpeechlstmError, match="'1914'"):
        read("1914", tokenizers()[1])

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
        '"The', 'two-old"', "MEN, —", "1914 日本 —", "(went)", "to_the", "sea!",
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


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda each: each.kind)
def test_marks_that_stand_alone_belong_to_the_word_beside_them(tokenizer: Tokenizer) -> None:
    words = read("— The ( two ) . . . old « men » ! ¿ 7 – § & sea ' …", tokenizer)
    assert [word.texts for word in words] == [
        ["— The"], ["( two ) . . ."], ["old"], ["« men » !"], ["¿ 7 –", "§", "&"], ["sea ' …"],
    ]  # fmt: skip
    assert [word.spoken for word in words] == ["the", "two", "old", "men", "", "sea"]
    with pytest.raises(SpeechlstmError, match="tokenizer"):
        read("— …", tokenizer)


def test_typesetting_and_accents_do_not_keep_a_word_from_being_spelled() -> None:
    text = "don't find the cafe naive"
    for tokenizer in (Characters.from_texts([text]), Words.from_texts([text])):
        for written in (
            "don’t ﬁnd the café naïve",
            "Don‘t ｆｉｎｄ t\u00adhe ca\u200bfé, \u202bnai\u0308ve\u202c",
            "don't \ufefffind the cafe naive",
        ):
            words = read(written, tokenizer)
            assert [word.spoken for word in words] == text.split()
            assert [word.texts for word in words] == [[word] for word in written.split()]
    accents = Words.from_texts(["o’clock café cafe"])
    assert [word.spoken for word in read("o'clock café cafe", accents)] == ["o’clock", "café", "cafe"]


def test_each_word_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, asked = Words.from_texts([TEXT]), list[str]()
    unknown = tokenizer.unknown
    monkeypatch.setattr(tokenizer, "unknown", lambda text: asked.append(text) or unknown(text))
    assert len(read("the sea " * 1000, tokenizer)) == 2000
    assert len(asked) < 10


def test_a_tokenizer_that_does_not_tell_its_rules_has_the_usual_ones() -> None:
    class Spelled(Words):
        """A plugin's, which does without the constructor of `Tokenizer`."""

        def __init__(self) -> None:
            self.tokens, self._ids = ["<blank>", "go"], {"go": 1}

        def normalize(self, text: str) -> str:
            return text.lower()

    assert [word.ids for word in read("GO! go", Spelled())] == [[1], [1]]

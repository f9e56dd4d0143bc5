"""Phones and their lexicon: how texts become phones and phones words, and lexica that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_texts import TEXTS

from speechlstm import configs
from speechlstm.model.tokenizer import Phones, Tokenizer, from_dict
from speechlstm.model.tokenizer.lexicon import Lexicon, read_lexicon
from speechlstm.types import TokenizerError, UsageError


def test_phones_use_the_first_pronunciation_and_bound_words(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["phones"]
    spelled = " ".join(tokenizer.tokens[index] for index in tokenizer.encode("One to a"))
    assert spelled == "W AH N | T UW | AH"
    assert tokenizer.tokens[:2] == ["<blank>", "|"]


@pytest.mark.parametrize(
    ("phones", "words"),
    [
        ("HH W AH N", [("one", 0, 4)]),  # the second pronunciation
        ("| | T UW |", [("two", 2, 4)]),  # the more frequent of to and two
        ("T UW AH", [("two", 0, 2), ("a", 2, 3)]),  # a boundary was missed
        ("W AH N W AH N", [("one", 0, 3), ("one", 3, 6)]),
        ("AH | T N T | AH", [("a", 0, 1), ("T-N-T", 2, 5), ("a", 6, 7)]),  # nothing sounds so
        ("", []),
    ],
)
def test_phones_become_words(
    tokenizers: dict[str, Tokenizer], phones: str, words: list[tuple[str, int, int]]
) -> None:
    tokenizer = tokenizers["phones"]
    assert tokenizer.words([tokenizer.tokens.index(phone) for phone in phones.split()]) == words


def test_a_first_pronunciation_beats_a_second_and_the_fewest_words_win() -> None:
    lexicon = Lexicon({"the": [["DH"], ["AH"]], "a": [["AH"]], "b": [["B"]], "ab": [["AH", "B"]]})
    assert lexicon.words(["AH"]) == [("a", 0, 1)]
    assert lexicon.words(["AH", "B"]) == [("ab", 0, 2)]
    assert lexicon.words(["B", "X"]) == []


def test_words_of_the_training_text_must_be_in_the_lexicon(lexicon: Path) -> None:
    with pytest.raises(
        TokenizerError, match=r"'zwei' \(2\), 'drei' \(1\) of the training text not in .*small.dic"
    ):
        Phones.from_texts(["one zwei drei", "zwei"], lexicon)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ONE W AH N\nTWO\n", r"bad.dic:2: 'TWO' has no phones"),
        (b"# nothing\n", r"bad.dic: no words"),
        (b"ONE \xff\n", r"bad.dic:1: not UTF-8 text"),
        (None, r"bad.dic: cannot be read: No such file"),
        (b"ONE W | N\n", r"bad.dic: '\|' must not be a phone"),
    ],
)
def test_bad_lexicons(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "bad.dic"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Phones.from_texts(["one"], path)


def test_a_parenthesis_that_is_no_number_belongs_to_the_word(tmp_path: Path) -> None:
    path = tmp_path / "odd.dic"
    path.write_text("(PAREN P\n(2) T\nA(B) AH\nA(12) EY\nA(12) EY\n")
    assert read_lexicon(path) == {"(PAREN": [["P"]], "(2)": [["T"]], "A(B)": [["AH"]], "A": [["EY"]]}


def test_an_entry_of_punctuation_alone_is_no_word_where_punctuation_is_stripped(tmp_path: Path) -> None:
    (path := tmp_path / "lexicon").write_text(". P OY\nhi. HH AY\n")
    made = Phones.from_texts(["Hi"], lexicon=path, punctuation="strip")
    assert made.lexicon.entries == {"hi": [["HH", "AY"]]}
    path.write_text(". P OY\n")
    with pytest.raises(TokenizerError, match="no words"):
        Phones.from_texts(["Hi"], lexicon=path, punctuation="strip")


def test_pronunciations_are_stored_as_texts_and_lists_are_read_too(tokenizers: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizers["phones"]
    assert isinstance(tokenizer, Phones)
    description = tokenizer.to_dict()
    ways = tokenizer.lexicon.entries
    stored = {word: [" ".join(way) for way in each] for word, each in ways.items()}
    assert description["lexicon"] == {
        word: each if len(each) > 1 else each[0] for word, each in stored.items()
    }
    assert any(len(each) > 1 for each in stored.values())
    for lexicon in (description["lexicon"], stored, ways):
        read = from_dict(description | {"lexicon": lexicon})
        assert isinstance(read, Phones) and read.lexicon.entries == ways


def test_the_lexicon_must_be_set() -> None:
    with pytest.raises(UsageError, match=r"tokenizer.lexicon is not set: add tokenizer.lexicon=\.\.\."):
        configs.build_part("tokenizer", configs.load("tokenizer/phones").tokenizer, texts=TEXTS)

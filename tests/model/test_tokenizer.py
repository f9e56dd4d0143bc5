"""Tokenizers: round trips, what is normalized, what is refused, and how ids become words again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlstm import configs
from speechlstm.model import registry
from speechlstm.model.tokenizer import Characters, Phones, Subwords, Tokenizer, Words, from_dict, normalize
from speechlstm.model.tokenizer.lexicon import Lexicon, read_lexicon
from speechlstm.types import TokenizerError, UsageError

LEXICON = """;;; a comment

ONE    W AH N
ONE(2) HH W AH N
TO     T UW
TWO    T UW
TWENTY T W EH N T IY
A      AH
"""
TEXTS = ["one two", "two twenty one a", "to one"]
CASES = st.sampled_from(["lower", "upper", "keep"])


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "small.dic"
    path.write_text(LEXICON)
    return path


@pytest.fixture(scope="module")
def tokenizers(lexicon: Path) -> dict[str, Tokenizer]:
    return {
        "characters": Characters.from_texts(TEXTS),
        "words": Words.from_texts(TEXTS),
        "subwords": Subwords.from_texts(TEXTS, vocab_size=13),
        "phones": Phones.from_texts(TEXTS, lexicon),
    }


KINDS = ["characters", "words", "subwords", "phones"]


@given(text=st.text(), case=CASES)
def test_normalizing_twice_changes_nothing(text: str, case: str) -> None:
    assert normalize(normalize(text, case), case) == normalize(text, case)


@pytest.mark.parametrize(
    ("text", "case", "expected"),
    [
        ("  Hello\t\nWORLD  ", "lower", "hello world"),
        ("  Hello\t\nWORLD  ", "upper", "HELLO WORLD"),
        ("Hello", "keep", "Hello"),
        ("cafe\u0301", "lower", "caf\u00e9"),
        ("no\u00a0break\u3000wide", "lower", "no break wide"),
        ("Straße", "upper", "STRASSE"),
        ("ΑΣ", "lower", "ας"),
        (" \n", "lower", ""),
    ],
)
def test_normalize_table(text: str, case: str, expected: str) -> None:
    assert normalize(text, case) == expected


@given(texts=st.lists(st.text().filter(lambda text: "<blank>" not in text.lower()), min_size=1), case=CASES)
def test_characters_and_words_round_trip_any_unicode(texts: list[str], case: str) -> None:
    if not any(normalize(text, case) for text in texts):
        with pytest.raises(TokenizerError, match="training text is empty"):
            Characters.from_texts(texts, case=case)
        return
    for kind in (Characters, Words):
        tokenizer = from_dict(json.loads(json.dumps(kind.from_texts(texts, case=case).to_dict())))
        for text in texts:
            ids = tokenizer.encode(text)
            assert tokenizer.decode(ids) == tokenizer.normalize(text)
            assert all(0 < index < len(tokenizer) for index in ids)


@pytest.mark.parametrize("kind", KINDS)
@given(words=st.lists(st.sampled_from(["one", "two", "twenty", "a"])))
def test_sentences_of_known_words_round_trip(
    tokenizers: dict[str, Tokenizer], kind: str, words: list[str]
) -> None:
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode("  ".join(words).upper())
    assert tokenizer.decode(ids) == " ".join(words)
    assert [word for word, _, _ in tokenizer.words(ids)] == words


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_ids_become_words_that_cover_them_in_order(
    tokenizers: dict[str, Tokenizer], kind: str, data: st.DataObject
) -> None:
    tokenizer = tokenizers[kind]
    ids = data.draw(st.lists(st.integers(1, len(tokenizer) - 1)))
    words = tokenizer.words(ids)
    bounds = [bound for _, start, end in words for bound in (start, end)]
    assert bounds == sorted(bounds) and all(start < end for _, start, end in words)
    assert all(0 <= bound <= len(ids) for bound in bounds)
    assert tokenizer.decode(ids) == " ".join(word for word, _, _ in words)
    covered = {index for _, start, end in words for index in range(start, end)}
    assert {tokenizer.tokens[index] for place, index in enumerate(ids) if place not in covered} <= {
        "<space>",
        "|",
        "▁",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_description_is_json_and_gives_the_same_tokenizer(
    tokenizers: dict[str, Tokenizer], kind: str
) -> None:
    before = tokenizers[kind]
    after = from_dict(json.loads(json.dumps(before.to_dict())))
    assert type(after) is type(before) and after.tokens == before.tokens and len(after) == len(before.tokens)
    assert [after.encode(text) for text in TEXTS] == [before.encode(text) for text in TEXTS]
    assert after.tokens[0] == "<blank>"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [[0], [1, -1], [10**6]])
def test_ids_that_are_no_tokens_are_refused(
    tokenizers: dict[str, Tokenizer], kind: str, ids: list[int]
) -> None:
    with pytest.raises(TokenizerError, match=rf"id {ids[-1]} is no token's"):
        tokenizers[kind].decode(ids)


def test_a_word_that_looks_like_the_blank_is_unknown() -> None:
    with pytest.raises(TokenizerError, match=r"'<blank>' \(1\) not in the tokenizer's words"):
        Words.from_texts(["a <blank>"]).encode("a <blank>")
    characters = Characters.from_texts(["a <blank> <space>"])
    assert characters.decode(characters.encode("<blank> <space>")) == "<blank> <space>"


def test_characters_are_in_code_point_order_whatever_the_order_of_the_texts() -> None:
    assert Characters.from_texts(["b a", "ç"]).tokens == ["<blank>", "<space>", "a", "b", "ç"]
    assert Characters.from_texts(["ç", "b a"]).tokens == ["<blank>", "<space>", "a", "b", "ç"]


def test_words_of_characters_have_the_place_of_their_ids() -> None:
    tokenizer = Characters.from_texts(["ab c"])
    ids = [tokenizer.tokens.index(token) for token in ["<space>", "a", "b", "<space>", "<space>", "c"]]
    assert tokenizer.words(ids) == [("ab", 1, 3), ("c", 5, 6)]
    assert tokenizer.decode(ids) == "ab c"


def test_unknown_characters_are_named_with_counts_and_place() -> None:
    tokenizer = Characters.from_texts(["hello world"])
    assert tokenizer.unknown("hexlo wxrld q") == Counter("xxq")
    message = r"'x' \(2\), 'q' \(1\) not in the tokenizer's characters, in 'hexlo wxrld q' at character 3"
    with pytest.raises(TokenizerError, match=message):
        tokenizer.encode("HEXLO wxrld q")


@pytest.mark.parametrize("kind", ["words", "phones"])
def test_unknown_words_are_named_with_counts_and_place(tokenizers: dict[str, Tokenizer], kind: str) -> None:
    message = r"'wo' \(2\), 'zwei' \(1\) not in the tokenizer's words, in 'two wo zwei wo' at character 5"
    with pytest.raises(TokenizerError, match=message):
        tokenizers[kind].encode("two wo zwei wo")


def test_many_unknown_characters_are_shortened() -> None:
    with pytest.raises(TokenizerError, match="and 15 more not in"):
        Characters.from_texts(["z"]).encode("abcdefghijklmnopqrstuvwxy")


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "morse"}, "kind is 'morse', but must be one of characters, phones, subwords, words"),
        ({"case": "camel"}, "case is 'camel'"),
        ({"tokens": ["a", "b"]}, "first '<blank>'"),
        ({"tokens": ["<blank>", "a", "a"]}, "must be distinct"),
        ({"tokens": ["<blank>", 7]}, "must be distinct"),
        ({"tokens": ["<blank>"]}, "no tokens but"),
        ({"tokens": None}, "must be distinct"),
        ({"kind": "subwords", "model": "no base64!"}, "damaged description of a subwords tokenizer"),
        ({"kind": "phones"}, "damaged description of a phones tokenizer: KeyError: 'lexicon'"),
        ({"kind": "phones", "lexicon": {"a": [["X"]]}}, "phones and '|' must be among"),
        ({"kind": "phones", "lexicon": {"a": []}}, "'a' has no phones"),
        ({"kind": "phones", "lexicon": {"a": [""]}}, "phones and '|' must be among"),
        (
            {"kind": "phones", "lexicon": {"a": 7}},
            "lexicon: must map each word to a list of pronunciations",
        ),
        ({"kind": "phones", "lexicon": [1]}, "lexicon: must map each word"),
    ],
)
def test_damaged_descriptions_are_refused(change: dict[str, object], message: str) -> None:
    description = Characters.from_texts(["ab"]).to_dict() | change
    with pytest.raises(TokenizerError, match=re.escape(message)):
        from_dict(description)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_builds_from_its_config(lexicon: Path, kind: str) -> None:
    overrides = {"phones": [f"tokenizer.lexicon={lexicon}"], "subwords": ["tokenizer.vocab_size=13"]}
    cfg = configs.load(f"tokenizer/{kind}", overrides.get(kind, []))
    tokenizer = configs.build_part("tokenizer", cfg.tokenizer, texts=TEXTS)
    assert tokenizer.to_dict()["kind"] == kind
    assert tokenizer.decode(tokenizer.encode("ONE TWO")) == "one two"


def test_the_lexicon_must_be_set() -> None:
    with pytest.raises(UsageError, match=r"tokenizer.lexicon is not set: add tokenizer.lexicon=\.\.\."):
        configs.build_part("tokenizer", configs.load("tokenizer/phones").tokenizer, texts=TEXTS)


def test_an4_round_trips(corpora: Path) -> None:
    lines = (corpora / "an4" / "etc" / "an4_train.transcription").read_text().splitlines()
    texts = [re.sub(r"</?s>|\(.*\)", "", line) for line in lines]
    phones = Phones.from_texts(texts, corpora / "an4" / "etc" / "an4.dic")
    for tokenizer in (
        Characters.from_texts(texts),
        Words.from_texts(texts),
        Subwords.from_texts(texts, vocab_size=100),
        phones,
    ):
        for text in texts:
            ids = tokenizer.encode(text)
            if tokenizer is phones:  # O and OH sound the same
                assert tokenizer.encode(tokenizer.decode(ids)) == ids
            else:
                assert tokenizer.decode(ids) == tokenizer.normalize(text)


# rules


@pytest.mark.parametrize(
    ("text", "rules", "wanted"),
    [
        ("IĞDIR İzmir", {"language": "tr"}, "ığdır izmir"),
        ("I\u0307zmir", {"language": "az"}, "izmir"),
        ("ığdır izmir", {"case": "upper", "language": "tr"}, "IĞDIR İZMİR"),
        ("IĞDIR İzmir", {"case": "keep", "language": "tr"}, "IĞDIR İzmir"),
        ("IT IS", {}, "it is"),
        ("Well, \u201cdon't\u201d - he said\u2026", {"punctuation": "strip"}, "well don't he said"),
        (
            "'tis rock 'n' roll, well-known\u2014and so on!",
            {"punctuation": "strip"},
            "tis rock n roll well-known and so on",
        ),
        ("¿Qué? $5 + 3%", {"punctuation": "strip"}, "qué 5 3"),
        ("A, b.", {"punctuation": "keep"}, "a, b."),
        ("...", {"punctuation": "strip"}, ""),
    ],
)
def test_rules_for_texts(text: str, rules: dict[str, str], wanted: str) -> None:
    assert normalize(text, **rules) == wanted
    assert normalize(wanted, **rules) == wanted, "once is enough"


@pytest.mark.parametrize("name", ["characters", "words", "subwords", "phones"])
def test_rules_are_kept_with_the_tokens(name: str, tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_text("ığdır A B\nizmir B C\n")
    own = {"phones": {"lexicon": str(tmp_path / "lexicon")}, "subwords": {"vocab_size": 9}}.get(name, {})
    settings = {**own, "punctuation": "strip", "language": "tr"}
    made = registry.create("tokenizer", name, texts=["Iğdır, İzmir!"], **settings)
    again = from_dict(json.loads(json.dumps(made.to_dict())))
    assert again.normalize("IĞDIR; İZMİR") == made.normalize("IĞDIR; İZMİR") == "ığdır izmir"
    assert again.decode(again.encode("İZMİR.")) == "izmir"


def test_what_was_written_before_there_were_rules_loads_and_defaults_are_not_written() -> None:
    old = {"kind": "characters", "case": "upper", "tokens": ["<blank>", "<space>", "A"]}
    assert from_dict(old).to_dict() == old


def test_an_alphabet_is_taken_as_given_and_other_characters_are_unknown() -> None:
    made = Characters.from_texts(["anything else"], alphabet="cBa a", punctuation="strip")
    assert made.tokens == ["<blank>", "<space>", "a", "b", "c"]
    assert made.encode("Cab, a cab") == [4, 2, 3, 1, 2, 1, 4, 2, 3]
    assert made.unknown("dada b") == {"d": 2}
    with pytest.raises(TokenizerError, match="no tokens"):
        Characters.from_texts(["text"], alphabet=" ")


@pytest.mark.parametrize("token", ["\ud83d", "a\udc80", "\udfff\ud800"])
def test_tokens_that_are_no_text_are_refused(token: str) -> None:
    with pytest.raises(TokenizerError, match="is no text: it has half a surrogate pair"):
        from_dict({"kind": "words", "case": "keep", "tokens": ["<blank>", "a", token]})


@pytest.mark.parametrize("made", [Characters.from_texts(["ab"]), Words.from_texts(["ab"])])
def test_a_huge_word_is_named_by_its_beginning(made: Tokenizer) -> None:
    with pytest.raises(TokenizerError) as caught:
        made.encode("ab " + "xy" * 1_000_000)
    assert (
        len(str(caught.value)) < 250 and "'x" in str(caught.value) and "at character 4" in str(caught.value)
    )

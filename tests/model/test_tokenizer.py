"""Tokenizers of every kind: round trips, what is refused, and how ids become words again."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_texts import CASES, KINDS, TEXTS

from speechlstm import configs
from speechlstm.model.tokenizer import Characters, Phones, Subwords, Tokenizer, Words, from_dict, normalize
from speechlstm.types import TokenizerError


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


def test_an_alphabet_is_taken_as_given_and_other_characters_are_unknown() -> None:
    made = Characters.from_texts(["anything else"], alphabet="cBa a", punctuation="strip")
    assert made.tokens == ["<blank>", "<space>", "a", "b", "c"]
    assert made.encode("Cab, a cab") == [4, 2, 3, 1, 2, 1, 4, 2, 3]
    assert made.unknown("dada b") == {"d": 2}
    with pytest.raises(TokenizerError, match="no tokens"):
        Characters.from_texts(["text"], alphabet=" ")


@pytest.mark.parametrize("alphabet", ["'-DENOT-", "-denot '", "'denot!,-"])
def test_an_alphabet_keeps_the_marks_that_stand_within_words(alphabet: str) -> None:
    made = Characters.from_texts(["text"], alphabet=alphabet, punctuation="strip")
    assert "".join(made.tokens[2:]) == "'-denot"
    assert made.decode(made.encode("Don't! - note-to-end")) == "don't note-to-end"


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

"""Probabilities of pronunciations: in lexicons and bundles, and in the search."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from brute_force import readings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from weighed_lexicon import LEXICON, phones_file

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.lm import NGram, load
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Phones, from_dict
from speechlstm.model.tokenizer.lexicon import parse_phones, probability, read_lexicon, to_text
from speechlstm.types import TokenizerError

LM = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\tay\t-0.3
-1.1\tbee\t-0.2
-0.8\tba\t-0.1

\\2-grams:
-0.2\t<s> ba
-0.5\tay bee
-0.3\tbee ay

\\end\\
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NGram:
    path = tmp_path_factory.mktemp("lm") / "words.arpa"
    path.write_text(LM)
    return load(path)


def ways_to_read(tokens: tuple[int, ...], phones: Phones) -> Iterator[tuple[list[str], float]]:
    """Yield the words that are spelled so, with the natural log of their pronunciations by the best ones."""
    spelled = "".join(phones.tokens[token] for token in tokens).split("|") if tokens else []
    choices = []
    for part in filter(None, spelled):
        choices.append(
            [
                (word, math.log(probability(way) / max(map(probability, ways))))
                for word, ways in phones.lexicon.entries.items()
                for way in ways
                if "".join(way) == part
            ]
        )
    for choice in itertools.product(*choices):
        yield [word for word, _ in choice], sum(share for _, share in choice)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.0, 3.0), bonus=st.floats(-1.0, 2.0))
@example(
    seed=98, weight=3.0, bonus=0.0
)  # what follows the last word, the end of the text, decides between two
def test_the_search_weighs_pronunciations(
    phones: Phones, model: NGram, seed: int, weight: float, bonus: float
) -> None:
    log_probs = noise(5, 4, seed)
    wanted: dict[str, float] = {}
    for tokens, total in readings(log_probs).items():
        for words, share in ways_to_read(tokens, phones):
            score = math.log(total) + sum(model.score(words)) + bonus * len(words) + weight * share
            key = " ".join(words)
            wanted[key] = max(wanted.get(key, -math.inf), score)
    decoder = BeamDecoder(
        phones, beam_size=3000, token_threshold=0.0, beam_threshold=math.inf, lm=model, lm_weight=1.0,
        word_bonus=bonus, lexicon="strict", pronunciation_weight=weight,
    )  # fmt: skip
    found = decoder.decode(log_probs)[0]
    assert found.score == pytest.approx(max(wanted.values()), abs=1e-5)
    assert wanted[found.text] == pytest.approx(found.score, abs=1e-5)
    assert found.score == pytest.approx(sum(found.parts.values()), abs=1e-6)


def test_a_rare_pronunciation_gives_way_to_another_word(phones: Phones) -> None:
    probs = torch.full((3, 4), 0.002)
    probs[0, 3] = probs[1, 0] = probs[2, 0] = 0.994  # B: "bee", or three times in ten "ay"
    loose = BeamDecoder(phones, lexicon="strict", pronunciation_weight=0.0, word_bonus=1.0).decode(
        probs.log()
    )[0]
    found = BeamDecoder(phones, lexicon="strict", pronunciation_weight=1.0, word_bonus=1.0).decode(
        probs.log()
    )[0]
    assert found.text == "bee" and found.score == pytest.approx(loose.score) and loose.text == "ay"
    probs[0, 2], probs[0, 3] = 0.994, 0.002  # A: "ay", or one in four times "ba", half as often as its best
    found = BeamDecoder(phones, lexicon="strict", pronunciation_weight=1.0).decode(probs.log())[0]
    assert found.text == "ay"


def test_a_lexicon_says_how_probable_its_pronunciations_are(tmp_path: Path, phones: Phones) -> None:
    entries = read_lexicon(phones_file(tmp_path, LEXICON))
    assert entries == {"ay": [["A"], ["B"]], "bee": [["B"]], "ba": [["B", "A"], ["A"], ["B", "B"]]}
    assert [probability(way) for way in entries["ba"]] == [0.5, 0.25, 0.25]
    assert probability(entries["bee"][0]) == 1.0
    description = json.loads(json.dumps(phones.to_dict()))
    assert description["lexicon"]["ba"] == ["0.5000 B A", "0.2500 A", "0.2500 B B"]
    read = from_dict(description)
    assert isinstance(read, Phones) and read.lexicon.entries == phones.lexicon.entries
    for word, ways in phones.lexicon.entries.items():
        assert list(map(probability, read.lexicon.entries[word])) == list(map(probability, ways))
    assert read.encode("ba ay") == phones.encode("ba ay") and read.decode(read.encode("ba bee")) == "ba bee"


@pytest.mark.parametrize("share", [1.0, 0.5, 1e-9])
def test_a_pronunciation_is_written_as_it_is_read(share: float) -> None:
    phones = parse_phones([str(share) if share > 1e-4 else "0.000000001", "A", "B"])
    again = parse_phones(to_text(phones).split())
    assert again == ["A", "B"] and probability(again) == pytest.approx(max(share, 1e-4))
    assert to_text(["A", "B"]) == "A B"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "a 0.0 X",
            r"p.dic:1: 'a': the probability of a pronunciation is 0.0, but must be above 0 and at most 1",
        ),
        ("a 1.5 X", r"p.dic:1: 'a': the probability of a pronunciation is 1.5,"),
        ("a 0.5", r"p.dic:1: 'a' has no phones"),
        ("a -0.5 X", r"p.dic:1: 'a': the probability of a pronunciation is -0.5,"),
        ("a 2. X", r"p.dic:1: 'a': the probability of a pronunciation is 2.,"),
        ("a 5e+1 X", r"p.dic:1: 'a': the probability of a pronunciation is 5e\+1,"),
        (
            "a 0.1 0.2 X",
            r"p.dic:1: 'a': a pronunciation has one number, its probability, but here 0.2 follows 0.1",
        ),
    ],
)
def test_wrong_probabilities(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        read_lexicon(phones_file(tmp_path, line))


@pytest.mark.parametrize(("text", "share"), [("5e-1", 0.5), ("+0.5", 0.5), ("1.", 1.0), ("1e-320", 1e-320)])
def test_probabilities_are_numbers_in_any_form(tmp_path: Path, text: str, share: float) -> None:
    (way,) = read_lexicon(phones_file(tmp_path, f"a {text} X"))["a"]
    assert way == ["X"] and probability(way) == share


def test_wrong_probabilities_of_a_bundle(phones: Phones) -> None:
    description = phones.to_dict()
    description["lexicon"]["ba"] = ["7.5 B A"]
    with pytest.raises(TokenizerError, match=r"the probability of a pronunciation is 7\.5"):
        from_dict(description)

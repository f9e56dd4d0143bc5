"""Beam search with language models, lexica, and hotwords: scores and texts are those of brute force."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from brute_force import CHARACTERS, WIDE, best, readings
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.lm import NGram
from speechlstm.decoders.posteriors import certain, noise
from speechlstm.model.tokenizer import Phones, Words


def spelled(tokens: list[int], vocab: int) -> Tensor:
    """Return log-probabilities that spell the tokens, a blank frame after each."""
    return certain([each for token in tokens for each in (token, 0)], vocab)


def text(decoder: BeamDecoder, log_probs: Tensor) -> str:
    return str(decoder.decode(log_probs)[0].text)


def lm_score(model: NGram, words: list[str]) -> float:
    return sum(model.score(words))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lexicon=st.sampled_from(["none", "soft", "strict"]),
    weight=st.floats(0.0, 2.0),
    bonus=st.floats(-1.0, 1.0),
    unk=st.floats(-4.0, 1.0),
)
def test_words_are_scored_as_the_language_model_scores_the_text(
    models: dict[str, NGram], seed: int, lexicon: str, weight: float, bonus: float, unk: float
) -> None:
    log_probs = noise(5, 4, seed)
    model = models["word"]
    wanted = {}
    for tokens, probability in readings(log_probs).items():
        words = CHARACTERS.decode(tokens).split()
        outside = sum(word not in ("a", "b", "ab") for word in words)
        if lexicon == "strict" and outside:
            continue
        price = unk * outside if lexicon == "soft" else 0.0
        wanted[tokens] = math.log(probability) + weight * lm_score(model, words) + bonus * len(words) + price
    decoder = BeamDecoder(
        CHARACTERS, lm=model, lm_weight=weight, word_bonus=bonus, unk_score=unk, lexicon=lexicon, **WIDE
    )
    found = decoder.decode(log_probs)[0]
    tokens, score = best(wanted)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert wanted[tuple(found.tokens)] == pytest.approx(score, abs=1e-5)
    parts = found.parts
    assert parts["lm"] == pytest.approx(lm_score(model, CHARACTERS.decode(found.tokens).split()), abs=1e-5)
    assert found.score == pytest.approx(parts["acoustic"] + weight * parts["lm"] + parts["bonus"], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.0, 2.0), bonus=st.floats(-1.0, 1.0))
def test_a_model_of_tokens_scores_each_token(
    models: dict[str, NGram], seed: int, weight: float, bonus: float
) -> None:
    log_probs = noise(5, 4, seed)
    model = models["token"]
    wanted = {
        tokens: math.log(probability)
        + weight * lm_score(model, [CHARACTERS.tokens[token] for token in tokens])
        + bonus * len(CHARACTERS.decode(tokens).split())
        for tokens, probability in readings(log_probs).items()
    }
    decoder = BeamDecoder(CHARACTERS, lm=model, lm_weight=weight, word_bonus=bonus, **WIDE)
    found = decoder.decode(log_probs)[0]
    assert found.score == pytest.approx(best(wanted)[1], abs=1e-5)
    assert wanted[tuple(found.tokens)] == pytest.approx(best(wanted)[1], abs=1e-5)


def test_words_that_sound_alike_are_told_apart_by_what_follows(tmp_path: Path) -> None:
    phones = Phones.from_texts(["to two go"], _lexicon(tmp_path, "to T\ntwo T\ngo G\nsix S"))
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=7\nngram 2=2\n\n\\1-grams:\n-3\t<unk>\n-99\t<s>\t0\n-1\t</s>\n-0.5\tto\t0\n"
        "-0.7\ttwo\t0\n-1\tgo\t0\n-1\tsix\t0\n\n\\2-grams:\n-0.1\tto go\n-0.1\ttwo six\n\n\\end\\\n"
    )
    decoder = BeamDecoder(phones, lm=tmp_path / "lm.arpa", lm_weight=1.0, n_best=3)
    boundary, go, six, to = (phones.tokens.index(token) for token in ("|", "G", "S", "T"))
    for last, text in ((go, "to go"), (six, "two six")):
        found = decoder.decode(spelled([to, boundary, last], len(phones)))
        assert found[0].text == text
        assert {h.text for h in found} >= {text, text.replace("two", "to") if "two" in text else "two go"}
    # Nothing follows at the end, and both are there, each with its own score.
    likelier, other, *_ = decoder.decode(spelled([to], len(phones)))
    assert (likelier.text, other.text) == ("to", "two")
    assert likelier.parts and other.parts and likelier.parts["acoustic"] == other.parts["acoustic"]
    assert likelier.score - other.score == pytest.approx(0.2 * math.log(10))
    assert likelier.parts["lm"] - other.parts["lm"] == pytest.approx(0.2 * math.log(10))


def test_a_strict_lexicon_ends_with_a_whole_word(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("ab\nb\n")
    decoder = BeamDecoder(CHARACTERS, lexicon="strict", words=tmp_path / "words.txt")
    space, a, b = 1, 2, 3
    spoken = spelled([b, space, a], 4)
    spoken[4] = torch.tensor([9e-4, 5e-5, 0.999, 5e-5]).log()
    assert text(decoder, spoken) == "b", "what is no word is left out"
    assert text(decoder, spelled([a, a, b], 4)) == "ab", "one a only: there is no word aab"
    assert text(decoder, spelled([b, space, a, b], 4)) == "b ab"
    soft = BeamDecoder(CHARACTERS, lexicon="soft", words=tmp_path / "words.txt", unk_score=-1.0)
    assert text(soft, spelled([b, space, a], 4)) == "b a"


def test_where_tokens_are_words_a_strict_lexicon_is_those_of_the_model(models: dict[str, NGram]) -> None:
    words = Words.from_texts(["a ab b c"])
    a, b, c = (words.encode(word)[0] for word in "abc")
    spoken = spelled([a, c, b], 5)
    loose = BeamDecoder(words, lm=models["word"])
    strict = BeamDecoder(words, lm=models["word"], lexicon="strict", token_threshold=0.0, beam_threshold=99.0)
    assert text(loose, spoken) == "a c b"
    [found] = strict.decode(spoken)
    assert c not in found.tokens and (found.tokens[0], found.tokens[-1]) == (a, b)
    wanted = lm_score(models["word"], [words.tokens[token] for token in found.tokens])
    assert found.parts["lm"] == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    phrases=st.lists(
        st.sampled_from(["a", "b", "ab", "a b", "b a", "ba a"]), min_size=1, max_size=3, unique=True
    ),
    boost=st.floats(0.0, 3.0),
)
def test_one_hotword_earns_its_boost_wherever_it_stands_as_a_whole(
    seed: int, phrases: list[str], boost: float
) -> None:
    log_probs = noise(5, 4, seed)
    phrase = phrases[0]
    decoder = BeamDecoder(CHARACTERS, hotwords=[phrase], hotword_boost=boost, **WIDE)
    wanted = {}
    for tokens, probability in readings(log_probs).items():
        if (1, 1) in itertools.pairwise(tokens):
            continue  # two spaces in a phrase are not what is boosted
        words, earned, place = CHARACTERS.decode(tokens).split(), 0, 0
        while place < len(words):
            if words[place : place + len(phrase.split())] == phrase.split():
                earned += len(CHARACTERS.encode(phrase))
                place += len(phrase.split())
            else:
                place += 1
        wanted[tokens] = math.log(probability) + boost * earned
    found = decoder.decode(log_probs)[0]
    if (1, 1) not in itertools.pairwise(found.tokens):
        assert found.score == pytest.approx(wanted[tuple(found.tokens)], abs=1e-6)
        assert found.score == pytest.approx(best(wanted)[1], abs=1e-6)
    # several phrases: no more than all of them together, never less than the best reading without any
    several = BeamDecoder(CHARACTERS, hotwords=phrases, hotword_boost=boost, **WIDE).decode(log_probs)[0]
    assert several.score >= found.score - 1e-6 or boost == 0


def test_hotwords_bring_out_what_is_only_half_heard() -> None:
    # "ab" and "bb" are about as likely; a phrase that is not said changes nothing.
    log_probs = torch.tensor(
        [[0.02, 0.01, 0.45, 0.52], [0.9, 0.05, 0.02, 0.03], [0.02, 0.01, 0.07, 0.9]]
    ).log()
    assert text(BeamDecoder(CHARACTERS), log_probs) == "bb"
    assert text(BeamDecoder(CHARACTERS, hotwords=["AB"]), log_probs) == "ab"
    assert text(BeamDecoder(CHARACTERS, hotwords={"ab": 0.01}), log_probs) == "bb"
    assert text(BeamDecoder(CHARACTERS, hotwords=["aba"]), log_probs) == "bb", "taken back"


def _lexicon(folder: Path, content: str) -> str:
    path = folder / "lexicon.dic"
    path.write_text(content)
    return str(path)


def test_a_frame_that_nothing_explains_does_not_end_the_search(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("b\n")
    decoder = BeamDecoder(CHARACTERS, lexicon="strict", words=tmp_path / "words.txt")
    log_probs = torch.full((3, 4), -math.inf)
    log_probs[0, 2] = log_probs[1, 0] = log_probs[2, 3] = 0.0
    found = decoder.decode(log_probs)[0]
    assert CHARACTERS.decode(found.tokens) == "b" and found.score < -60

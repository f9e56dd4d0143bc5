"""The second pass of the beam search: interpolation word by word, and hypotheses that are sorted anew."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from brute_force import CHARACTERS, WIDE
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lstm_lm import make

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.lm import NGram, estimate
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.decoders.lm.interpolation import Interpolation
from speechlstm.decoders.lm.lstm import MARKS, LstmLM
from speechlstm.decoders.posteriors import certain, noise, padded
from speechlstm.model.tokenizer import Phones, Tokenizer, Words
from speechlstm.types import DecoderError, Hypothesis, UsageError

TEXTS = ["a b", "ab a", "b ab b", "a a b", "bb a"]
NGRAM = NGram.from_trie(estimate(make_corpus([text.split() for text in TEXTS]), 2)[0])
LSTM = make([*MARKS, "b", "a", "zebra"], seed=3)
PHONES = Phones(
    ["<blank>", "|", "A", "B"],
    {"a": [["A"]], "ab": [["A", "B"], ["B", "A"]], "b": [["B"]], "bb": [["B"]], "aba": [["A", "B", "A"]]},
)


def always(words: Sequence[str], preferred: str) -> LstmLM:
    """Return a model that gives nearly all probability to one word, whatever comes before."""
    model = make([*MARKS, *words])
    for weights in model.parameters():
        weights.zero_()
    model.bias[model.ids[preferred]] = 4.0
    return model


# interpolation


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("context", [[], ["a"], ["ab", "bb"], ["never", "a"]])
def test_the_probabilities_of_all_words_sum_to_1(weight: float, context: list[str]) -> None:
    lstm = make([*MARKS, "b", "a"], seed=3)
    both = Interpolation(NGRAM, lstm, weight)
    words = [word for word in NGRAM.words if word not in MARKS]
    scores = [each[len(context)] for each in both.log_probs([[*context, word] for word in [*words, "never"]])]
    scores.append(both.log_probs([context])[0][-1])
    begin = weight * math.exp(lstm.score([[*context, "<s>"]])[0][len(context)])  # nobody says <s>
    begin += (1 - weight) * math.exp(NGRAM.score([*context, "<s>"])[len(context)])
    assert math.fsum(map(math.exp, scores)) + begin == pytest.approx(1, abs=1e-5)


def test_each_word_is_interpolated() -> None:
    both = Interpolation(NGRAM, LSTM, 0.3, lacking=["nor", "yes"])
    words = ["a", "ab", "nor", "zebra", "never"]
    (got,) = both.log_probs([words])
    alone = {word: math.exp(NGRAM.score([word], bos=False, eos=False)[0]) for word in ("ab", "bb", "<unk>")}
    lacks = [1.0, alone["ab"], alone["<unk>"] / 2, 1.0, alone["<unk>"], 1.0]
    shared = [number / sum(alone.values()) if number < 1 else 1.0 for number in lacks]
    halves = [1, 1, 0.5, 1, 1, 1]
    lstm = [math.exp(score) * share for score, share in zip(LSTM.score([words])[0], shared, strict=True)]
    ngram = [math.exp(score) * half for score, half in zip(NGRAM.score(words), halves, strict=True)]
    expected = [math.log(0.3 * one + 0.7 * other) for one, other in zip(lstm, ngram, strict=True)]
    assert got.tolist() == pytest.approx(expected, abs=1e-5)
    assert both.gains([words]) == pytest.approx([sum(expected) - sum(map(math.log, ngram))], abs=1e-5)


def test_words_are_normalized_as_the_texts_are() -> None:
    upper = NGram.from_trie(estimate(make_corpus([text.upper().split() for text in TEXTS]), 2)[0])
    both, lower = Interpolation(upper, LSTM, 0.5, str.lower), Interpolation(NGRAM, LSTM, 0.5)
    for one, other in zip(both.log_probs([["ab", "a"]]), lower.log_probs([["ab", "a"]]), strict=True):
        assert one.tolist() == pytest.approx(other.tolist())


# the decoder

TOKENIZERS: dict[str, Tokenizer] = {
    "characters": CHARACTERS,
    "words": Words(["<blank>", "a", "ab", "b"]),
    "phones": PHONES,
}


@pytest.mark.parametrize("lexicon", ["soft", "strict"])
@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=8, deadline=None)
@given(frames=st.integers(0, 8), seed=st.integers(0, 10**6))
def test_the_lm_score_becomes_that_of_both_models(name: str, lexicon: str, frames: int, seed: int) -> None:
    tokenizer = TOKENIZERS[name]
    log_probs = noise(frames, len(tokenizer), seed)
    options: dict[str, Any] = {"lm": NGRAM, "lm_weight": 0.7, "word_bonus": 0.3, "lexicon": lexicon, **WIDE}
    first = {each.text: each for each in BeamDecoder(tokenizer, n_best=6, **options)(log_probs)[0]}
    decoder = BeamDecoder(tokenizer, n_best=6, rescore=LSTM, rescore_best=6, **options)
    found = decoder(log_probs)[0]
    assert {each.text for each in found} == first.keys()
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert decoder.second_pass is not None
    for each in found:
        before = first[each.text]
        assert each.text is not None
        alike = ("tokens", "starts", "ends", "confidences")
        assert all(getattr(each, key) == getattr(before, key) for key in alike)
        (both,) = decoder.second_pass.log_probs([each.text.split()])
        if name != "phones" or lexicon == "strict":  # words without a spelling are not in the text
            assert each.parts["lm"] == pytest.approx(float(both.sum()), abs=1e-4)
        parts = each.parts
        expected = parts["acoustic"] + 0.7 * parts["lm"] + parts["bonus"]
        assert each.score == pytest.approx(expected, abs=1e-4)
        assert (parts["acoustic"], parts["bonus"]) == (before.parts["acoustic"], before.parts["bonus"])


def hypotheses(**options: Any) -> list[Hypothesis]:
    """Decode one frame that is surely one of three words: a before ab before b."""
    row = torch.tensor([[1e-9, 0.5, 0.3, 0.2]]).log()
    settings = {"lm": NGRAM, "lm_weight": 1.0, "lexicon": "strict", **WIDE}
    tokenizer = Words(["<blank>", "x", "y", "z"])
    flat = NGram.from_trie(estimate(make_corpus([["x"], ["y"], ["z"]]), 1)[0])
    return BeamDecoder(tokenizer, **{**settings, "lm": flat, **options})(row)[0]


def texts(**options: Any) -> list[str | None]:
    return [each.text for each in hypotheses(**options)]


def test_the_order_changes_exactly_where_the_second_model_wants_it() -> None:
    assert texts(n_best=3) == ["x", "y", "z"]
    for weight in (0.0, 0.2, 0.5, 0.9, 1.0):
        prefers_y = hypotheses(n_best=3, rescore=always("xyz", "y"), rescore_weight=weight)
        lstm = dict(zip("xyz", always("xyz", "y").score(["x", "y", "z"]), strict=True))
        total = {
            word: math.log(share)
            + math.log(weight * math.exp(lstm[word][0]) + (1 - weight) * math.exp(flat_score()[0]))
            for word, share in zip("xyz", (0.5, 0.3, 0.2), strict=True)
        }
        assert [each.text for each in prefers_y] == sorted("xyz", key=lambda word: -total[word]), weight
    assert texts(n_best=3, rescore=always("xyz", "y"), rescore_weight=0.0) == ["x", "y", "z"]
    assert texts(n_best=3, rescore=always("xyz", "y")) == ["y", "x", "z"]
    assert texts(n_best=3, rescore=always("xyz", "z"), rescore_weight=1.0) == ["z", "x", "y"]


def flat_score() -> list[float]:
    return NGram.from_trie(estimate(make_corpus([["x"], ["y"], ["z"]]), 1)[0]).score(["x"])


def test_hypotheses_beyond_the_best_are_not_compared() -> None:
    prefers_z = always("xyz", "z")
    assert texts(rescore=prefers_z) == ["z"]
    assert texts(rescore=prefers_z, rescore_best=2) == ["x"]
    assert texts(rescore=prefers_z, rescore_best=1) == ["x"]
    assert texts(rescore=prefers_z, rescore_best=1, n_best=3) == ["z", "x", "y"]
    assert texts(n_best=2, rescore=prefers_z) == ["z", "x"]


def test_a_last_word_that_sounds_like_another_is_chosen_in_the_second_pass() -> None:
    """The first pass likes both alike, or the other one better."""
    phones = Phones(["<blank>", "|", "A", "B"], {"bb": [["B"]], "b": [["B"]]})
    heard = certain([0, phones.tokens.index("B"), 0], len(phones))
    for word in ("b", "bb"):
        decoder = BeamDecoder(phones, lm=NGRAM, rescore=always(["b", "bb"], word), rescore_weight=1.0)
        assert decoder(heard)[0][0].text == word


def test_a_batch_gives_what_its_utterances_do() -> None:
    decoder = BeamDecoder(CHARACTERS, lm=NGRAM, rescore=LSTM, n_best=3, threads=2)
    rows = [noise(frames, 4, frames) for frames in (9, 0, 14, 3)]
    assert decoder(*padded(rows)) == [decoder(row)[0] for row in rows]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"lm": None}, UsageError, r"decoder\.rescore needs an n-gram model of words, lm=FILE, but there is none"),
        ({"lm": "tokens"}, UsageError, "but this one is of tokens"),
        ({"rescore": "gone.safetensors"}, DecoderError, r"gone\.safetensors: no such file"),
        ({"rescore": make([*MARKS, "zebra"])}, DecoderError, "1 words and the n-gram model's 4 have none in common"),
        ({"rescore_weight": 1.5}, UsageError, r"decoder\.rescore_weight is 1\.5, but must be a number from 0 to 1"),
        ({"rescore_best": 0}, UsageError, r"decoder\.rescore_best is 0, but must be a whole number"),
    ],
)  # fmt: skip
def test_mistakes(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    tokens = NGram.from_trie(estimate(make_corpus(itertools.repeat(["a", "b"], 2)), 1)[0])
    if options.get("lm") == "tokens":
        options = {"lm": tokens}
    with pytest.raises(kind, match=message):
        BeamDecoder(CHARACTERS, **{"lm": NGRAM, "rescore": LSTM, **options})


def test_the_passes_are_those_without_and_with_the_second_model() -> None:
    decoder = BeamDecoder(CHARACTERS, lm=NGRAM, rescore=LSTM, n_best=3)
    without = BeamDecoder(CHARACTERS, lm=NGRAM, n_best=3)
    for frames in (9, 0, 14):
        row = noise(frames, 4, frames)
        assert [*decoder.passes(row)] == [without(row)[0], decoder(row)[0]]
        assert [*without.passes(row)] == [without(row)[0]]


def test_who_asks_for_the_first_pass_saves_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = BeamDecoder(CHARACTERS, lm=NGRAM, rescore=LSTM)
    expected = BeamDecoder(CHARACTERS, lm=NGRAM)(noise(9, 4, 9))[0]
    asked: list[object] = []
    monkeypatch.setattr(decoder.second_pass, "gains", asked.append)
    for _ in range(3):
        assert next(decoder.passes(noise(9, 4, 9))) == expected
    assert not asked and len(decoder._idle) == 1, "the memory of a search is used again"

"""Look-ahead: against the best of all words by brute force, and without any effect on what an unpruned search finds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.beam.lookahead import Successors, best_below, successors
from speechlstm.decoders.beam.trie import build_trie
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import NGram, estimate, query
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Characters, Phones

LETTERS = "abc"


def model_of(seed: int, words: list[str], sentences: int = 30) -> NGram:
    rng = np.random.default_rng(seed)
    text = [
        [words[index] for index in rng.integers(0, len(words), rng.integers(1, 6))] for _ in range(sentences)
    ]
    return NGram.from_trie(estimate(make_corpus(text), 3)[0])


def words_of(seed: int, count: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return sorted({"".join(rng.choice(list(LETTERS), rng.integers(1, 5))) for _ in range(count)})


@compiled
def ask(nodes, states, lm, known):
    """Return the look-ahead of each node after each state."""
    found = np.empty((len(states), len(nodes)))
    for row, state in enumerate(states):
        for column in range(len(nodes)):
            found[row, column] = best_below(nodes[column], state, lm, known)
    return found


@compiled
def ask_words(words, states, lm):
    """Return the log-probability of each word after each state."""
    found = np.empty((len(states), len(words)))
    for row, state in enumerate(states):
        for column in range(len(words)):
            found[row, column] = query(lm, state, words[column])[0]
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_the_order_of_a_trie_makes_intervals(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    sequences = [tuple(rng.integers(0, 3, rng.integers(1, 5)).tolist()) for _ in range(count)]
    trie = build_trie(sequences)
    values = rng.normal(size=count)
    best = trie.best_below(values)
    for node in range(len(trie.token)):
        path: list[int] = []
        at = node
        while at:
            path.insert(0, int(trie.token[at]))
            at = int(trie.parent[at])
        below = {index for index, each in enumerate(sequences) if list(each[: len(path)]) == path}
        assert set(trie.order[trie.low[node] : trie.high[node]].tolist()) == below
        assert best[node] == max(values[index] for index in below)


def test_all_n_grams_come_out_of_the_table_again() -> None:
    for seed in range(5):
        model = model_of(seed, words_of(seed, 12))
        states, words, log_probs = model.longer()
        assert len(states) == len(set(zip(states.tolist(), words.tolist(), strict=True))) > 20
        found = ask_words(np.arange(len(model.words)), np.unique(states), model.arrays)
        rows = np.searchsorted(np.unique(states), states)
        assert found[rows, words] == pytest.approx(log_probs.astype(float))


@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_best_word_after_the_words_before(seed: int) -> None:
    """Never less, and nearly everywhere no more."""
    vocabulary = words_of(seed, 200 if seed == 5 else 25)  # many enough for whole blocks of successors
    model = model_of(seed, vocabulary, 4000 if seed == 5 else 30)
    spelled = [tuple(map(LETTERS.index, word)) for word in vocabulary for _ in range(1 + (len(word) == 2))]
    entries = [word for word in vocabulary for _ in range(1 + (len(word) == 2))]  # some with two entries
    trie = build_trie(spelled)
    ids = np.array([model.ids.get(word, model.unk) for word in entries], np.int32)
    nodes = np.zeros(len(trie.token), [("low", np.int32), ("high", np.int32), ("best", np.float64)])
    nodes["low"], nodes["high"] = trie.low, trie.high
    states = np.arange(len(model.arrays.states))
    scores = ask_words(ids[trie.order], states, model.arrays)
    nodes["best"] = trie.best_below(ask_words(ids, states[:1], model.arrays)[0])
    known = successors(model, ids[trie.order])
    found = ask(nodes, states, model.arrays, known)
    for column, node in enumerate(nodes):
        part = scores[:, node["low"] : node["high"]]
        assert (found[:, column] >= part.max(1) - 1e-6).all()
    exact = np.mean(
        found[:, 1:] - np.stack([scores[:, n["low"] : n["high"]].max(1) for n in nodes[1:]], 1) < 1e-5
    )
    assert exact > 0.8, "it is the best word's own probability nearly everywhere"
    without = np.broadcast_to(nodes["best"], found.shape)
    assert (found != without).mean() > 0.5, "and another than without context"


def test_a_model_that_is_not_there_has_no_successors() -> None:
    empty = successors(None, np.zeros(3, np.int32))
    assert isinstance(empty, Successors) and len(empty.place) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 2.5), st.floats(-1.0, 1.0))
def test_an_unpruned_search_finds_the_same_without_it(seed: int, weight: float, bonus: float) -> None:
    vocabulary = words_of(seed, 10)
    model = model_of(seed, vocabulary[: max(1, len(vocabulary) - 2)])  # which lacks some words of the lexicon
    characters = Characters.from_texts([LETTERS])
    log_probs = noise(7, len(characters), seed)
    found = []
    for context in (True, False):
        decoder = strict(characters, vocabulary, model, weight, bonus, beam_size=4000)
        assert decoder.options.context
        decoder.options = decoder.options._replace(context=context)
        found.append(decoder.decode(log_probs))
    assert [each.tokens for each in found[0]] == [each.tokens for each in found[1]]
    for one, other in zip(*found, strict=True):
        assert one.parts == pytest.approx(other.parts, abs=1e-6) and one.score == pytest.approx(
            other.score, abs=1e-6
        )


def strict(
    characters: Characters, words: list[str], model: NGram, weight: float, bonus: float, beam_size: int
) -> BeamDecoder:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(words))
        file.flush()
        return BeamDecoder(
            characters, lexicon="strict", words=file.name, lm=model, lm_weight=weight, word_bonus=bonus,
            beam_size=beam_size, n_best=5, token_threshold=0.0, beam_threshold=math.inf,
        )  # fmt: skip


def test_narrow_beams_are_better_with_it() -> None:
    vocabulary = words_of(1, 60)
    rng = np.random.default_rng(0)
    follow = {
        word: [vocabulary[index] for index in rng.integers(0, len(vocabulary), 2)] for word in vocabulary
    }
    text = []
    for _ in range(400):
        sentence = [vocabulary[rng.integers(len(vocabulary))]]
        while len(sentence) < 6:
            sentence.append(follow[sentence[-1]][rng.integers(2)])
        text.append(sentence)
    model = NGram.from_trie(estimate(make_corpus(text), 3)[0])
    characters = Characters.from_texts([LETTERS])
    scores = {}
    for context in (True, False):
        decoder = strict(characters, vocabulary, model, 1.0, 0.0, beam_size=6)
        decoder.options = decoder.options._replace(context=context)
        scores[context] = sum(decoder.decode(noise(30, len(characters), seed))[0].score for seed in range(40))
    assert scores[True] > scores[False]


def test_words_that_the_model_lacks_share_the_unknown_word_s_probability(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-0.3\t<unk>\n-99\t<s>\n-1\t</s>\n-1\tab\n\n\\end\\\n"
    )
    characters = Characters.from_texts([LETTERS])
    log_probs = torch.tensor([[0.02, 0.02, 0.9, 0.03, 0.03]]).log()  # blank, space, a, b, c
    parts = {}
    for lacking in (["a"], ["a", "b"], ["a", "b", "c", "cc"]):
        (tmp_path / "words.txt").write_text("\n".join(["ab", *lacking]))
        decoder = BeamDecoder(
            characters, lexicon="strict", words=tmp_path / "words.txt", lm=tmp_path / "lm.arpa", lm_weight=1.0
        )
        found = decoder.decode(log_probs)[0]
        assert found.text == "a"
        parts[len(lacking)] = found.parts["lm"]
    assert parts[1] == pytest.approx(-1.3 * math.log(10), abs=1e-5), "alone it gets all of it"
    assert parts[1] - parts[2] == pytest.approx(math.log(2), abs=1e-6)
    assert parts[1] - parts[4] == pytest.approx(math.log(4), abs=1e-6)


def test_pronunciations_of_a_word_share_its_successors(tmp_path: Path) -> None:
    (tmp_path / "words.dic").write_text("read R D\nread(2) R E\nred R E\nrow R O\n")
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=6\nngram 2=2\n\n\\1-grams:\n-3\t<unk>\n-99\t<s>\t0\n-1\t</s>\n-2\tread\t0\n-0.5\tred\t0\n"
        "-1\trow\t0\n\n\\2-grams:\n-0.1\trow read\n-0.1\tred row\n\n\\end\\\n"
    )
    phones = Phones.from_texts(["read red row"], tmp_path / "words.dic")
    decoder = BeamDecoder(phones, lm=tmp_path / "lm.arpa", lm_weight=1.0, lexicon="strict")
    boundary, read, row, either = (phones.tokens.index(token) for token in ("|", "D", "O", "E"))
    r = phones.tokens.index("R")
    for path, text in (
        ([r, either], "red"),
        ([r, row, boundary, r, either], "row read"),
        ([r, row, boundary, r, read], "row read"),
        ([r, either, boundary, r, row], "red row"),
    ):
        probs = torch.full((len(path), len(phones)), 0.01)
        probs[torch.arange(len(path)), torch.tensor(path)] = 1 - 0.01 * (len(phones) - 1)
        assert decoder.decode(probs.log())[0].text == text

"""Pruning by relative entropy: the equation by brute force, probabilities that sum to 1, and a size that is kept."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lm_estimate import SENTENCES, Gram, grams

from speechlstm.decoders.lm import NGram, Trie, estimate, read_arpa
from speechlstm.decoders.lm.corpus import BOS, Corpus, make_corpus
from speechlstm.decoders.lm.pruning import Pruner
from speechlstm.decoders.lm.writing import MEGABYTE, encode_arpa, fit_arpa
from speechlstm.types import UsageError

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=2, max_size=12)


def probability(model: dict[Gram, tuple[float, float]], context: Gram, word: str) -> float:
    """Return the probability of a word by the definition of a back-off model."""
    if (*context, word) in model:
        return math.exp(model[*context, word][0])
    weight = math.exp(model[context][1]) if context in model else 1.0
    return weight * probability(model, context[1:], word)


def sums(trie: Trie) -> list[float]:
    """Return what the probabilities of all words sum to after each context."""
    model = grams(trie)
    contexts = {gram[:-1] for gram in model if gram}
    return [
        sum(probability(model, context, word) for word in trie.words if word != BOS) for context in contexts
    ]


def growth(trie: Trie, corpus: Corpus, gram: Gram) -> float:
    """Return the relative entropy of the model to itself without an n-gram, its context weighted anew."""
    before = grams(trie)
    after = {other: value for other, value in before.items() if other != gram}
    context = gram[:-1]
    rest = [word for word in trie.words if word != BOS and (*context, word) not in after]
    left = 1.0 - sum(math.exp(after[other][0]) for other in after if other and other[:-1] == context)
    weight = left / sum(probability(after, context[1:], word) for word in rest)
    after[context] = (after[context][0], math.log(weight))
    text = [corpus.words[index] for index in corpus.stream]
    size = len(context)
    times = sum(tuple(text[place : place + size]) == context for place in range(len(text)))
    entropy = 0.0
    for word in trie.words:
        if word != BOS:
            p = probability(before, context, word)
            entropy += p * math.log(p / probability(after, context, word))
    return times / len(text) * entropy


@pytest.mark.parametrize("order", [2, 3, 4])
def test_costs_are_the_relative_entropies(order: int) -> None:
    corpus = make_corpus(SENTENCES)
    trie, _ = estimate(corpus, order)
    costs = dict(zip(grams(trie), Pruner.of(trie, corpus).costs[1:], strict=True))
    for gram in list(grams(trie))[:: 1 + order]:
        if len(gram) > 1:
            assert costs[gram] == pytest.approx(growth(trie, corpus, gram), rel=1e-3, abs=1e-8), gram
        else:
            assert costs[gram] == math.inf


@given(TEXTS, st.integers(1, 4), st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_probabilities_still_sum_to_1(sentences: list[list[str]], order: int, count: int) -> None:
    corpus = make_corpus(sentences)
    trie, _ = estimate(corpus, order)
    pruned = Pruner.of(trie, corpus).keep(count)
    assert sums(pruned) == pytest.approx([1.0] * len(sums(pruned)), abs=1e-5)
    assert set(grams(pruned)) <= set(grams(trie))
    assert pruned.words == trie.words


@given(TEXTS, st.integers(2, 4))
@settings(max_examples=10, deadline=None)
def test_without_pruning_the_model_is_the_same(sentences: list[list[str]], order: int) -> None:
    corpus = make_corpus(sentences)
    trie, _ = estimate(corpus, order)
    same = Pruner.of(trie, corpus).above(-math.inf)
    assert np.array_equal(same.context, trie.context) and np.array_equal(same.log_prob, trie.log_prob)
    for sentence in sentences:
        assert NGram.from_trie(same).score(sentence) == pytest.approx(
            NGram.from_trie(trie).score(sentence), abs=1e-4
        )


def test_more_pruning_predicts_worse() -> None:
    corpus = make_corpus(SENTENCES)
    pruner = Pruner.of(estimate(corpus, 3)[0], corpus)
    sizes = [sum(pruner.keep(count).counts) for count in (100, 80, 60, 40)]
    assert all(abs(size - count) <= 3 for size, count in zip(sizes, (100, 80, 60, 40), strict=True))
    perplexities = [
        NGram.from_trie(pruner.keep(size)).perplexity(corpus).with_oov for size in (100, 80, 60, 40)
    ]
    assert perplexities == sorted(perplexities)


def test_words_pruned_by_count_are_no_trouble() -> None:
    corpus = make_corpus(SENTENCES)
    trie, _ = estimate(corpus, 3, [1])
    assert len(trie.words) < len(corpus.words)
    pruned = Pruner.of(trie, corpus).keep(len(trie.words) + 5)
    assert sums(pruned) == pytest.approx([1.0] * len(sums(pruned)), abs=1e-5)


@pytest.mark.parametrize("gzipped", [True, False])
def test_a_file_of_the_size_that_is_wanted(tmp_path: Path, gzipped: bool) -> None:
    rng = np.random.default_rng(0)
    words = [f"w{index}" for index in range(300)]
    corpus = make_corpus([[words[min(299, int(rng.exponential(40)))] for _ in range(12)] for _ in range(600)])
    trie, _ = estimate(corpus, 3)
    pruner = Pruner.of(trie, corpus)
    whole = len(encode_arpa(trie, gzipped, short=True))
    wanted = whole * 0.4 / MEGABYTE
    fitted, content = fit_arpa(pruner, wanted, gzipped)
    assert 0.9 * wanted * MEGABYTE < len(content) <= wanted * MEGABYTE
    path = tmp_path / ("lm.arpa.gz" if gzipped else "lm.arpa")
    path.write_bytes(content)
    read, exact = (NGram.from_trie(each).perplexity(corpus).with_oov for each in (read_arpa(path), fitted))
    assert read == pytest.approx(exact, rel=0.01)
    assert fit_arpa(pruner, whole / MEGABYTE, gzipped)[0] is trie
    with pytest.raises(UsageError, match=r"size_mb=0.0001 is less than the 0.00[0-9]+ MB that the 236 words"):
        fit_arpa(pruner, 0.0001, gzipped)


def test_short_numbers_leave_words_alone() -> None:
    """A word may look like a back-off weight of 1."""
    trie, _ = estimate(make_corpus([["0", "0", "1"], ["0"]]), 1)
    lines = gzip.decompress(encode_arpa(trie, gzipped=True, short=True)).decode().splitlines()
    assert any(line.endswith("\t0") for line in lines)

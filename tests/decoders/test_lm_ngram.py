"""The model in memory: what back-off means, states that are no longer than they must be, and compiled callers."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.decoders.lm import NGram, NGramArrays, Trie, estimate, query, read_arpa
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.decoders.lm.ngram import FLOOR

Gram = tuple[str, ...]
Model = dict[Gram, tuple[float, float]]  # log10 probability and back-off

WORDS = ("<unk>", "<s>", "</s>", "a", "b", "c")
LN10 = math.log(10)


def arpa(model: Model) -> str:
    """Write a model as an ARPA file."""
    order = max(map(len, model))
    sections = {
        n: {gram: values for gram, values in model.items() if len(gram) == n} for n in range(1, order + 1)
    }
    text = "\\data\\\n" + "".join(f"ngram {n}={len(section)}\n" for n, section in sections.items())
    for n, section in sections.items():
        lines = (f"{prob!r}\t{' '.join(gram)}\t{backoff!r}\n" for gram, (prob, backoff) in section.items())
        text += f"\n\\{n}-grams:\n{''.join(lines)}"
    return text + "\n\\end\\\n"


def build(model: Model) -> NGram:
    with TemporaryDirectory() as folder:
        (Path(folder) / "lm.arpa").write_text(arpa(model))
        return NGram.from_trie(read_arpa(Path(folder) / "lm.arpa"))


def backed_off(model: Model, context: Gram, word: str) -> float:
    """Return what an ARPA file means: the longest n-gram there is, after the back-offs of contexts too long."""
    if (*context, word) in model:
        return model[(*context, word)][0]
    return (model[context][1] if context in model else 0.0) + backed_off(model, context[1:], word)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any n-grams at all, so that contexts and suffixes of some are missing."""
    order = draw(st.integers(1, 4))
    value = st.integers(-64, 0).map(lambda number: number / 16)
    model: Model = {(word,): (draw(value), draw(value) * (order > 1)) for word in WORDS}
    longer = st.lists(st.sampled_from(WORDS), min_size=2, max_size=order).map(tuple)
    for gram in draw(st.lists(longer, max_size=25, unique=True)) if order > 1 else []:
        zero = draw(st.booleans()) or len(gram) == order
        model[gram] = (draw(value), 0.0 if zero else draw(value))
    top = max(map(len, model))  # the longest have no back-off
    return {gram: (prob, backoff * (len(gram) < top)) for gram, (prob, backoff) in model.items()}


SENTENCES = st.lists(st.sampled_from(("<unk>", "a", "b", "c")), max_size=8)


@settings(max_examples=150)
@given(models(), SENTENCES, st.booleans(), st.booleans())
def test_scores_are_what_the_file_means(model: Model, sentence: list[str], bos: bool, eos: bool) -> None:
    keep = max(map(len, model)) - 1
    history: Gram = ("<s>",) if bos else ()
    wanted = []
    for word in [*sentence, *["</s>"] * eos]:
        wanted.append(backed_off(model, history[len(history) - min(keep, len(history)) :], word) * LN10)
        history = (*history, word)
    assert build(model).score(sentence, bos, eos) == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=100)
@given(models())
def test_states_are_the_contexts_that_matter(model: Model) -> None:
    """After any history the state is the longest end of it that n-grams continue, or that has a back-off."""
    matters = {gram[:n] for gram in model for n in range(len(gram))}
    matters |= {gram for gram, (_, backoff) in model.items() if backoff}
    made = build(model)
    states: dict[Gram, int] = {}
    for history in itertools.chain.from_iterable(itertools.product(WORDS, repeat=n) for n in range(4)):
        state = made.null
        for word in history:
            _, state = query(made.arrays, state, made.ids[word])
        context = next(history[n:] for n in range(len(history) + 1) if history[n:] in matters)
        assert states.setdefault(context, state) == state, history
    assert len(set(states.values())) == len(states)
    assert states[()] == made.null == 0 and states.get(("<s>",), 0) == made.start
    assert set(states.values()) <= set(range(len(made.arrays.states)))


@numba.njit(nogil=True)
def total(arrays: NGramArrays, state: int, words: np.ndarray) -> tuple[float, int]:
    result = 0.0
    for word in words:
        log_prob, state = query(arrays, state, word)
        result += log_prob
    return result, state


@pytest.fixture(scope="module")
def trie() -> Trie:
    """A 3-gram model of 20,000 words whose frequencies fall as those of a language do."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in rng.zipf(1.4, 20_000) % 3000]
    return estimate(make_corpus([words[at : at + 12] for at in range(0, len(words), 12)]), 3)[0]


@pytest.fixture(scope="module")
def zipf(trie: Trie) -> NGram:
    return NGram.from_trie(trie)


def test_compiled_functions_call_it(zipf: NGram) -> None:
    sentence = ["w1", "w2", "w1", "w9", "nothing"]
    ids = np.array([zipf.ids.get(word, zipf.unk) for word in [*sentence, "</s>"]], np.int32)
    log_prob, state = total(zipf.arrays, zipf.start, ids)
    assert log_prob == pytest.approx(sum(zipf.score(sentence)))
    assert isinstance(state, int) and state == zipf.null, "nothing follows </s>"
    with pytest.raises(ValueError, match="read-only"):
        zipf.arrays.states["backoff"][0] = 1


def test_every_ngram_is_found_and_costs_little(trie: Trie, zipf: NGram) -> None:
    assert sum(trie.counts) > 19_000
    for node in range(1, len(trie.context)):
        words, context = [int(trie.word[node])], int(trie.context[node])
        while context:
            words, context = [int(trie.word[context]), *words], int(trie.context[context])
        state = zipf.null
        for word in words:
            log_prob, state = query(zipf.arrays, state, word)
        assert log_prob == pytest.approx(trie.log_prob[node], abs=1e-6)
    size = zipf.arrays.table.nbytes + zipf.arrays.states.nbytes + zipf.arrays.unigrams.nbytes
    assert size / sum(trie.counts) <= 24


def test_perplexity_and_unknown_words(zipf: NGram) -> None:
    sentences = [["w1", "x", "w2"], ["y"], ["x", "w1"]]
    scores = [zipf.score(sentence) for sentence in sentences]
    found = zipf.perplexity(make_corpus(sentences))
    assert (found.sentences, found.words, found.oov) == (3, 6, [("x", 2), ("y", 1)])
    everything = [score for sentence in scores for score in sentence]
    assert found.with_oov == pytest.approx(math.exp(-np.mean(everything)))
    known = [scores[0][0], *scores[0][2:], scores[1][1], *scores[2][1:]]
    assert found.without_oov == pytest.approx(math.exp(-np.mean(known)))


def test_longest_and_emptiest(zipf: NGram) -> None:
    assert zipf.score([], eos=False) == []
    assert len(zipf.score(["w1"] * 100_000)) == 100_001
    assert NGram.from_trie(estimate(make_corpus([["a"]]), 1)[0]).score([]) == pytest.approx(
        [math.log(5 / 12)]
    )


@pytest.mark.parametrize("missing", ["<unk>", "<s>", "</s>"])
def test_a_model_without_a_mark_gets_it(missing: str) -> None:
    model: Model = {(word,): (-0.5, -0.25) for word in WORDS if word != missing}
    model |= {("a", "b"): (-0.125, 0.0)}
    made = build(model)
    assert made.words == [*(word for word in WORDS if word != missing), missing]
    scores = made.score(["a", "x"])
    wanted = {
        "<unk>": [-0.75 * LN10, -0.25 * LN10 + FLOOR, -0.5 * LN10],
        "<s>": [-0.5 * LN10, -0.75 * LN10, -0.75 * LN10],
        "</s>": [-0.75 * LN10, -0.75 * LN10, -0.25 * LN10 + FLOOR],
    }[missing]
    assert scores == pytest.approx(wanted, abs=1e-5) and pytest.approx(math.log(1e-10)) == FLOOR

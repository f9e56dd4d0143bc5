"""Estimation: the equations written out, lmplz's own numbers, probabilities that sum to 1, and odd texts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.decoders.lm import NGram, Trie, estimate
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.decoders.lm.kneser_ney import FALLBACK
from speechlstm.types import SpeechlstmError, UsageError

Gram = tuple[str, ...]

TEXT = """
turn left at the old mill
turn right at the mill
go left at the river
go right past the old river
stop at the mill
stop at the old mill by the river
turn left
turn right by the mill
go past the mill and stop
the river by the old mill
go on and on and on then wait
"""
SENTENCES = [line.split() for line in TEXT.split("\n") if line]

# log10 probability and back-off by lmplz of kenlm 0.3.0, -o 3 --discount_fallback, of the text above
LMPLZ = {
    "<unk>": (-1.3989944, 0.0),
    "</s>": (-0.9638261, 0.0),
    "the": (-1.0920069, -0.1874049),
    "mill": (-1.3481086, -0.37897217),
    "<s> turn": (-0.6700745, -0.09200268),
    "at the": (-0.39466473, -0.11095308),
    "the old": (-0.80551374, -0.041392703),
    "old mill": (-0.6969981, -0.12406226),
    "<s> go": (-0.6700745, -0.19629467),
    "<s> turn left": (-0.58836496, 0.0),
    "at the mill": (-0.72257346, 0.0),
    "the old mill": (-0.7383908, 0.0),
    "and on and": (-0.2676421, 0.0),
}
# the same with --prune 0 0 1, which leaves 12 of 47 3-grams
LMPLZ_PRUNED = {
    "<unk>": (-1.3989944, 0.0),
    "mill": (-1.3481086, -0.37897217),
    "<s> turn": (-0.6700745, -0.09200268),
    "at the": (-0.39466473, -0.07197679),
    "the old": (-0.80551374, 0.0),
    "old mill": (-0.6969981, -0.059121482),
    "<s> go": (-0.6700745, 0.0),
    "at the mill": (-0.69889194, 0.0),
    "the old mill": (-0.6969981, 0.0),
}
# of its first three lines, -o 2: the 1-grams have the fall-back discounts, the 2-grams estimated ones
LMPLZ_SHORT = {
    "<unk>": (-1.3424227, 0.0),
    "left": (-0.9322482, -0.1627273),
    "the": (-1.0906107, -0.20412),
    "mill </s>": (-0.40576535, 0.0),
    "<s> turn": (-0.5809603, 0.0),
    "at the": (-1.0906107, 0.0),
}


def grams(trie: Trie) -> dict[Gram, tuple[float, float]]:
    """Return log probability and back-off (natural logs) of each n-gram."""
    texts: list[Gram] = [()]
    for context, word in zip(trie.context[1:], trie.word[1:], strict=True):
        texts.append((*texts[context], trie.words[word]))
    values = zip(trie.log_prob.tolist(), trie.backoff.tolist(), strict=True)
    return dict(list(zip(texts, values, strict=True))[1:])


def reference(
    sentences: Sequence[Sequence[str]], order: int, prune: Sequence[int]
) -> tuple[dict[Gram, tuple[float, float]], list[tuple[float, ...]]]:
    """Estimate by the equations in the module's docstring, one n-gram at a time; also return the discounts."""
    occurrences: Counter[Gram] = Counter()
    for sentence in sentences:
        marked = ("<s>", *sentence, "</s>")
        for n in range(1, order + 1):
            occurrences.update(marked[at : at + n] for at in range(len(marked) - n + 1))
    order = max(map(len, occurrences))
    prune = [*prune, *[prune[-1]] * order][:order]
    before: defaultdict[Gram, set[str]] = defaultdict(set)
    for gram in occurrences:
        before[gram[1:]].add(gram[0])
    adjusted = {("<unk>",): 0} | {
        gram: count if len(gram) == order or gram[0] == "<s>" else len(before[gram])
        for gram, count in occurrences.items()
    }
    adjusted[("<s>",)] = 0
    marks = {("<unk>",), ("<s>",), ("</s>",)}
    kept = {gram for gram in adjusted if gram in marks or occurrences[gram] > prune[len(gram) - 1]}
    discounts: list[tuple[float, ...]] = []
    for n in range(1, order + 1):
        have = Counter(count for gram, count in adjusted.items() if len(gram) == n)
        fitted: tuple[float, ...] = ()
        if have[1] and have[2] and have[3]:
            y = have[1] / (have[1] + 2 * have[2])
            fitted = tuple(k - (k + 1) * y * have[k + 1] / have[k] for k in (1, 2, 3))
        good = fitted and all(1e-6 < discount <= k for k, discount in enumerate(fitted, 1))
        discounts.append((0.0, *(fitted if good else FALLBACK)))
    followers: defaultdict[Gram, list[Gram]] = defaultdict(list)
    for gram in adjusted:
        followers[gram[:-1]].append(gram)

    def discount(gram: Gram) -> float:
        return discounts[len(gram) - 1][min(adjusted[gram], 3)]

    def gamma(context: Gram) -> float:
        seen = followers[context]
        freed = sum(discount(gram) if gram in kept else adjusted[gram] for gram in seen)
        return freed / sum(adjusted[gram] for gram in seen) if seen else 1.0

    def prob(gram: Gram) -> float:
        if not gram:
            return 1 / (len([one for one in kept if len(one) == 1]) - 1)
        total = sum(adjusted[each] for each in followers[gram[:-1]])
        return (adjusted[gram] - discount(gram)) / total + gamma(gram[:-1]) * prob(gram[1:])

    model = {gram: (math.log(prob(gram)), math.log(gamma(gram))) for gram in kept}
    model["<s>",] = (-99 * math.log(10), model["<s>",][1])
    return model, discounts


def assert_equal(made: dict[Gram, tuple[float, float]], wanted: dict[Gram, tuple[float, float]]) -> None:
    assert made.keys() == wanted.keys()
    difference = np.array([made[gram] for gram in wanted]) - np.array(list(wanted.values()))
    assert np.abs(difference).max() < 2e-6 * 99, "float32 of -99"
    assert np.abs(difference[[gram != ("<s>",) for gram in wanted]]).max() < 3e-6


WORDS = st.sampled_from("abcdef")
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=7), min_size=1, max_size=25)
PRUNE = st.lists(st.integers(0, 2), max_size=3).map(sorted)


@settings(max_examples=200)
@given(TEXTS, st.integers(3, 6), PRUNE)
def test_every_ngram_equals_the_equations(sentences: list[list[str]], order: int, prune: list[int]) -> None:
    trie, summaries = estimate(make_corpus(sentences), order, prune)
    model, discounts = reference(sentences, order, prune or [0])
    assert_equal(grams(trie), model)
    assert [(0.0, *summary.discounts) for summary in summaries] == [pytest.approx(each) for each in discounts]
    assert [summary.kept for summary in summaries][: trie.order] == trie.counts


@settings(max_examples=100)
@given(TEXTS, st.integers(1, 5), PRUNE, st.none() | st.integers(1, 4), st.lists(WORDS, max_size=6))
def test_probabilities_sum_to_one_in_any_context(
    sentences: list[list[str]], order: int, prune: list[int], vocab_size: int | None, context: list[str]
) -> None:
    corpus = make_corpus(sentences)
    corpus = corpus if vocab_size is None else corpus.limited(vocab_size)
    model = NGram.from_trie(estimate(corpus, order, prune[:order])[0])
    for bos in (True, False):
        last = [model.score([*context, word], bos, eos=False)[-1] for word in model.words if word != "<s>"]
        assert math.fsum(map(math.exp, last)) == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize(
    ("sentences", "order", "prune", "counts", "wanted"),
    [
        (SENTENCES, 3, [], [19, 36, 47], LMPLZ),
        (SENTENCES, 3, [0, 0, 1], [19, 36, 12], LMPLZ_PRUNED),
        (SENTENCES[:3], 2, [], [12, 14], LMPLZ_SHORT),
    ],
)
def test_the_numbers_of_lmplz(
    sentences: list[list[str]],
    order: int,
    prune: list[int],
    counts: list[int],
    wanted: dict[str, tuple[float, float]],
) -> None:
    trie, _ = estimate(make_corpus(sentences), order, prune)
    assert trie.counts == counts
    made = grams(trie)
    for text, values in wanted.items():
        assert np.array(made[tuple(text.split())]) / math.log(10) == pytest.approx(values, abs=1e-6), text


def test_a_real_text_as_lmplz_has_it(corpora: Path) -> None:
    """Counts, discounts and log10 probabilities by lmplz of kenlm 0.3.0, -o 3; perplexity by its query."""
    folder = corpora / "librispeech" / "LibriSpeech"
    texts = [
        [line.split()[1:] for path in sorted((folder / name).rglob("*.trans.txt")) for line in path.open()]
        for name in ("train-clean-5", "dev-sample")
    ]
    trie, summaries = estimate(make_corpus(texts[0]), 3)
    assert trie.counts == [7233, 33749, 48790]
    assert [summary.discounts for summary in summaries] == [
        pytest.approx((0.615103, 1.16786, 1.60145), rel=1e-5),
        pytest.approx((0.827244, 1.22629, 1.40096), rel=1e-5),
        pytest.approx((0.932056, 1.327, 1.81833), rel=1e-5),
    ]
    made, wanted = grams(trie), {"<unk>": (-4.539504, 0.0), "THE": (-1.6315292, -0.27344218)}
    wanted |= {"OF THE": (-0.66378504, -0.10879232), "HE HAD BEEN": (-0.85257024, 0.0)}
    for text, values in wanted.items():
        assert np.array(made[tuple(text.split())]) / math.log(10) == pytest.approx(values, abs=2e-6), text
    found = NGram.from_trie(trie).perplexity(make_corpus(texts[1]))
    assert (found.words + found.sentences, sum(count for _, count in found.oov)) == (8267, 1057)
    assert found.with_oov == pytest.approx(636.435020168266, rel=1e-5)
    assert found.without_oov == pytest.approx(327.3432602927352, rel=1e-5)


def test_unknown_words_and_marks_in_the_text() -> None:
    plain, marked = [["a", "b"], ["b"]], [["<s>", "a", "b", "</s>"], [], ["b", "</S>"], ["<S>"]]
    corpus = make_corpus(marked)
    assert corpus.marks == 4 and corpus.num_sentences == 2 and corpus.num_words == 3
    assert grams(estimate(corpus, 2)[0]) == grams(estimate(make_corpus(plain), 2)[0])
    unknown = grams(estimate(make_corpus([["a", "<unk>"], ["<UNK>", "a"], ["a"]]), 2)[0])
    renamed = grams(estimate(make_corpus([["a", "x"], ["x", "a"], ["a"]]), 2)[0])
    assert unknown["a", "<unk>"][0] > math.log(0.2)
    assert unknown.keys() == {tuple("<unk>" if word == "x" else word for word in gram) for gram in renamed}


def test_a_limited_vocabulary_keeps_the_most_frequent_and_the_first() -> None:
    corpus = make_corpus([list("cabbage"), list("bag"), list("zz")]).limited(3)
    assert corpus.words == ["<unk>", "<s>", "</s>", "a", "b", "g"]
    assert [corpus.words[index] for index in corpus.stream if index > 2] == list("abbagbag")
    assert corpus.num_words == len("cabbagebagzz")
    assert grams(estimate(corpus, 2)[0]).keys() >= {("<unk>", "a"), ("<unk>", "<unk>"), ("<unk>", "</s>")}
    everything = make_corpus([["a", "b"]])
    assert everything.limited(99).words == everything.words


def test_an_order_above_the_longest_sentence() -> None:
    trie, summaries = estimate(make_corpus([["a"], ["b"], ["a"]]), 6)
    assert trie.order == len(summaries) == 3, "<s> a </s>"
    assert_equal(grams(trie), reference([["a"], ["b"], ["a"]], 3, [0])[0])


def test_pruning_can_take_whole_orders_and_words() -> None:
    trie, summaries = estimate(make_corpus(SENTENCES), 4, [0, 0, 50])
    assert trie.order == 2 and [summary.kept for summary in summaries[2:]] == [0, 0]
    assert not trie.backoff[trie.ends[1] :].any()
    trie, _ = estimate(make_corpus(SENTENCES), 2, [99])
    assert trie.words == ["<unk>", "<s>", "</s>"] and trie.order == 1


def test_why_discounts_are_the_fall_back() -> None:
    repeated = [line for line in SENTENCES for _ in range(2)]
    summaries = estimate(make_corpus(repeated), 3)[1]
    assert summaries[2].fallback == "none has an adjusted count of 1" and summaries[2].discounts == FALLBACK
    assert summaries[1].fallback is None, "2-grams go by what they follow, which repetition does not change"
    even = estimate(make_corpus([[*"abcdef"], *([letter] * 2 for letter in "abcdef")]), 1)[1]
    assert even[0].fallback is not None


@pytest.mark.parametrize("sentence", [["a"], ["a"] * 20_000, [f"word{n}" for n in range(20_000)]])
def test_one_sentence(sentence: list[str]) -> None:
    trie, _ = estimate(make_corpus([sentence]), 3)
    assert grams(trie).keys() >= {("<s>", sentence[0]), (sentence[-1], "</s>")}
    assert np.isfinite(trie.log_prob).all() and np.isfinite(trie.backoff).all()


@pytest.mark.parametrize(
    ("order", "prune", "message"),
    [
        (0, [], "order is 0, but must be a whole number from 1 to 6"),
        (7, [], "order is 7"),
        ("3", [], "order is '3'"),
        (3, [0, 2, 1], r"prune is \[0, 2, 1\], but must be counts that never decrease"),
        (3, [-1], "prune is"),
        (3, [0.5], "prune is"),
        (2, [0, 0, 1], "thresholds for 3 orders, but the model has 2"),
    ],
)
def test_settings_that_cannot_be(order: int, prune: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        estimate(make_corpus([["a"]]), order, prune)


def test_no_text() -> None:
    with pytest.raises(SpeechlstmError, match="no words"):
        estimate(make_corpus([[], ["<s>", "</s>"]]), 2)

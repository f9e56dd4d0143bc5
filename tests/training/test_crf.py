"""CTC-CRF: the n-gram, the sum over all label sequences against brute force, the loss and its part in training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from speechlstm.training.loss import CrfLoss, CtcLoss, ctc_loss
from speechlstm.training.loss.denominator import Denominator, batched, compiled
from speechlstm.training.loss.ngram import TokenNgram, estimate
from speechlstm.training.parts import check_monitors
from speechlstm.types import SpeechlstmError, UsageError

TEXTS = [[1, 2, 3, 1], [2, 2, 1], [3, 1], []]
VOCAB = 4
Sweep = Callable[[Tensor, Tensor, Denominator, bool], tuple[Tensor, Tensor]]


def log_probs(batch: int, frames: int, vocab: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(batch, frames, vocab, generator=generator, dtype=torch.float64)).log_softmax(
        -1
    )


def pad(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = [len(target) for target in targets]
    rows = [target + [0] * (max(lengths) - len(target)) for target in targets]
    return torch.tensor(rows, dtype=torch.long).view(len(targets), max(lengths)), torch.tensor(lengths)


def labels_of(path: Sequence[int]) -> list[int]:
    return [token for token, _ in itertools.groupby(path) if token]


def brute_force(row: Tensor, ngram: TokenNgram) -> tuple[float, np.ndarray]:
    """Return log Z and how likely each token is in each frame, by adding up every path."""
    frames, vocab = row.shape
    logs = row.tolist()
    total, found = 0.0, np.zeros((frames, vocab))
    for path in itertools.product(range(vocab), repeat=frames):
        score = ngram.log_prob(labels_of(path)) + sum(logs[t][token] for t, token in enumerate(path))
        total += math.exp(score)
        found[range(frames), path] += math.exp(score)
    return math.log(total), found / total


def prepared(order: int = 3, **options: float) -> CrfLoss:
    loss = CrfLoss(order=order, **options)  # type: ignore[arg-type]
    loss.prepare(TEXTS, VOCAB)
    return loss


# the n-gram


@pytest.mark.parametrize("order", [2, 3])
@given(texts=st.lists(st.lists(st.integers(1, 4), max_size=6), max_size=5))
def test_what_follows_each_context_sums_to_one(order: int, texts: list[list[int]]) -> None:
    ngram = estimate(texts, 5, order)
    assert ngram.follows.shape == (5 ** (order - 1), 5) and ngram.ends.shape == (5 ** (order - 1),)
    np.testing.assert_allclose(ngram.follows.sum(1) + ngram.ends, 1)
    assert not ngram.follows[:, 0].any()  # the blank is no label
    assert (ngram.follows[:, 1:] > 0).all() and (ngram.ends > 0).all()


def test_witten_bell_by_hand() -> None:
    """Two texts, "a b" and "a": after "a" there was "b" once and the end once, two kinds among two."""
    ngram = estimate([[1, 2], [1]], 3, 2)
    # Five tokens of three kinds, ends included, above 1/3 for each of the three.
    a, b, end = (2 + 3 / 3) / 8, (1 + 3 / 3) / 8, (2 + 3 / 3) / 8
    np.testing.assert_allclose(ngram.follows[1], [0, (2 * a) / 4, (1 + 2 * b) / 4])
    assert ngram.ends[1] == pytest.approx((1 + 2 * end) / 4)
    np.testing.assert_allclose(ngram.follows[0], [0, (2 + a) / 3, b / 3])  # at the beginning always "a"
    trigram = estimate([[1, 2], [1]], 3, 3)
    np.testing.assert_allclose(
        trigram.follows[3 * 2 + 2], ngram.follows[2]
    )  # never seen: as the shorter context
    assert trigram.log_prob([1, 2]) == pytest.approx(
        math.log(trigram.follows[0, 1] * trigram.follows[1, 2] * trigram.ends[1 * 3 + 2])
    )


def test_all_sequences_together_have_the_probability_one() -> None:
    ngram = estimate([[1], [2, 1], [2]], 3, 3)
    sequences = (each for length in range(13) for each in itertools.product((1, 2), repeat=length))
    assert sum(math.exp(ngram.log_prob(each)) for each in sequences) == pytest.approx(1, abs=1e-3)


# the sum over all label sequences


@pytest.mark.parametrize("sweep", [compiled, batched])
@pytest.mark.parametrize("order", [2, 3])
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    texts=st.lists(st.lists(st.integers(1, 2), max_size=5), max_size=4),
    seed=st.integers(0, 1000),
)
def test_log_z_and_its_gradient_are_those_of_all_paths(
    sweep: Sweep, order: int, lengths: list[int], texts: list[list[int]], seed: int
) -> None:
    rows = log_probs(len(lengths), max(lengths), 3, seed)
    ngram = estimate(texts, 3, order)
    totals, found = sweep(rows.exp(), torch.tensor(lengths), Denominator(ngram), True)
    for index, length in enumerate(lengths):
        wanted, occupied = brute_force(rows[index, :length], ngram)
        assert float(totals[index]) == pytest.approx(wanted, abs=1e-9)
        np.testing.assert_allclose(found[index, :length], occupied, atol=1e-9)
        assert not found[index, length:].any()


@pytest.mark.parametrize("order", [2, 3])
def test_the_gradient_is_that_of_differences(order: int) -> None:
    denominator = Denominator(estimate(TEXTS, VOCAB, order))
    lengths = torch.tensor([4, 6, 0, 1])
    scores = torch.randn(4, 6, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda each: denominator(each, lengths), scores.requires_grad_())


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("scale", [2.0, 30.0])
def test_long_utterances_are_exact_in_float32(order: int, scale: float) -> None:
    """Both ways, near one-hot rows included, whose products would vanish without scaling."""
    generator = torch.Generator().manual_seed(1)
    texts = [torch.randint(1, 20, (30,), generator=generator).tolist() for _ in range(40)]
    rows, lengths = log_probs(3, 400, 20, scale=scale), torch.tensor([400, 17, 230])
    denominator = Denominator(estimate(texts, 20, order))
    exact = compiled(rows.exp(), lengths, denominator, True)
    for sweep in (compiled, batched):
        totals, found = sweep(rows.float().exp(), lengths, denominator, True)
        assert totals.dtype == found.dtype == torch.float32
        torch.testing.assert_close(totals.double(), exact[0], rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(found.double(), exact[1], rtol=0, atol=1e-4)


def test_log_z_takes_scores_that_are_no_probabilities() -> None:
    """Something added to all scores of a frame is added to log Z, however large."""
    denominator, lengths = Denominator(estimate(TEXTS, VOCAB, 3)), torch.tensor([5, 3])
    rows = log_probs(2, 5, VOCAB)
    shifted = rows + torch.tensor([[[300.0], [-500.0], [0.0], [40.0], [7.0]]])
    more = torch.tensor([300.0 - 500 + 40 + 7, 300.0 - 500])
    torch.testing.assert_close(denominator(shifted, lengths), denominator(rows, lengths) + more)


def test_padding_and_neighbors_change_nothing() -> None:
    denominator = Denominator(estimate(TEXTS, VOCAB, 3))
    rows = log_probs(3, 7, VOCAB).float()
    lengths = torch.tensor([3, 7, 5])
    spoiled = rows.clone()
    for index, length in enumerate(lengths):
        spoiled[index, length:] = torch.tensor([math.nan, math.inf, -math.inf, 9.0])
    spoiled.requires_grad_()
    together = denominator(spoiled, lengths)
    together.sum().backward()
    assert spoiled.grad is not None
    order = torch.tensor([2, 0, 1])
    assert torch.equal(denominator(rows[order], lengths[order]), together.detach()[order])
    for index, length in enumerate(lengths):
        alone = rows[index : index + 1, :length].clone().requires_grad_()
        single = denominator(alone, lengths[index : index + 1])
        single.sum().backward()
        assert torch.equal(single[0], together[index]) and alone.grad is not None
        assert torch.equal(spoiled.grad[index, :length], alone.grad[0])
        assert not spoiled.grad[index, length:].any()


# the loss


@pytest.mark.parametrize("order", [2, 3])
def test_the_probabilities_of_all_texts_sum_to_one(order: int) -> None:
    """So the loss is the negative logarithm of a probability, and Z the numerator summed over all texts."""
    rows, lengths = log_probs(1, 4, VOCAB), torch.tensor([4])
    loss, total = prepared(order), 0.0
    for size in range(5):
        for text in itertools.product(range(1, VOCAB), repeat=size):
            targets, target_lengths = pad([list(text)])
            _, unalignable = ctc_loss(rows, targets, lengths, target_lengths)
            if not unalignable:
                total += math.exp(-float(loss.measure(rows, targets, lengths, target_lengths)) * max(size, 1))
    assert total == pytest.approx(1, abs=1e-5)


def test_the_loss_is_the_share_of_the_text_and_some_plain_ctc() -> None:
    targets, target_lengths = pad([[1, 2], [3]])
    rows, lengths = log_probs(2, 6, VOCAB), torch.tensor([6, 4])
    lower = [log_probs(2, 6, VOCAB, seed) for seed in (1, 2)]
    loss = prepared(ctc_weight=0.25, intermediate=0.4)
    assert loss.ngram is not None
    wanted = 0.0
    for row, length, text in zip(rows, lengths.tolist(), ([1, 2], [3]), strict=True):
        likelihood, _ = ctc_loss(
            row[None], torch.tensor([text]), torch.tensor([length]), torch.tensor([len(text)])
        )
        total, _ = brute_force(row[:length], loss.ngram)
        wanted += float(likelihood) * len(text) - loss.ngram.log_prob(text) + total
    plain, _ = CtcLoss(intermediate=0.4)(rows, targets, lengths, target_lengths, lower)
    got, parts = loss(rows, targets, lengths, target_lengths, lower)
    assert float(loss.measure(rows, targets, lengths, target_lengths)) == pytest.approx(wanted / 3, rel=1e-5)
    assert float(got) == pytest.approx(wanted / 3 + 0.25 * float(plain), rel=1e-5)
    assert set(parts) == {"ctc", "crf", "intermediate", "unalignable"}
    assert parts["crf"] == pytest.approx(wanted / 3, rel=1e-5)


def test_the_gradient_is_how_likely_tokens_are_given_all_texts_minus_given_the_text() -> None:
    loss, text, frames = prepared(ctc_weight=0), [1, 2], 4
    assert loss.ngram is not None
    scores = (
        2 * torch.randn(1, frames + 1, VOCAB, generator=torch.Generator().manual_seed(3))
    ).requires_grad_()
    rows = scores.log_softmax(-1)
    targets, target_lengths = pad([text])
    loss(rows, targets, torch.tensor([frames]), target_lengths)[0].backward()
    given, given_text = rows[0].tolist(), np.zeros((frames, VOCAB))
    for path in itertools.product(range(VOCAB), repeat=frames):
        if labels_of(path) == text:
            given_text[range(frames), path] += math.exp(sum(given[t][k] for t, k in enumerate(path)))
    given_text /= given_text[0].sum()
    _, given_all = brute_force(rows[0, :frames].detach(), loss.ngram)
    assert scores.grad is not None and not scores.grad[0, frames:].any()
    np.testing.assert_allclose(scores.grad[0, :frames], (given_all - given_text) / len(text), atol=1e-5)


def test_what_cannot_be_aligned_teaches_nothing() -> None:
    targets, target_lengths = pad(
        [[1, 1, 2, 2], [1, 2], [3], []]
    )  # the first needs six frames, the third one
    lengths = torch.tensor([4, 4, 0, 0])
    rows = log_probs(4, 4, VOCAB).requires_grad_()
    loss, parts = prepared()(rows, targets, lengths, target_lengths)
    loss.backward()
    assert parts["unalignable"] == 2 and loss.isfinite() and rows.grad is not None
    assert not rows.grad[[0, 2, 3]].any() and rows.grad[1].any()
    alone = prepared().measure(rows[1:2].detach(), targets[1:2, :2], lengths[1:2], target_lengths[1:2])
    assert parts["crf"] * 7 == pytest.approx(float(alone) * 2, rel=1e-5)


def test_half_precision_is_computed_in_float32() -> None:
    targets, target_lengths = pad([[1, 2]])
    rows, lengths = log_probs(1, 5, VOCAB).float(), torch.tensor([5])
    exact = prepared().measure(rows, targets, lengths, target_lengths)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prepared().measure(rows, targets, lengths, target_lengths), exact)
    half = prepared().measure(rows.bfloat16(), targets, lengths, target_lengths)
    assert half.dtype == torch.float32 and float(half) == pytest.approx(float(exact), abs=0.05)


# settings


def test_too_many_tokens_are_a_usage_error_that_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"loss.order=3 with 192 tokens .* 7,077,888 .*: set loss.order=2"):
        CrfLoss().prepare([[1, 2]], 192)
    with pytest.raises(UsageError, match=r"loss.order=2 with 2000 tokens .*: use at most 1024 tokens"):
        CrfLoss(order=2).prepare([[1, 2]], 2000)
    CrfLoss(order=2).prepare([[1, 2]], 192)


def test_a_loss_without_its_ngram_says_so() -> None:
    targets, target_lengths = pad([[1]])
    with pytest.raises(SpeechlstmError, match=r"call its prepare\(targets, vocab_size\) first"):
        CrfLoss().measure(log_probs(1, 3, VOCAB), targets, torch.tensor([3]), target_lengths)


def test_error_rates_of_a_decoder_without_language_model_choose_no_weights() -> None:
    best, stop = ModelCheckpoint(monitor="val/wer"), EarlyStopping("val/cer")
    greedy, beam = (
        OmegaConf.create({"name": name, "lm": lm}) for name, lm in (("greedy", None), ("beam", "a.arpa"))
    )
    for each in (best, stop):
        with pytest.raises(
            UsageError, match=r"goes by val/.er, .* decoder=greedy has none.*best.monitor=val/loss"
        ):
            check_monitors([each], CrfLoss(), greedy)
    check_monitors([best, stop], CrfLoss(), beam)
    check_monitors([best, stop], CtcLoss(), greedy)
    check_monitors([ModelCheckpoint(monitor="val/loss"), object()], CrfLoss(), greedy)

"""The loss: CTC against brute force over all alignments, and its share in lower layers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlstm.training.loss import CtcLoss, ctc_loss
from speechlstm.types import SpeechlstmError


def log_probs(batch: int, frames: int, vocab: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, frames, vocab, generator=generator)).log_softmax(-1)


def pad(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = [len(target) for target in targets]
    rows = [target + [0] * (max(lengths) - len(target)) for target in targets]
    return torch.tensor(rows, dtype=torch.long).view(len(targets), max(lengths)), torch.tensor(lengths)


def brute_force(row: Tensor, target: list[int]) -> float:
    """Return the negative log-likelihood by adding up every path that collapses to the target (Graves 2006)."""
    total = 0.0
    for path in itertools.product(range(row.shape[1]), repeat=len(row)):
        if [token for token, _ in itertools.groupby(path) if token] == target:
            total += math.exp(sum(float(row[frame, token]) for frame, token in enumerate(path)))
    return -math.log(total) if total else math.inf


@settings(max_examples=40, deadline=None)
@given(
    utterances=st.lists(
        st.tuples(st.integers(1, 5), st.lists(st.integers(1, 2), max_size=4)), min_size=1, max_size=3
    ),
    seed=st.integers(0, 1000),
)
def test_the_loss_is_the_sum_over_all_alignments(utterances: list[tuple[int, list[int]]], seed: int) -> None:
    frames = max(length for length, _ in utterances)
    probs = log_probs(len(utterances), frames, 3, seed)
    targets, target_lengths = pad([target for _, target in utterances])
    lengths = torch.tensor([length for length, _ in utterances])
    singly = [
        brute_force(row[:length], target) for row, (length, target) in zip(probs, utterances, strict=True)
    ]

    loss, unalignable = ctc_loss(probs, targets, lengths, target_lengths)

    assert unalignable == sum(each == math.inf for each in singly)
    tokens = max(1, sum(len(target) for _, target in utterances))
    wanted = sum(each for each in singly if each != math.inf) / tokens
    assert float(loss) == pytest.approx(wanted, abs=1e-4, rel=1e-4)


def test_an_utterance_that_cannot_be_aligned_teaches_nothing() -> None:
    probs = log_probs(2, 4, 3).requires_grad_()
    targets, target_lengths = pad([[1, 1, 2, 2], [1, 2]])  # the first needs six frames and has four
    loss, unalignable = ctc_loss(probs, targets, torch.tensor([4, 4]), target_lengths)
    loss.backward()
    assert unalignable == 1 and loss.isfinite()
    assert probs.grad is not None
    assert not probs.grad[0].any() and probs.grad[1].any()


def test_frames_and_targets_past_the_lengths_do_not_count() -> None:
    probs = log_probs(1, 6, 3)
    wanted, _ = ctc_loss(probs[:, :4], torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2]))
    garbage = torch.tensor([[1, 2, 99, -5]])
    got, unalignable = ctc_loss(probs, garbage, torch.tensor([4]), torch.tensor([2]))
    assert float(got) == pytest.approx(float(wanted)) and unalignable == 0


@pytest.mark.parametrize(
    ("target", "named"), [([1, 0], r"0\.\.1"), ([3], r"3\.\.3"), ([-1, 2], r"-1\.\.2"), ([2**40], r"10995")]
)
def test_targets_outside_the_vocabulary_are_an_error_and_no_crash(target: list[int], named: str) -> None:
    targets, target_lengths = pad([[1], target])
    with pytest.raises(SpeechlstmError, match=rf"lie in .*{named[-3:]}.*, but must be in 1\.\.2"):
        ctc_loss(log_probs(2, 9, 3), targets, torch.tensor([9, 9]), target_lengths)


def test_the_loss_is_computed_in_float32() -> None:
    targets, target_lengths = pad([[1, 2]])
    probs = log_probs(1, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = ctc_loss(probs, targets, torch.tensor([5]), target_lengths)
    exact, _ = ctc_loss(probs, targets, torch.tensor([5]), target_lengths)
    assert mixed.dtype == torch.float32 and torch.equal(mixed, exact)
    half, _ = ctc_loss(probs.bfloat16(), targets, torch.tensor([5]), target_lengths)
    assert half.dtype == torch.float32 and float(half) == pytest.approx(float(exact), abs=0.05)


def test_a_token_counts_the_same_in_a_short_and_in_a_long_utterance() -> None:
    probs = log_probs(2, 8, 3)
    lengths = torch.tensor([8, 8])
    targets, target_lengths = pad([[1], [1, 2, 1]])
    together, _ = ctc_loss(probs, targets, lengths, target_lengths)
    first, _ = ctc_loss(probs[:1], targets[:1], lengths[:1], target_lengths[:1])
    second, _ = ctc_loss(probs[1:], targets[1:], lengths[1:], target_lengths[1:])
    assert float(together) == pytest.approx(float(first * 1 + second * 3) / 4)


def test_without_any_target_the_loss_is_that_of_silence() -> None:
    probs = log_probs(2, 4, 3)
    nothing = torch.zeros(2, dtype=torch.long)
    loss, unalignable = ctc_loss(probs, torch.zeros(2, 0, dtype=torch.long), nothing + 4, nothing)
    assert float(loss) == pytest.approx(-float(probs[..., 0].sum()), abs=1e-4) and unalignable == 0


def test_plain_loss_is_ctc() -> None:
    targets, target_lengths = pad([[1, 2], [2]])
    probs, lengths = log_probs(2, 6, 3), torch.tensor([6, 4])
    loss, parts = CtcLoss()(probs, targets, lengths, target_lengths)
    assert float(loss) == float(ctc_loss(probs, targets, lengths, target_lengths)[0])
    assert parts == {"unalignable": 0.0}


def test_lower_layers_share_in_the_loss() -> None:
    targets, target_lengths = pad([[1, 2], [2]])
    last, *lower = (log_probs(2, 6, 3, seed) for seed in range(3))
    lengths = torch.tensor([6, 4])
    loss, parts = CtcLoss(intermediate=0.25)(last, targets, lengths, target_lengths, lower)
    ctc, *middle = (float(ctc_loss(each, targets, lengths, target_lengths)[0]) for each in (last, *lower))
    assert parts == {
        "unalignable": 0.0,
        "ctc": pytest.approx(ctc),
        "intermediate": pytest.approx(sum(middle) / 2),
    }
    assert float(loss) == pytest.approx(0.75 * ctc + 0.25 * sum(middle) / 2)

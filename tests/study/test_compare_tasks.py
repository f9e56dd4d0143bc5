"""The tasks with long time lags: what is drawn is what the paper describes, and the criteria are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlstm.study.compare.reber import SYMBOLS, Reber, string
from speechlstm.study.compare.tasks import (
    Adding,
    Batch,
    Copy,
    Multiplication,
    TemporalOrder,
    TemporalOrder3,
    TwoSequences,
)
from speechlstm.study.compare.trials import TASKS
from speechlstm.types import UsageError

quick = settings(max_examples=20)
seeds = st.integers(0, 10_000)


def draw(task: object, seed: int, count: int = 40) -> Batch:
    return task.sample(count, np.random.default_rng(seed))


def answers(task: object, batch: Batch, sure: float = 8.0) -> Tensor:
    """Return outputs of a network that knows: right at the steps that count, nonsense elsewhere."""
    steps = batch.inputs.shape[1]
    outputs = torch.full((len(batch.lengths), steps, task.output_size), -3.0)
    if isinstance(task, Reber):
        return torch.where(batch.targets[..., 1:] == 1, sure, -sure)
    if isinstance(task, Copy):
        outputs[:, -10:] = sure * torch.nn.functional.one_hot(batch.targets, 8).float()
        return outputs
    rows = torch.arange(len(outputs))
    if isinstance(task, TemporalOrder):
        right = sure * torch.nn.functional.one_hot(batch.targets, task.output_size).float()
    elif isinstance(task, TwoSequences):
        right = sure * (2 * batch.targets[:, None] - 1)
    else:
        right = batch.targets[:, None]
    outputs[rows, batch.lengths - 1] = right
    return outputs


@pytest.mark.parametrize("name", TASKS)
@quick
@given(seed=seeds)
def test_what_knows_is_right_what_guesses_is_wrong_and_loss_tells_them_apart(name: str, seed: int) -> None:
    task = TASKS[name](30)
    batch = draw(task, seed)
    steps = batch.inputs.shape[1]
    assert batch.inputs.shape == (40, steps, task.input_size) and batch.inputs.dtype == torch.float32
    assert batch.lengths.max() == steps
    beyond = torch.arange(steps) >= batch.lengths[:, None]
    assert not batch.inputs[beyond].any(), "zeros past the lengths"
    known = answers(task, batch)
    assert not task.wrong(known, batch).any()
    guess = torch.zeros_like(known)
    assert task.wrong(guess, batch).double().mean() > 0.5
    assert task.loss(known, batch) < task.loss(guess, batch)
    assert task.late_loss(known, batch) < task.late_loss(guess, batch)
    noise = torch.where(beyond[..., None], 100.0, known)
    assert torch.equal(task.wrong(noise, batch), task.wrong(known, batch)), "padding does not count"
    torch.testing.assert_close(task.loss(noise, batch), task.loss(known, batch))


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_draws_the_same(name: str) -> None:
    task = TASKS[name](30)
    first, again, other = draw(task, 1), draw(task, 1), draw(task, 2)
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, again.targets)
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)


def test_two_sequences_differ_in_their_first_three_numbers_alone() -> None:
    batch = draw(TwoSequences(40), 0, 4000)
    ones = batch.targets == 1
    assert 0.45 < ones.float().mean() < 0.55
    means = batch.inputs[ones, :, 0].mean(0) - batch.inputs[~ones, :, 0].mean(0)
    torch.testing.assert_close(means[:3], torch.full((3,), 2.0), atol=0.06, rtol=0)
    assert means[3:40].abs().max() < 0.06
    assert batch.inputs[:, 3:40].var() == pytest.approx(0.2, abs=0.01)
    assert set(batch.lengths.tolist()) == {40, 41, 42, 43, 44}


@pytest.mark.parametrize(("kind", "low"), [(Adding, -1.0), (Multiplication, 0.0)])
@quick
@given(seed=seeds, lag=st.integers(20, 60))
def test_two_numbers_are_marked_and_the_target_is_made_of_them(
    kind: type[Adding], low: float, seed: int, lag: int
) -> None:
    batch = draw(kind(lag), seed)
    for inputs, length, target in zip(batch.inputs, batch.lengths.tolist(), batch.targets, strict=True):
        numbers, marks = inputs[:length].T
        assert low <= numbers.min() and numbers.max() <= 1
        first, second = (marks == 1).nonzero().flatten().tolist()
        assert min(first, second) < 10 and second < lag / 2
        ends = [marks[end] for end in (0, length - 1) if end not in (first, second)]
        assert all(end == -1 for end in ends) and ((marks == 0).sum() == length - 2 - len(ends))
        a, b = numbers[first], numbers[second]
        wanted = 0.5 + (a + b) / 4 if kind is Adding else a * b
        assert target.item() == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("kind", [TemporalOrder, TemporalOrder3])
@quick
@given(seed=seeds)
def test_the_class_is_the_order_of_the_symbols(kind: type[TemporalOrder], seed: int) -> None:
    batch = draw(kind(100), seed)
    for inputs, length, target in zip(
        batch.inputs, batch.lengths.tolist(), batch.targets.tolist(), strict=True
    ):
        symbols = inputs[:length].argmax(-1)
        assert (symbols[0], symbols[-1]) == (0, 1) and (inputs[:length].sum(-1) == 1).all()
        places = ((symbols == 2) | (symbols == 3)).nonzero().flatten()
        assert len(places) == len(kind.places)
        for place, (low, high) in zip(places.tolist(), kind.places, strict=True):
            assert 100 * low - 1 <= place <= 100 * high
        assert target == int("".join(str(int(symbols[place]) - 2) for place in places), 2)


def test_copy_shows_symbols_waits_and_asks() -> None:
    batch = draw(Copy(25), 0)
    symbols = batch.inputs.argmax(-1)
    assert symbols.shape == (40, 45)
    assert torch.equal(symbols[:, :10], batch.targets)
    assert (symbols[:, 10:34] == 8).all() and (symbols[:, 34] == 9).all() and (symbols[:, 35:] == 8).all()


# Reber's grammar, told a second time as a regular expression's automaton

ORACLE = {
    0: {"T": 1, "P": 2}, 1: {"S": 1, "X": 3}, 2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5}, 4: {"P": 3, "V": 5}, 5: {"E": 6},
}  # fmt: skip


@quick
@given(seed=seeds, more=st.sampled_from([0.0, 0.5, 0.9]))
def test_strings_follow_the_embedded_grammar_and_say_what_could_have_come(seed: int, more: float) -> None:
    text, legal = string(np.random.default_rng(seed), more)
    assert len(text) == len(legal) and all(symbol in may for symbol, may in zip(text, legal, strict=True))
    assert text[0] == "B" and text[1] in "TP" and text[-2:] == text[1] + "E"
    assert legal[:3] == ["B", "TP", "B"] and legal[-1] == "E"
    place, strings = 2, 0
    while place < len(text) - 2:
        assert text[place] == "B" and set(legal[place]) == ({"B"} if place == 2 else {"B", text[1]})
        place, state, strings = place + 1, 0, strings + 1
        while state != 6:
            assert set(legal[place]) == set(ORACLE[state])
            state = ORACLE[state][text[place]]
            place += 1
    assert set(legal[-2]) == ({text[1]} if more == 0 else {"B", text[1]})
    assert strings == 1 or more > 0


def test_longer_lags_have_more_strings_inside() -> None:
    lengths = [float(draw(Reber(lag), 0, 300).lengths.float().mean()) for lag in (7, 70)]
    assert lengths[0] < 14 and 50 < lengths[1] < 110


def test_one_wrong_symbol_makes_a_string_wrong() -> None:
    task = Reber(7)
    batch = draw(task, 3)
    outputs = answers(task, batch)
    step = int(batch.lengths[5]) - 2  # where T or P must be repeated
    outputs[5, step, SYMBOLS.index("T")] = outputs[5, step, SYMBOLS.index("P")] = 8.0
    assert task.wrong(outputs, batch).nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize(("name", "lag"), [("adding", 19), ("temporal_order_2", 5), ("copy", 0)])
def test_lags_that_make_no_sense_are_refused(name: str, lag: int) -> None:
    with pytest.raises(UsageError, match=f"{name} with a lag of {lag} steps; must be at least"):
        TASKS[name](lag)

"""Networks of one size, trials that are made once, what they tell, and the page that shows it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.study.compare import results
from speechlstm.study.compare.complexity import products
from speechlstm.study.compare.networks import NETWORKS, SequenceNetwork, matched, nearest, positions
from speechlstm.study.compare.reber import Reber
from speechlstm.study.compare.tasks import Adding, Task
from speechlstm.study.compare.trials import Trial, attempt, errors, gradient_flow, make
from speechlstm.types import SpeechlstmError

TINY = Trial("two_sequences", 10, "lstm", 1, 300, 0.01, 16, 40, 20)
Run = Callable[..., tuple[int, str, str]]


# networks


@pytest.mark.parametrize("kind", NETWORKS)
def test_no_network_sees_the_future(kind: str) -> None:
    torch.manual_seed(0)
    network = SequenceNetwork(kind, 2, 3, 8).eval()
    x = torch.randn(2, 9, 2, requires_grad=True)
    outputs = network(x)
    assert outputs.shape == (2, 9, 3)
    (gradient,) = torch.autograd.grad(outputs[:, 4].sum(), x)
    assert not gradient[:, 5:].any() and gradient[:, :5].abs().sum(-1).all()


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("wanted", [1000, 10_000])
def test_networks_are_matched_by_their_parameters(kind: str, wanted: int) -> None:
    network = matched(kind, 2, 1, wanted)
    if kind != "transformer" or wanted > 1000:  # its width grows in steps of four
        assert network.parameter_count == pytest.approx(wanted, rel=0.2 if kind == "transformer" else 0.06)
    step = 4 if kind == "transformer" else 1
    for width in (network.width - step, network.width + step):
        if width > 0:
            other = SequenceNetwork(kind, 2, 1, width).parameter_count
            assert abs(other - wanted) >= abs(network.parameter_count - wanted)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gates_begin_with_memories_as_long_as_the_lag(kind: str) -> None:
    """Without input a unit keeps a share f a step; 1 / (1 - f) steps are spread evenly up to the lag."""
    torch.manual_seed(0)
    network = SequenceNetwork(kind, 1, 1, 400, memory=101)
    kept = network.core.rnn.bias_ih_l0[400:800].detach().sigmoid()
    steps = 1 / (1 - kept)
    assert 2 <= steps.min() < 5 and 96 < steps.max() <= 101.01
    assert steps.mean() == pytest.approx(51.5, abs=5)
    if kind == "lstm":
        torch.testing.assert_close(network.core.rnn.bias_ih_l0[:400].detach().sigmoid(), 1 - kept)


@given(wanted=st.integers(1, 5000), slope=st.integers(1, 50))
def test_nearest_finds_the_nearest(wanted: int, slope: int) -> None:
    found = nearest(lambda size: slope * size * size, wanted)
    best = min(range(1, 100), key=lambda size: abs(slope * size * size - wanted))
    assert abs(slope * found * found - wanted) == abs(slope * best * best - wanted)


def test_positions_are_the_papers_sinusoids() -> None:
    table = positions(7, 6)
    for place in range(7):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert table[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_products_grow_with_the_sequence_in_attention_alone() -> None:
    lstm, transformer = (SequenceNetwork(kind, 2, 1, 8) for kind in ("lstm", "transformer"))
    assert products(lstm, 100) == products(lstm, 1000) == 4 * 8 * (2 + 8) + 8
    assert products(transformer, 1001) - products(transformer, 1) == 2 * 2 * 8 * 500


# trials


def test_a_trial_learns_and_repeats_itself() -> None:
    long = replace(TINY, max_updates=400, check_every=50)
    first, again = attempt(long), attempt(long)
    timing = {"seconds", "seconds_per_update"}
    assert {k: v for k, v in first.items() if k not in timing} == {
        k: v for k, v in again.items() if k not in timing
    }
    assert first["solved"] and first["wrong"] == 0 and 0 < first["updates"] < 400
    assert len(first["flow_before"]) == len(first["flow_after"]) == 10
    updates, losses = zip(*first["losses"], strict=True)
    assert updates == (*range(8, first["updates"], 8), first["updates"]) and losses[-1] < 0.5 * losses[0]
    other = attempt(replace(long, seed=2))
    assert other["flow_before"] != first["flow_before"]


def test_what_is_not_solved_is_given_up_after_its_updates() -> None:
    result = attempt(replace(TINY, task="copy", max_updates=30))
    assert not result["solved"] and result["updates"] == 30 and result["wrong"] > 1000


def test_gradients_of_a_plain_network_vanish_and_those_of_an_open_lstm_do_not() -> None:
    task = Adding(60)
    torch.manual_seed(0)
    lstm, rnn = SequenceNetwork("lstm", 2, 1, 12), SequenceNetwork("rnn", 2, 1, 12)
    with torch.no_grad():
        lstm.core.rnn.bias_ih_l0[12:24] = 8.0  # forget gates
        rnn.core.rnn.weight_hh_l0 *= 0.5
    carousel, vanishing = (gradient_flow(network, task, 1) for network in (lstm, rnn))
    assert len(carousel) == len(vanishing) == 60
    assert carousel[59] > 0.05 * carousel[10]
    assert vanishing[59] < 1e-10 * vanishing[0]


@pytest.mark.parametrize("task", [Adding(30), Reber(30)])
def test_the_gradient_is_that_of_the_step_it_is_said_to_be_of(task: Task) -> None:
    """A network that looks at the last step alone has no gradient by those before."""
    network = SequenceNetwork("rnn", task.input_size, task.output_size, 6)
    with torch.no_grad():
        network.core.rnn.weight_hh_l0.zero_()
    flow = gradient_flow(network, task, 3)
    assert flow[0] > 0 and not any(flow[1:])


class Delay(torch.nn.Module):
    """Outputs the input 40 steps before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x, (0, 0, 40, 0))[:, : x.shape[1]]


def test_gradients_reach_the_lag_and_are_averaged_over_the_strings_that_are_so_long() -> None:
    task = Reber(50)
    flow = gradient_flow(Delay(), task, 1)
    assert len(flow) == 50 and [k for k, norm in enumerate(flow) if norm] == [40]
    batch = task.sample(64, np.random.default_rng([1, 50, 2]))
    norms = []
    for inputs, length, targets in zip(batch.inputs, batch.lengths.tolist(), batch.targets, strict=True):
        step = length - 2  # whose target repeats the second symbol
        if step >= 40:
            error = inputs[step - 40].softmax(-1)
            error[targets[step, 0]] -= 1
            norms.append(error.norm().item())
    assert 8 < len(norms) < 64
    assert flow[40] == pytest.approx(np.mean(norms), rel=1e-3)


def test_errors_are_counted_by_the_criterion() -> None:
    task = Adding(30)
    network = SequenceNetwork("rnn", 2, 1, 4)
    test = task.sample(50, np.random.default_rng(0))
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.fill_(0.5)
    assert errors(network, task, test) == int(((test.targets - 0.5).abs() >= 0.04).sum())


def test_results_are_kept_and_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trials.jsonl"
    trials = [replace(TINY, network=network, max_updates=2) for network in ("rnn", "lstm")]
    first = list(make(trials[:1], path, 1))
    marked = path.read_text().replace('"wrong": ', '"mark": 1, "wrong": ')
    path.write_text(marked + '{"task": "two_seq')  # killed while writing the second
    both = list(make(trials, path, 1))
    assert [each["network"] for each in both] == ["rnn", "lstm"]
    assert both[0] == first[0] | {"mark": 1}, "read, not made again"
    assert len(path.read_text().splitlines()) == 2
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(SpeechlstmError, match=r"trials.jsonl:1: not a result; delete the line"):
        list(make(trials, path, 1))


# figures


@settings(max_examples=20)
@given(values=st.lists(st.floats(0.1, 100), min_size=1, max_size=8))
def test_intervals_of_means_hold_the_mean(values: list[float]) -> None:
    mean, low, high = results.mean_interval(values)
    assert min(values) - 1e-9 <= low <= mean + 1e-9 and mean - 1e-9 <= high <= max(values) + 1e-9
    assert len(values) > 1 or low == pytest.approx(high)

"""The cells as equations: equal to PyTorch's kernels in outputs and gradients, and to the formulas by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speechlstm.study.cells import Gates, GRUCell, LSTMCell, LSTMGates, RNNCell, from_torch, run
from speechlstm.types import UsageError

NETWORKS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
SIZE, WIDTH = 5, 4  # units, inputs


def network(kind: str, **options: object) -> nn.RNNBase:
    torch.manual_seed(1)
    made = NETWORKS[kind](WIDTH, SIZE, batch_first=True, dtype=torch.float64, **options)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.8)  # far from zero, where gates would be half open and tanh a line
    return made


def inputs(batch: int, steps: int, width: int = WIDTH, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, steps, width, generator=generator, dtype=torch.float64)


def expected_gradients(net: nn.RNNBase, suffix: str) -> dict[str, Tensor]:
    """Return PyTorch's gradients under the names of the cell's weights."""
    names = {
        "LSTM": ["input", "forget", "candidate", "output"],
        "GRU": ["reset", "update", "candidate"],
        "RNN_TANH": ["hidden"],
    }[net.mode]
    found = {}
    for ours, theirs in (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih")):
        weight = getattr(net, f"{theirs}{suffix}", None)
        if weight is not None:
            found |= {
                f"{name}.{ours}": part
                for name, part in zip(names, weight.grad.chunk(len(names)), strict=True)
            }
    if net.mode == "GRU" and net.bias:
        found["d"] = getattr(net, f"bias_hh{suffix}").grad[-net.hidden_size :]
    if getattr(net, "proj_size", 0):
        found["R"] = getattr(net, f"weight_hr{suffix}").grad
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lstm", {}),
        ("lstm", {"proj_size": 3}),
        ("lstm", {"bias": False}),
        ("gru", {}),
        ("gru", {"bias": False}),
        ("rnn", {}),
        ("rnn", {"bias": False}),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_and_gradients_are_those_of_pytorch(
    kind: str, options: dict[str, object], reverse: bool
) -> None:
    net = network(kind, bidirectional=True, **options)
    cell = from_torch(net, reverse=reverse)
    x = inputs(3, 9)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    outputs, state = net(theirs)
    shown = outputs.shape[-1] // 2
    wanted = outputs[..., shown:] if reverse else outputs[..., :shown]
    gates = run(cell, ours.flip(1) if reverse else ours)
    found = gates.hidden.flip(1) if reverse else gates.hidden
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)
    if kind == "lstm":
        torch.testing.assert_close(gates.cell[:, -1], state[1][int(reverse)], atol=1e-12, rtol=0)

    seed = inputs(3, 9, shown, seed=3)
    (wanted * seed).sum().backward()
    (found * seed).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)
    expected = expected_gradients(net, "_l0_reverse" if reverse else "_l0")
    got = {name: weight.grad for name, weight in cell.named_parameters()}
    assert set(expected) <= set(got)
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, atol=1e-10, rtol=0, msg=name)


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["lstm", "gru", "rnn"]),
    batch=st.integers(1, 3),
    steps=st.integers(1, 40),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_single_precision_agrees_within_a_millionth(kind: str, batch: int, steps: int, scale: float) -> None:
    torch.manual_seed(steps)
    net = NETWORKS[kind](WIDTH, SIZE, batch_first=True)
    x = (inputs(batch, steps) * scale).float()
    # Sums of inputs around 30 are themselves only known to some 1e-6 in single precision, whatever adds them up.
    with torch.no_grad():
        torch.testing.assert_close(
            run(from_torch(net), x).hidden, net(x)[0], atol=1e-6 * max(1.0, scale), rtol=0
        )


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_layer_of_a_deep_network_has_its_cell(kind: str) -> None:
    net = network(kind, num_layers=3)
    x = inputs(2, 6)
    wanted, _ = net(x)
    for layer in range(3):
        x = run(from_torch(net, layer), x).hidden
    torch.testing.assert_close(x, wanted, atol=1e-12, rtol=0)


def test_the_equations_by_hand() -> None:
    """One unit and one input, two steps, with peepholes and projection, in Python's own numbers."""
    cell = LSTMCell(1, 1, projection_size=1, peepholes=True)
    values = dict(zip([name for name, _ in cell.named_parameters()], np.linspace(-0.9, 1.1, 16), strict=True))
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            weight.fill_(values[name])

    def sigma(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    def net(gate: str, x: float, h: float) -> float:
        return values[f"{gate}.W"] * x + values[f"{gate}.U"] * h + values[f"{gate}.b"]

    h = c = 0.0
    for x in (0.7, -1.3):
        f = sigma(net("forget", x, h) + values["peepholes.forget"] * c)
        i = sigma(net("input", x, h) + values["peepholes.input"] * c)
        g = math.tanh(net("candidate", x, h))
        c = f * c + i * g
        o = sigma(net("output", x, h) + values["peepholes.output"] * c)
        h = values["R"] * o * math.tanh(c)
    gates = run(cell, torch.tensor([[[0.7], [-1.3]]]))
    found = [float(part[0, -1, 0].detach()) for part in gates]
    assert found == pytest.approx([f, i, g, c, o, h], abs=1e-6)


def test_peepholes_of_zero_change_nothing_and_others_have_exact_gradients() -> None:
    plain, peeping = LSTMCell(WIDTH, SIZE).double(), LSTMCell(WIDTH, SIZE, peepholes=True).double()
    missing = peeping.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["peepholes.forget", "peepholes.input", "peepholes.output"]
    x = inputs(2, 5)
    assert not torch.allclose(run(peeping, x).hidden, run(plain, x).hidden)
    weights = tuple(peeping.peepholes.values())

    def hidden(*_: Tensor) -> Tensor:
        return run(peeping, x).hidden

    assert torch.autograd.gradcheck(hidden, weights)
    with torch.no_grad():
        for weight in weights:
            weight.zero_()
    assert torch.equal(run(peeping, x).hidden, run(plain, x).hidden)


def test_the_carousel_keeps_memory_and_gradient() -> None:
    """With the forget gate open and the input gate shut, c and its gradient stay as they are for a thousand steps."""
    cell = LSTMCell(1, 1).double()
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.forget.b.fill_(50.0)
        cell.input.b.fill_(-50.0)
    x = torch.zeros(1, 1, dtype=torch.float64)
    memory = torch.full((1, 1), 0.37, dtype=torch.float64, requires_grad=True)
    step = cell.start(x)._replace(cell=memory)
    for _ in range(1000):
        step = cell(x, step)
    assert step.cell.item() == pytest.approx(0.37, abs=1e-12)
    (gradient,) = torch.autograd.grad(step.cell, memory)
    assert gradient.item() == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 999), kind=st.sampled_from(["lstm", "gru", "rnn"]))
def test_gates_lie_where_they_are_said_to(seed: int, kind: str) -> None:
    torch.manual_seed(seed)
    cell = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}[kind](WIDTH, SIZE)
    gates: Gates = run(cell, inputs(2, 7, seed=seed).float() * 3)
    for name, part in gates._asdict().items():
        assert part.shape == (2, 7, SIZE)
        if name in ("forget", "input", "output", "reset", "update"):
            assert part.min() >= 0 and part.max() <= 1
        elif name != "cell":
            assert part.abs().max() <= 1


def test_nothing_to_hear_has_no_steps() -> None:
    gates = run(LSTMCell(WIDTH, SIZE, projection_size=2), torch.zeros(3, 0, WIDTH))
    assert isinstance(gates, LSTMGates)
    assert gates.cell.shape == (3, 0, SIZE) and gates.hidden.shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        (nn.RNN(2, 3, nonlinearity="relu"), {}, "RNN of kind RNN_RELU has no cell here"),
        (nn.LSTM(2, 3), {"layer": 1}, "no weights l1: the network has 1 layers of one direction"),
        (
            nn.GRU(2, 3, 2),
            {"reverse": True},
            "no weights l0_reverse: the network has 2 layers of one direction",
        ),
    ],
)
def test_what_has_no_cell_is_refused(net: nn.RNNBase, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        from_torch(net, **arguments)

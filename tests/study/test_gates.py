"""What gates do while a network listens: they are those that run, and half-lives are what decay gives."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_encoders import FEATURES, KINDS, VOCAB, encoder, features
from torch import Tensor

from speechlstm.model.encoder import ConformerEncoder
from speechlstm.study.cells import GRUGates, LSTMGates, RNNGates
from speechlstm.study.inspect.gates import Direction, listen


@pytest.mark.parametrize("kind", KINDS)
def test_the_gates_are_those_of_the_network_that_runs(kind: str) -> None:
    """The hidden states must be what the layer's own kernel makes of the same input."""
    model, x = encoder(kind), features()
    states: dict[int, Tensor] = {}
    for number, layer in enumerate(model.layers[:2], 1):
        layer.project.register_forward_pre_hook(lambda _, given, n=number: states.__setitem__(n, given[0]))
    with torch.no_grad():
        log_probs, _ = model(x, torch.tensor([x.shape[1]]))
    found = listen(model, x, 0.04)
    frames = log_probs.shape[1]
    names = ["forward"] if kind == "lookahead" else ["forward", "backward"]
    assert [(each.layer, each.name) for each in found] == [(n, name) for n in (1, 2) for name in names]
    for each in found:
        state = states[each.layer]
        if state.dim() == 4:
            state = state[:, :, : model.chunk_size].flatten(1, 2)
        state = state[0, :frames]
        wanted = state[:, :6] if each.name == "forward" else state[:, 6:]
        torch.testing.assert_close(each.gates.hidden, wanted, atol=1e-6, rtol=0)
        assert all(part.shape == (frames, 6) for part in each.gates)
    assert not model._forward_hooks and not any(layer._forward_pre_hooks for layer in model.layers)


def test_other_encoders_have_no_gates() -> None:
    model = ConformerEncoder(FEATURES, VOCAB, width=8, num_heads=2, ffn_size=8, num_layers=1, conv_channels=2)
    assert listen(model.eval(), features(), 0.04) == []


def direction(keep: Tensor, name: str = "forward") -> Direction:
    zeros = torch.zeros_like(keep)
    return Direction(1, name, LSTMGates(keep, zeros, zeros, zeros, zeros, zeros), 0.04)


@given(share=st.floats(0.3, 0.99))
def test_the_half_life_of_a_constant_gate_is_that_of_decay(share: float) -> None:
    frames = 2 + math.ceil(4 * math.log(0.5) / math.log(share))
    (found,) = direction(torch.full((frames, 1), share)).half_life().tolist()
    assert found == pytest.approx(0.04 * math.log(0.5) / math.log(share), rel=1e-4)


@pytest.mark.parametrize("true", [0.5, 4.9, 5.1, 9.0, 9.9])
def test_a_steady_half_life_is_found_up_to_the_length_of_the_recording(true: float) -> None:
    """Most frames are too late to halve before the end, and say nothing about how long it takes."""
    (found,) = direction(torch.full((250, 1), 0.5 ** (0.04 / true))).half_life().tolist()
    assert found == pytest.approx(true, rel=1e-4)


def test_a_half_life_beyond_the_recording_is_infinite() -> None:
    (found,) = direction(torch.full((250, 1), 0.5 ** (0.04 / 10.1))).half_life().tolist()
    assert found == math.inf


def test_the_half_life_in_a_part_is_that_of_the_whole() -> None:
    keep = 0.97 + 0.03 * torch.rand(8000, 40, generator=torch.Generator().manual_seed(1))
    whole, part = direction(keep).half_life(), direction(keep[:80]).half_life()
    assert whole.median().item() > 0.04 * 80 / 2
    assert part.median().item() == pytest.approx(whole.median().item(), rel=0.05)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), frames=st.integers(2, 30), name=st.sampled_from(["forward", "backward"]))
def test_half_lives_are_what_multiplying_gates_gives(seed: int, frames: int, name: str) -> None:
    keep = torch.rand(frames, 3, generator=torch.Generator().manual_seed(seed)).double() ** 0.3
    found = direction(keep, name).half_life()
    for unit in range(3):
        gates = keep[:, unit].tolist()
        gates = gates[::-1] if name == "backward" else gates
        lives, ends = [], []
        for start in range(frames - 1):
            left, life = 1.0, math.inf
            for step, gate in enumerate(gates[start + 1 :]):
                if left * gate <= 0.5:
                    life = step + math.log(left / 0.5) / -math.log(gate)
                    break
                left *= gate
            lives.append(life)
            ends.append(frames - 1 - start)
        wanted, share = math.inf, Fraction(1)  # that has more than half left, by Kaplan and Meier's product
        for life in sorted(set(lives) - {math.inf}):
            known = [min(each) >= life for each in zip(lives, ends, strict=True)]
            share *= 1 - Fraction(lives.count(life), sum(known))
            if share <= Fraction(1, 2):
                wanted = life * 0.04
                break
        assert found[unit].item() == pytest.approx(wanted, rel=1e-9)


def test_a_gate_that_is_always_open_never_forgets_and_one_shut_forgets_at_once() -> None:
    keep = torch.tensor([1.0, 0.0]).repeat(20, 1)
    remembers, forgets = direction(keep).half_life().tolist()
    assert remembers == math.inf and 0 < forgets < 0.002
    assert direction(keep[:1]).half_life() is None, "one frame says nothing"


def test_what_each_kind_of_cell_has_to_show() -> None:
    part = torch.full((4, 2), 0.95)
    gru = Direction(1, "forward", GRUGates(0 * part, part, part, part), 0.04)
    assert list(gru.openings) == ["reset", "update"] and gru.half_life() is not None
    assert gru.saturation()["reset"][0].tolist() == [1.0, 1.0]
    assert gru.saturation()["update"][1].tolist() == [1.0, 1.0]
    rnn = Direction(1, "forward", RNNGates(part), 0.04)
    assert rnn.openings == {} and rnn.half_life() is None and rnn.memory is part

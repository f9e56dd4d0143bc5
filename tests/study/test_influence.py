"""How far a network hears: reach is the gradient, and shares are of the directions that are used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_encoders import KINDS, encoder, features
from torch import Tensor, nn

from speechlstm.study.inspect.influence import Reach, influence


@pytest.mark.parametrize("kind", KINDS)
def test_the_reach_is_the_gradient_and_ends_where_the_network_ends_hearing(kind: str) -> None:
    model, x = encoder(kind), features(57)
    reaches, shares = influence(model, x, 0.01)
    probe = x.clone().requires_grad_()
    log_probs, _ = model(probe, torch.tensor([57]))
    assert reaches
    for reach in reaches:
        (gradient,) = torch.autograd.grad(log_probs[0, reach.frame, reach.token], probe, retain_graph=True)
        np.testing.assert_allclose(reach.gradient, gradient[0].norm(dim=-1), rtol=1e-4, atol=1e-9)
        assert reach.seconds == pytest.approx(reach.frame * 4 * 0.01)
        if kind == "lookahead":
            assert not reach.gradient[(reach.frame + 2) * 4 + 4 :].any()
    assert set(shares) == (set() if kind == "lookahead" else {1, 2})
    assert all(each.shape == (15, 2) and (each >= 0).all() for each in shares.values())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_direction_that_is_not_used_contributes_nothing() -> None:
    model = encoder("rnn", layers=1)
    with torch.no_grad():
        model.layers[0].project.weight[:, 6:] = 0.0  # what the backward direction shows goes nowhere
    _, shares = influence(model, features(), 0.01)
    assert shares[1][:, 0].sum() > 0 and shares[1][:, 1].sum() == 0


@given(before=st.integers(0, 20), after=st.integers(0, 20))
def test_within_says_where_most_of_a_gradient_is(before: int, after: int) -> None:
    gradient = np.zeros(60)
    gradient[30 - before : 31 + after] = 1.0
    reach = Reach(30, 1, gradient, 0.01, 0.3)
    back, ahead = reach.within(0.999)
    assert back == pytest.approx(before * 0.01) and ahead == pytest.approx(after * 0.01)
    half = reach.within(0.5)
    assert half[0] <= back + 1e-9 and half[1] <= ahead + 1e-9
    assert Reach(30, 1, 0 * gradient, 0.01, 0.3).within(0.9) == (0.0, 0.0)


def test_many_outputs_are_thinned_and_none_are_replaced() -> None:
    class Says(nn.Module):
        subsampling = 1

        def __init__(self, tokens: list[int]) -> None:
            super().__init__()
            self.tokens = torch.tensor(tokens)

        def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            said = nn.functional.one_hot(self.tokens, 3)[None] * 5.0 + x.sum(-1, keepdim=True)
            return said, lengths

    talkative, _ = influence(Says([1, 0, 2] * 30), features(90), 0.01)
    assert len(talkative) == 16 and all(each.token for each in talkative)
    silent, _ = influence(Says([0] * 90), features(90), 0.01)
    assert [each.frame for each in silent] == [11, 33, 56, 78] and not any(each.token for each in silent)
    short, _ = influence(Says([0]), features(1), 0.01)
    assert [each.frame for each in short] == [0]

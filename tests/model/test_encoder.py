"""The bidirectional encoder: equal to PyTorch's own packed recurrent networks, well initialized."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from padding import FEATURES, as_if_trained, pad, randoms
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from speechlstm.model.encoder import Encoder, RecurrentLayer, reversal, take
from speechlstm.model.encoder.dropout import Dropout

VOCAB = 7
CELLS = ("lstm", "gru", "rnn")
quick = settings(max_examples=25, deadline=None)


def encoder(seed: int = 0, **params: object) -> Encoder:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_layers": 2, "conv_channels": 4, **params}
    made = Encoder(FEATURES, VOCAB, **sizes).eval()
    return as_if_trained(made)


# padding


@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_utterance_has_no_frames_and_disturbs_none(cell: str) -> None:
    model = encoder(cell=cell)
    utterances = randoms([0, 9])
    log_probs, lengths = model(*pad(utterances, filler=math.nan))
    assert lengths.tolist() == [0, 3]
    assert not log_probs[0].any()
    torch.testing.assert_close(log_probs[1, :3], model(*pad(utterances[1:]))[0][0], atol=1e-5, rtol=1e-5)
    alone, none = model(*pad(utterances[:1]))
    assert none.tolist() == [0] and not alone.any()


@quick
@given(lengths=st.lists(st.integers(0, 8), min_size=1, max_size=5))
def test_reversal_turns_each_sequence_and_is_its_own_inverse(lengths: list[int]) -> None:
    frames = max(lengths) + 1
    x = torch.arange(len(lengths) * frames, dtype=torch.float32).view(len(lengths), frames, 1)
    rows = reversal(torch.tensor(lengths), frames)
    turned = take(x, rows)
    for row, length, got in zip(x, lengths, turned, strict=True):
        assert torch.equal(got, torch.cat([row[:length].flip(0), row[length:]]))
    assert torch.equal(take(turned, rows), x)


# PyTorch's packed networks are the oracle


@pytest.mark.parametrize("projection", [None, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_is_what_packing_gives_in_outputs_and_gradients(cell: str, projection: int | None) -> None:
    torch.manual_seed(0)
    width = projection or 12
    layer = RecurrentLayer(cell, width, 6, projection, dropout=0.0, layer_norm=True, residual=True)
    oracle = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](
        width, 6, batch_first=True, bidirectional=True
    )
    with torch.no_grad():
        for weight in layer.rnn.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    oracle.load_state_dict(layer.rnn.state_dict())
    lengths = torch.tensor([4, 11, 1, 7])
    inside = (torch.arange(11) < lengths[:, None])[..., None]
    ours = torch.randn(4, 11, width, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    seed = torch.randn(4, 11, width) * inside

    got = layer(ours, lengths, reversal(lengths, 11))
    (got * seed).sum().backward()
    gradients = {
        name: weight.grad.clone() for name, weight in layer.named_parameters() if weight.grad is not None
    }
    layer.zero_grad()

    packed = pack_padded_sequence(layer.norm(theirs), lengths, batch_first=True, enforce_sorted=False)
    output, _ = pad_packed_sequence(oracle(packed)[0], batch_first=True)
    wanted = theirs + layer.project(output)
    (wanted * seed).sum().backward()
    expected = {name: weight.grad for name, weight in layer.named_parameters() if weight.grad is not None}
    expected |= {f"rnn.{name}": weight.grad for name, weight in oracle.named_parameters()}

    torch.testing.assert_close(got * inside, wanted * inside, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def test_the_first_convolution_is_centered_on_its_frame() -> None:
    """Frame t of the output sees the input around frame t * subsampling: word times rest on it."""
    model = encoder(subsampling=4)
    features, lengths = pad(randoms([41]))
    features.requires_grad_()
    middle = model.subsample(features, lengths)[0][0, 5].sum()
    (gradient,) = torch.autograd.grad(middle, features)
    touched = gradient[0].abs().sum(-1).nonzero().flatten()
    assert (touched.min(), touched.max()) == (20 - 3, 20 + 3)


# sizes, settings


@pytest.mark.parametrize("subsampling", [1, 2, 4])
def test_output_lengths_round_up_and_agree_with_the_output(subsampling: int) -> None:
    model = encoder(subsampling=subsampling)
    for frames in range(1, 14):
        wanted = math.ceil(frames / subsampling)
        assert model.output_lengths(torch.tensor([frames])).tolist() == [wanted]
        log_probs, lengths = model(*pad(randoms([frames])))
        assert log_probs.shape[1] == lengths.item() == wanted


@pytest.mark.parametrize("cell", CELLS)
def test_initialization(cell: str) -> None:
    model = Encoder(FEATURES, VOCAB, cell=cell, hidden_size=8, num_layers=2)
    for layer in model.layers:
        for name, weight in layer.rnn.named_parameters():
            if "weight_hh" in name:
                for gate in weight.split(8):
                    torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
            elif "weight_ih" in name:
                bound = math.sqrt(6 / (weight.shape[1] + 8))  # of Xavier's uniform distribution
                assert 0.8 * bound < weight.abs().max() <= bound
            else:
                forget = slice(8, 16) if cell == "lstm" and "bias_ih" in name else slice(0, 0)
                assert (weight[forget] == 1).all()
                assert weight.sum() == len(weight[forget]), "all the others are zero"


# regularisers: only in training, and as their papers say


def trained(seed: int = 0, **params: object) -> tuple[Encoder, tuple[Tensor, Tensor]]:
    return encoder(**params).train(), pad(randoms([9, 21, 4], seed))


def run(model: Encoder, batch: tuple[Tensor, Tensor], seed: int) -> Tensor:
    torch.manual_seed(seed)
    log_probs: Tensor = model(*batch)[0].detach()
    return log_probs


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_is_for_training_only_and_repeats_with_the_seed(cell: str) -> None:
    model, batch = trained(cell=cell, dropout=0.3)
    assert torch.equal(run(model, batch, 1), run(model, batch, 1))
    assert not torch.equal(run(model, batch, 1), run(model, batch, 2))
    plain = encoder(cell=cell, dropout=0.0)
    assert plain.state_dict().keys() == model.state_dict().keys(), "a bundle's weights fit with and without"
    assert torch.equal(run(model.eval(), batch, 1), run(plain, batch, 2)), "off in evaluation"


@given(
    probability=st.floats(0.01, 1, exclude_max=True),
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seed=st.integers(0, 100),
)
def test_dropout_drops_so_many_and_scales_the_others(probability: float, shape: list[int], seed: int) -> None:
    dropout, x = Dropout(probability), torch.full(shape, 2.0, requires_grad=True)
    draws = []
    for _ in range(2):
        torch.manual_seed(seed)
        draws.append(dropout(x))
    assert torch.equal(*draws), "the seed decides"
    kept = draws[0] > 0
    spread = (x.numel() * probability * (1 - probability)) ** 0.5
    assert abs(float((~kept).sum()) - x.numel() * probability) <= 6 * spread + 2
    scale = 1 / max(1 - probability, 2**-16)
    assert torch.allclose(draws[0][kept], torch.tensor(2 * scale), rtol=2**-16 * scale + 1e-6)
    draws[0].sum().backward()
    assert torch.equal(x.grad * 2, draws[0]), "what is dropped learns nothing"
    assert dropout.eval()(x) is x


def test_dropout_drops_each_unit_apart_from_the_others() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.4)(torch.ones(4000, 16)) > 0).float()
    correlations = torch.corrcoef(kept.T) - torch.eye(16)
    assert correlations.abs().max() < 0.07
    assert kept.mean(0).sub(0.6).abs().max() < 0.03
    low = Dropout(0.4)(torch.ones(8, dtype=torch.bfloat16))
    assert low.dtype == torch.bfloat16 and set(low.tolist()) <= {0.0, 1.6640625}, (
        "in the precision of its input"
    )


# outputs after lower layers


def test_intermediate_outputs_come_in_training_and_are_what_a_shorter_stack_says() -> None:
    model = encoder(num_layers=3, dropout=0.0, intermediate=[2, 1])
    batch = pad(randoms([9, 21, 0]), filler=math.nan, extra=3)
    assert len(model(*batch)) == 2, "in evaluation there is nothing else"
    log_probs, lengths, *middle = model.train()(*batch)
    assert len(middle) == 2
    for number, lower in enumerate(middle, 1):
        shorter = encoder(num_layers=number, dropout=0.0)
        weights = model.state_dict()
        shorter.load_state_dict({name: weights[name] for name in shorter.state_dict()})
        torch.testing.assert_close(lower, shorter(*batch)[0])
        assert not torch.equal(lower, log_probs)
    plain = encoder(num_layers=3, dropout=0.0)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(log_probs, plain(*batch)[0], msg="the last layer is not disturbed")
    assert lengths.tolist() == [3, 6, 0]


def test_without_normalization_residual_and_projection() -> None:
    model = encoder(layer_norm=False, residual=False)
    kinds = {type(module) for module in model.modules()}
    assert nn.LayerNorm not in kinds
    layer = model.layers[0]
    x, lengths = torch.randn(1, 5, 16), torch.tensor([5])
    with torch.no_grad():
        layer.rnn.weight_ih_l0.zero_()
        torch.testing.assert_close(
            layer(x, lengths, reversal(lengths, 5)), layer.rnn(x)[0], atol=1e-5, rtol=1e-5
        )


def test_bfloat16_is_close_and_the_log_probs_are_float32() -> None:
    model = encoder(hidden_size=16)
    batch = pad(randoms([30, 12]))
    exact, lengths = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = model(*batch)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.1
    for row, length in zip(rough, lengths, strict=True):
        torch.testing.assert_close(row[:length].logsumexp(-1), torch.zeros(int(length)), atol=1e-3, rtol=0)

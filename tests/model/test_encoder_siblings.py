"""All encoders: exact under padding, equal to plain loops, and deaf to what lies beyond their look-ahead."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
import torchaudio.models.conformer
from hypothesis import given, settings
from hypothesis import strategies as st
from padding import FEATURES, as_if_trained, pad, randoms
from torch import Tensor, nn

from speechlstm import configs
from speechlstm.model.encoder import ChunkedEncoder, ConformerEncoder, Encoder, LookaheadEncoder, Stack
from speechlstm.model.encoder.conformer import ConformerLayer
from speechlstm.model.encoder.lookahead import RowConvolution

VOCAB = 7
CELLS = ("lstm", "gru", "rnn")
SMALL = {"hidden_size": 6, "num_layers": 2, "conv_channels": 4}


def kinds() -> dict[str, Callable[..., Stack]]:
    def lookahead(**options: object) -> Stack:
        return LookaheadEncoder(FEATURES, VOCAB, **{"lookahead": 3, **SMALL, **options})

    def chunked(**options: object) -> Stack:
        return ChunkedEncoder(FEATURES, VOCAB, **{"chunk_size": 3, "lookahead": 2, **SMALL, **options})

    def conformer(**options: object) -> Stack:
        sizes = {"width": 8, "num_heads": 2, "ffn_size": 12, "num_layers": 2, "kernel_size": 5}
        return ConformerEncoder(FEATURES, VOCAB, conv_channels=4, **{**sizes, **options})

    def recurrent(cell: str) -> Callable[..., Stack]:
        return lambda **options: Encoder(FEATURES, VOCAB, cell, **{**SMALL, **options})

    full = {f"full_{cell}": recurrent(cell) for cell in CELLS}
    projected = {"projected": lambda **options: recurrent("lstm")(projection_size=6, **options)}
    return {"lookahead": lookahead, "chunked": chunked, "conformer": conformer} | full | projected


KINDS = kinds()


def make(kind: str, **options: object) -> Stack:
    torch.manual_seed(0)
    made = KINDS[kind](**options).eval()
    return as_if_trained(made)


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    lengths=st.lists(st.integers(0, 33), min_size=1, max_size=5),
    extra=st.integers(0, 9),
    filler=st.sampled_from([0.0, 3.0, -1e4, math.inf, math.nan]),
    subsampling=st.sampled_from([1, 2, 4]),
)
def test_an_utterance_is_the_same_alone_and_in_any_batch(
    kind: str, lengths: list[int], extra: int, filler: float, subsampling: int
) -> None:
    model = make(kind, subsampling=subsampling)
    utterances = randoms(lengths)
    with torch.no_grad():
        together, frames = model(*pad(utterances, filler, extra))
        assert frames.tolist() == [math.ceil(length / subsampling) for length in lengths]
        for row, count, utterance in zip(together, frames, utterances, strict=True):
            alone, _ = model(*pad([utterance]))
            torch.testing.assert_close(row[:count], alone[0, :count], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(row[:count].logsumexp(-1), torch.zeros(int(count)), atol=1e-5, rtol=0)
            assert not row[count:].any(), "zeros past the length"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_no_gradient_comes_from_padding_nor_goes_there(kind: str) -> None:
    utterances = randoms([5, 37, 1, 0])
    batch, lengths = pad(utterances, filler=2.0, extra=3)
    batch.requires_grad_()

    def learn(features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        model = make(kind, subsampling=2)
        model(features, lengths)[0].pow(2).sum().backward()
        return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}

    together = learn(batch, lengths)
    singly = [learn(*pad([utterance])) for utterance in utterances]
    for name, gradient in together.items():
        assert gradient.isfinite().all()
        torch.testing.assert_close(
            gradient, sum(each[name] for each in singly), atol=5e-4, rtol=1e-3, msg=name
        )
    assert batch.grad is not None
    for gradient, length in zip(batch.grad, lengths, strict=True):
        assert not gradient[length:].any() and (length == 0 or gradient[:length].abs().sum() > 0)


def receptive_field(model: Stack, frame: int, frames: int) -> tuple[int, int]:
    """Return the first and last encoder frame of the input that an output frame depends on."""
    features, lengths = pad(randoms([frames]))
    features.requires_grad_()
    (gradient,) = torch.autograd.grad(model(features, lengths)[0][0, frame].pow(2).sum(), features)
    touched = gradient[0].abs().sum(-1).nonzero().flatten()
    return int(touched.min()), int(touched.max())


def without_convolutions(model: Stack) -> Stack:
    """Make the two convolutions look at their own frame alone, so that frames can be distinguished."""
    with torch.no_grad():
        for conv in (model.subsample.conv1, model.subsample.conv2):
            conv.weight[:, :, [0, 2]] = 0.0
    return model


@pytest.mark.parametrize("lookahead", [0, 4])
def test_the_lookahead_encoder_hears_so_many_frames_of_the_future_and_all_of_the_past(lookahead: int) -> None:
    model = without_convolutions(make("lookahead", lookahead=lookahead, subsampling=1))
    assert receptive_field(model, 7, 20) == (0, 7 + lookahead)
    assert receptive_field(model, 18, 20) == (0, min(19, 18 + lookahead))


@pytest.mark.parametrize(("frame", "last"), [(0, 7), (4, 7), (5, 12), (14, 17), (19, 19)])
def test_the_chunked_encoder_hears_as_far_as_its_window(frame: int, last: int) -> None:
    """Whatever the number of layers: their looks ahead must not add up."""
    model = without_convolutions(
        make("chunked", chunk_size=5, lookahead=3, num_layers=3, subsampling=1, hidden_size=12)
    )
    assert receptive_field(model, frame, 20) == (0, last)


@pytest.mark.parametrize("cell", CELLS)
def test_with_one_chunk_it_is_the_bidirectional_encoder(cell: str) -> None:
    chunked = make("chunked", chunk_size=9, lookahead=0, cell=cell)
    full = Encoder(FEATURES, VOCAB, cell=cell, **SMALL).eval()
    full.load_state_dict(chunked.state_dict())
    batch = pad(randoms([33, 36, 5]))
    torch.testing.assert_close(chunked(*batch)[0], full(*batch)[0], atol=1e-5, rtol=1e-5)
    longer = pad(randoms([48]))
    assert not torch.allclose(chunked(*longer)[0], full(*longer)[0], atol=1e-3)


CELL_OF: dict[str, type[nn.RNNCellBase]] = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}


def one_by_one(
    layer: nn.Module, cell: str, x: Tensor, state: object, suffix: str
) -> tuple[list[Tensor], object]:
    """Run one direction over `(frames, width)`, a frame at a time."""
    size = layer.rnn.hidden_size
    single = CELL_OF[cell](x.shape[-1], size)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    single.load_state_dict({name: getattr(layer.rnn, f"{name}_l0{suffix}") for name in names})
    outputs = []
    for frame in x:
        state = single(frame[None], state)
        outputs.append((state[0] if cell == "lstm" else state)[0])
    return outputs, state


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("size", "ahead", "frames"), [(3, 2, 11), (4, 6, 9), (5, 0, 13), (1, 1, 4)])
def test_chunks_are_what_the_paper_says(cell: str, size: int, ahead: int, frames: int) -> None:
    """Chunk by chunk through all layers, the forward state handed on from the end of the chunk, not of the window."""
    model = make("chunked", chunk_size=size, lookahead=ahead, cell=cell, subsampling=1, dropout=0.0)
    features, lengths = pad(randoms([frames]))
    with torch.no_grad():
        x = model.subsample(features, lengths)[0][0]
        states: list[object] = [None] * len(model.layers)
        chunks = []
        for start in range(0, frames, size):
            window = x[start : start + size + ahead]
            for number, layer in enumerate(model.layers):
                normed = layer.norm(window)
                main, states[number] = one_by_one(layer, cell, normed[:size], states[number], "")
                future, _ = one_by_one(layer, cell, normed[size:], states[number], "")
                backward, _ = one_by_one(layer, cell, normed.flip(0), None, "_reverse")
                window = window + torch.cat([torch.stack(main + future), torch.stack(backward[::-1])], dim=-1)
            chunks.append(window[:size])
        wanted = model.output(model.norm(torch.cat(chunks))).log_softmax(-1)
        torch.testing.assert_close(model(features, lengths)[0][0], wanted, atol=1e-5, rtol=1e-5)


def test_row_convolution_is_the_sum_of_the_next_frames() -> None:
    torch.manual_seed(0)
    row = RowConvolution(5, 3)
    x, lengths = torch.randn(2, 9, 5), torch.tensor([9, 6])
    got = row(x, lengths)
    weights = row.conv.weight[:, 0]  # width x taps
    for utterance, length, output in zip(x, lengths.tolist(), got, strict=True):
        normed = row.norm(utterance)
        for frame in range(length):
            future = normed[frame : min(frame + 4, length)]
            wanted = utterance[frame] + (weights[:, : len(future)] * future.T).sum(1)
            torch.testing.assert_close(output[frame], wanted)


def test_a_conformer_layer_is_torchaudios_but_for_the_padding() -> None:
    class EachFrame(nn.Module):
        def __init__(self, norm: nn.GroupNorm) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(norm.num_channels, eps=norm.eps)
            self.norm.load_state_dict(norm.state_dict())

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x.transpose(1, 2)).transpose(1, 2)

    torch.manual_seed(0)
    ours = ConformerLayer(8, 12, 2, 5, use_group_norm=True)
    theirs = torchaudio.models.conformer.ConformerLayer(8, 12, 2, 5, use_group_norm=True)
    with torch.no_grad():
        for weight in ours.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    theirs.load_state_dict(ours.state_dict())
    theirs.conv_module.sequential[3] = EachFrame(theirs.conv_module.sequential[3])
    x = torch.randn(2, 11, 8)
    nothing = torch.zeros(2, 11, dtype=torch.bool)
    wanted = theirs(x.transpose(0, 1), nothing).transpose(0, 1)
    torch.testing.assert_close(ours(x, nothing.unsqueeze(-1)), wanted)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_intermediate_outputs_come_in_training_only(kind: str) -> None:
    model = make(kind, intermediate=[1], dropout=0.0)
    batch = pad(randoms([21, 6]))
    assert len(model(*batch)) == 2
    log_probs, lengths, lower = model.train()(*batch)
    assert lower.shape == log_probs.shape and not torch.equal(lower, log_probs)
    torch.testing.assert_close(log_probs, model.eval()(*batch)[0])
    assert not lower[1, int(lengths[1]) :].any()


@pytest.mark.parametrize("kind", ["lookahead", "chunked"])
def test_dropout_works_in_the_siblings_too(kind: str) -> None:
    plain, model = make(kind, dropout=0.0), make(kind, dropout=0.3)
    batch = pad(randoms([21, 6]))
    assert torch.equal(model(*batch)[0], plain(*batch)[0])
    assert not torch.allclose(model.train()(*batch)[0], plain(*batch)[0], atol=1e-3)


@pytest.mark.parametrize("name", sorted(configs.option_names("encoder")))
def test_every_config_builds_and_has_the_parameters_it_says(name: str) -> None:
    cfg = configs.load("train", [f"encoder={name}"]).encoder
    model = configs.build_part("encoder", cfg, num_features=80, vocab_size=30)
    head = (configs.CONF / "encoder" / f"{name}.yaml").read_text().partition("\n")[0]
    counted = sum(weight.numel() for weight in model.parameters()) / 1e6
    claimed = re.search(r" ([\d.]+) million parameters\.$", head)
    assert claimed is not None and float(claimed[1]) == round(counted, 1)
    log_probs, lengths = model.eval()(torch.randn(1, 9, 80), torch.tensor([9]))
    assert log_probs.shape == (1, 3, 30) and lengths.tolist() == [3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_gpu_computes_the_same(kind: str) -> None:
    model = make(kind)
    features, lengths = pad(randoms([9, 0, 33, 1]))
    here, _ = model(features, lengths)
    there, _ = model.cuda()(features.cuda(), lengths.cuda())
    torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=1e-3)

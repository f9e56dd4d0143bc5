"""Encoders that carry their state from piece to piece give what they give for the whole utterance."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from padding import FEATURES, as_if_trained, pad, randoms
from torch import Tensor

from speechlstm.model.encoder import ChunkedEncoder, LookaheadEncoder

SMALL = {"hidden_size": 6, "num_layers": 2, "conv_channels": 4}
Streaming = ChunkedEncoder | LookaheadEncoder


def make(kind: str, **options: object) -> Streaming:
    torch.manual_seed(0)
    kinds = {"chunked": ChunkedEncoder, "lookahead": LookaheadEncoder}
    made: Streaming = as_if_trained(kinds[kind](FEATURES, 7, **SMALL, **options).eval())
    return made


@torch.no_grad()
def pieces(model: Streaming, features: Tensor, cuts: list[int]) -> list[Tensor]:
    """Return what comes out of each piece of an utterance that is cut at some frames, which may repeat."""
    stream = model.stream()
    edges = [0, *sorted(min(cut, len(features)) for cut in cuts), len(features)]
    spans = list(pairwise(edges))
    return [
        stream.accept(features[start:end], last=index == len(spans) - 1)
        for index, (start, end) in enumerate(spans)
    ]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["chunked", "lookahead"]),
    cell=st.sampled_from(["lstm", "gru", "rnn"]),
    frames=st.integers(1, 90),
    cuts=st.lists(st.integers(0, 90), max_size=12),
    chunk_size=st.integers(1, 9),
    lookahead=st.integers(0, 7),
    subsampling=st.sampled_from([1, 2, 4]),
    projection_size=st.sampled_from([None, 5]),
)
def test_pieces_are_the_whole(
    kind: str,
    cell: str,
    frames: int,
    cuts: list[int],
    chunk_size: int,
    lookahead: int,
    subsampling: int,
    projection_size: int | None,
) -> None:
    options = {"chunk_size": chunk_size} if kind == "chunked" else {}
    model = make(
        kind, cell=cell, lookahead=lookahead, subsampling=subsampling, projection_size=projection_size, **options
    )  # fmt: skip
    (features,) = randoms([frames])
    found = torch.cat(pieces(model, features, cuts))
    with torch.no_grad():  # in a padded batch, beside a longer one
        together, lengths = model(*pad([features, *randoms([frames + 7])], filler=3.0))
    torch.testing.assert_close(found, together[0, : lengths[0]], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("kind", "waits"), [("chunked", 5), ("lookahead", 3)])
def test_outputs_come_as_soon_as_their_lookahead_is_there(kind: str, waits: int) -> None:
    """Single frames go in; one comes out 3 later, or 5 come out when 3 of the next chunk are there."""
    options = {"chunk_size": 5} if kind == "chunked" else {}
    model = make(kind, lookahead=3, subsampling=1, **options)
    (features,) = randoms([30])
    counts = [len(each) for each in pieces(model, features, list(range(1, 30)))]
    arrived = 3 + 3 + 1  # an output, its look-ahead, and what the convolutions need after it
    if kind == "lookahead":
        assert counts[: arrived - 1] == [0] * (arrived - 1) and counts[arrived - 1 : 29] == [1] * (
            29 - arrived + 1
        )
    else:
        assert [index + 1 for index, count in enumerate(counts[:-1]) if count == waits] == [11, 16, 21, 26]
    assert sum(counts) == 30


def test_two_utterances_at_once_do_not_mix() -> None:
    model = make("lookahead", lookahead=2)
    first, second = randoms([40, 40])
    one, two = model.stream(), model.stream()
    with torch.no_grad():
        mixed = [
            torch.cat(
                (one.accept(first[:20]), two.accept(second[:20])[:0], one.accept(first[20:], last=True))
            )
        ]
    torch.testing.assert_close(mixed[0], torch.cat(pieces(model, first, [20])), atol=1e-6, rtol=0)

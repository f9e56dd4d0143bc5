"""Small encoders of every kind with gates, and features to listen to."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlstm.model.encoder import ChunkedEncoder, Encoder, LookaheadEncoder

FEATURES, VOCAB = 10, 7
KINDS = {
    "lstm": (Encoder, {}),
    "gru": (Encoder, {"cell": "gru"}),
    "rnn": (Encoder, {"cell": "rnn", "projection_size": 5}),
    "bare": (Encoder, {"layer_norm": False, "residual": False}),
    "lookahead": (LookaheadEncoder, {"lookahead": 2}),
    "chunked": (ChunkedEncoder, {"chunk_size": 3, "lookahead": 2}),
    "chunked without a look ahead": (ChunkedEncoder, {"chunk_size": 4, "lookahead": 0}),
}


def encoder(kind: str, layers: int = 2) -> Encoder:
    torch.manual_seed(0)
    build, options = KINDS[kind]
    made = build(FEATURES, VOCAB, hidden_size=6, num_layers=layers, conv_channels=3, **options).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def features(frames: int = 41, seed: int = 1) -> Tensor:
    return torch.randn(1, frames, FEATURES, generator=torch.Generator().manual_seed(seed))

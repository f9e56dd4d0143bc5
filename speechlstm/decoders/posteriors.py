"""Synthetic log-probabilities of known texts, for tests of decoders."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from speechlstm.model.tokenizer import Tokenizer


def certain(path: list[int], vocab: int, sure: float = 0.999) -> Tensor:
    """Return `(frames, vocab)` in which each frame's token has the probability `sure` and the rest share the rest."""
    probabilities = torch.full((len(path), vocab), (1 - sure) / (vocab - 1))
    probabilities[torch.arange(len(path)), torch.tensor(path, dtype=torch.int64)] = sure
    return probabilities.log()


def spoken(tokenizer: Tokenizer, text: str, hold: int = 1, gap: int = 1, sure: float = 0.999) -> Tensor:
    """Return `(frames, vocab)` of a text: `hold` frames for each token, `gap` blanks around them."""
    path = [token for index in tokenizer.encode(text) for token in (*[0] * gap, *[index] * hold)]
    return certain([*path, *[0] * gap], len(tokenizer), sure)


def mumbled(tokenizer: Tokenizer, text: str, seed: int, noise: float = 1.2) -> Tensor:
    """Return `(frames, vocab)` of a text that is understood by and large: three frames a token, Gaussian noise.

    `noise` is its standard deviation, natural log.
    """
    clear = spoken(tokenizer, text, hold=2, sure=0.9)
    return (clear + noise * _normal(len(clear), len(tokenizer), seed)).log_softmax(-1)


def noise(frames: int, vocab: int, seed: int) -> Tensor:
    """Return `(frames, vocab)` of nothing in particular."""
    return (2 * _normal(frames, vocab, seed)).log_softmax(-1)


def padded(rows: list[Tensor], padding: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return utterances as a batch `(batch, frames, vocab)` with lengths `(batch,)`."""
    return pad_sequence(rows, batch_first=True, padding_value=padding), torch.tensor(
        [len(row) for row in rows]
    )


def _normal(frames: int, vocab: int, seed: int) -> Tensor:
    return torch.randn(frames, vocab, generator=torch.Generator().manual_seed(seed))

"""Posteriors that are made up for tests of decoders are what they say."""

from __future__ import annotations

import math

import pytest
import torch

from speechlstm.decoders.posteriors import certain, mumbled, padded, spoken
from speechlstm.model.tokenizer import Characters

TOKENS = Characters.from_texts(["ab"])


def test_spoken_posteriors_are_what_they_say() -> None:
    log_probs = spoken(TOKENS, "ab", hold=2, gap=1, sure=0.7)
    assert log_probs.argmax(-1).tolist() == [0, 2, 2, 0, 3, 3, 0]
    assert log_probs.max(-1).values.exp().tolist() == pytest.approx([0.7] * 7)
    assert log_probs.exp().sum(-1).tolist() == pytest.approx([1.0] * 7)
    assert certain([1], 3, sure=1.0).tolist() == [[-math.inf, 0.0, -math.inf]]


def test_mumbled_posteriors_depend_on_nothing_but_the_seed() -> None:
    assert torch.equal(mumbled(TOKENS, "a b", 3), mumbled(TOKENS, "a b", 3))
    assert not torch.equal(mumbled(TOKENS, "a b", 3), mumbled(TOKENS, "a b", 4))
    quiet = mumbled(TOKENS, "a b", 3, noise=0.0)
    assert quiet.argmax(-1).tolist() == [0, 2, 2, 0, 1, 1, 0, 3, 3, 0]


def test_padded_keeps_the_rows() -> None:
    log_probs, lengths = padded([torch.ones(2, 3), torch.ones(0, 3)], padding=7.0)
    assert lengths.tolist() == [2, 0] and log_probs.shape == (2, 2, 3)
    assert log_probs[0].eq(1).all() and log_probs[1].eq(7).all()

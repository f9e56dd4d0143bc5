"""The Rust search keeps the contract, and finds what all alignments together say."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

pytest.importorskip("fast_ctc_decode")

from speechlstm_fast_ctc import FastCtcDecoder

from speechlstm.decoders import create
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Characters, Words
from speechlstm.types import UsageError

TOKENIZER = Characters.from_texts(["ab"])  # <blank>, <space>, a, b


class TestFastCtc(DecoderContract):
    name = "fast_ctc"


def brute_force(log_probs: torch.Tensor) -> tuple[tuple[int, ...], float]:
    """Return the most probable token sequence, all its alignments together, and its probability."""
    frames, vocab = log_probs.shape
    totals: Counter[tuple[int, ...]] = Counter()
    for path in itertools.product(range(vocab), repeat=frames):
        tokens = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[tokens] += math.exp(sum(float(log_probs[frame, token]) for frame, token in enumerate(path)))
    return max(totals.items(), key=lambda item: item[1])


@pytest.mark.parametrize("seed", range(10))
def test_a_wide_beam_finds_the_most_probable_text_and_its_probability(seed: int) -> None:
    log_probs = noise(4, len(TOKENIZER), seed)
    tokens, probability = brute_force(log_probs)
    [hypothesis] = FastCtcDecoder(TOKENIZER, beam_size=200, beam_cut_threshold=0).decode(log_probs)
    assert tuple(hypothesis.tokens) == tokens
    assert hypothesis.score == pytest.approx(math.log(probability), rel=1e-4)


def test_the_frames_are_those_of_the_tokens_not_those_of_the_first_thought() -> None:
    log_probs = torch.tensor([0.9, 0.9, 0.02, 0.02, 0.9]).log()[:, None].expand(5, 4).clone()
    log_probs[:, 1:] = torch.tensor(
        [[0.05, 0.03, 0.02]] * 2 + [[0.02, 0.94, 0.02]] * 2 + [[0.05, 0.03, 0.02]]
    ).log()
    [hypothesis] = FastCtcDecoder(TOKENIZER).decode(log_probs)
    assert (hypothesis.tokens, hypothesis.starts, hypothesis.ends) == ([2], [2], [4])
    assert hypothesis.confidences == pytest.approx([0.94], abs=1e-4)


def test_more_tokens_than_the_threshold_allows() -> None:
    tokenizer = Words(["<blank>", *(f"w{index}" for index in range(2000))])
    log_probs = torch.full((3, 2001), 0.1 / 2000).log()
    log_probs[[0, 1, 2], [0, 1999, 0]] = math.log(0.9)
    [hypothesis] = FastCtcDecoder(tokenizer, beam_cut_threshold=0.5).decode(log_probs.log_softmax(-1))
    assert tokenizer.decode(hypothesis.tokens) == "w1998"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beam_size": 0}, "fast_ctc.*beam_size is 0, but must be 1 or more"),
        ({"beam_cut_threshold": math.nan}, "beam_cut_threshold is nan, but must be a number"),
    ],
)
def test_parameters_out_of_range_are_usage_errors(params: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create("fast_ctc", tokenizer=TOKENIZER, **params)

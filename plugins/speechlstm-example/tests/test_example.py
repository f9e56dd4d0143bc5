"""The example decoder, by what it promises."""

from __future__ import annotations

import math

import pytest
import torch
from speechlstm_example import BlankPenaltyDecoder

from speechlstm.decoders import create
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Characters
from speechlstm.types import UsageError

TOKENIZER = Characters.from_texts(["ab"])  # <blank>, <space>, a, b


class TestContract(DecoderContract):
    """What every decoder must do; below, what this one promises."""

    name = "example"


@pytest.mark.parametrize("seed", range(5))
def test_without_a_penalty_it_is_best_path(seed: int) -> None:
    log_probs = noise(200, len(TOKENIZER), seed)
    [ours] = BlankPenaltyDecoder(tokenizer=TOKENIZER, blank_penalty=0).decode(log_probs)
    [greedy] = GreedyDecoder(tokenizer=TOKENIZER).decode(log_probs)
    assert (ours.tokens, ours.starts, ours.ends) == (greedy.tokens, greedy.starts, greedy.ends)
    assert ours.score == pytest.approx(greedy.score, rel=1e-5)
    assert ours.confidences == pytest.approx(greedy.confidences, rel=1e-5)


def test_the_penalty_brings_back_a_token_just_below_the_blank() -> None:
    log_probs = torch.tensor(
        [[0.6, 0.0, 0.4, 0.0], [0.1, 0.0, 0.0, 0.9]]
    ).log()  # 0.6 / 0.4: 0.405 nats apart
    decode = [BlankPenaltyDecoder(TOKENIZER, penalty).decode(log_probs)[0] for penalty in (0.4, 0.41)]
    assert [TOKENIZER.decode(hypothesis.tokens) for hypothesis in decode] == ["b", "ab"]
    assert (decode[1].starts, decode[1].ends) == ([0, 1], [1, 2])
    assert decode[1].score == pytest.approx(math.log(0.4) + math.log(0.9))


@pytest.mark.parametrize("penalty", [-1.0, math.nan, math.inf])
def test_a_penalty_out_of_range_is_a_usage_error(penalty: float) -> None:
    with pytest.raises(UsageError, match=r"blank_penalty is"):
        create("example", tokenizer=TOKENIZER, blank_penalty=penalty)

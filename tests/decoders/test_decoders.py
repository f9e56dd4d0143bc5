"""Greedy decoding against an oracle, and what the base class checks for every decoder."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from speechlstm import configs, decoders
from speechlstm.decoders import Decoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.tokenizer import Characters
from speechlstm.types import DecoderError, Hypothesis, UsageError

TOKENIZER = Characters.from_texts(["abc"])  # <blank>, <space>, a, b, c
VOCAB = len(TOKENIZER)


class Recorder(Decoder):
    """Keeps what the base class hands to `decode`."""

    def __init__(self) -> None:
        super().__init__(TOKENIZER)
        self.seen: list[Tensor] = []

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        self.seen.append(log_probs)
        return [Hypothesis([], [], [], float(len(log_probs)), [])]


def noise(batch: int, frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, frames, VOCAB, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def spoken(path: list[int], probability: float = 0.9) -> Tensor:
    """Return `(1, frames, vocab)` whose best path is `path`."""
    rest = (1 - probability) / (VOCAB - 1)
    rows = [[probability if token == best else rest for token in range(VOCAB)] for best in path]
    return torch.tensor([rows]).reshape(1, len(path), VOCAB).log()


def oracle(log_probs: Tensor) -> Hypothesis:
    """Best path, one frame after the other."""
    tokens, starts, ends, frames_of = [], [], [], []
    before, score = 0, 0.0
    for frame, row in enumerate(log_probs.tolist()):
        best = max(range(len(row)), key=row.__getitem__)
        score += row[best]
        if best and best == before:
            ends[-1] = frame + 1
            frames_of[-1].append(row[best])
        elif best:
            tokens.append(best)
            starts.append(frame)
            ends.append(frame + 1)
            frames_of.append([row[best]])
        before = best
    confidences = [sum(map(math.exp, frames)) / len(frames) for frames in frames_of]
    return Hypothesis(tokens, starts, ends, score, confidences)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 30), min_size=1, max_size=4))
def test_greedy_is_the_oracle_on_any_padded_batch(seed: int, lengths: list[int]) -> None:
    log_probs = noise(len(lengths), max(lengths), seed)
    for row, length in zip(log_probs, lengths, strict=True):
        row[length:] = 0.0  # what the encoder writes there
    results = GreedyDecoder(TOKENIZER)(log_probs, torch.tensor(lengths))
    for row, length, [found] in zip(log_probs, lengths, results, strict=True):
        wanted = oracle(row[:length])
        assert (found.tokens, found.starts, found.ends) == (wanted.tokens, wanted.starts, wanted.ends)
        assert found.score == pytest.approx(wanted.score, rel=1e-5)
        assert found.confidences == pytest.approx(wanted.confidences, rel=1e-5)
        assert [[found]] == GreedyDecoder(TOKENIZER)(row[:length].numpy()), (
            "alone, as an array, as in the batch"
        )


@pytest.mark.parametrize(
    ("path", "text", "starts", "ends"),
    [
        ([], "", [], []),
        ([0, 0, 0], "", [], []),
        ([2], "a", [0], [1]),
        ([2, 2, 3], "ab", [0, 2], [2, 3]),
        ([2, 0, 2], "aa", [0, 2], [1, 3]),
        ([0, 2, 2, 0, 1, 1, 4, 0], "a c", [1, 4, 6], [3, 6, 7]),
    ],
)
def test_collapse_table(path: list[int], text: str, starts: list[int], ends: list[int]) -> None:
    [[hypothesis]] = GreedyDecoder(TOKENIZER)(spoken(path), torch.tensor([len(path)]))
    assert TOKENIZER.decode(hypothesis.tokens) == text
    assert (hypothesis.starts, hypothesis.ends) == (starts, ends)
    assert hypothesis.confidences == pytest.approx([0.9] * len(starts))
    assert hypothesis.score == pytest.approx(len(path) * math.log(0.9), abs=1e-6)


@given(st.integers(0, 10**6))
def test_the_score_is_the_best_of_all_paths(seed: int) -> None:
    log_probs = noise(1, 4, seed)[0]
    paths = itertools.product(range(VOCAB), repeat=4)
    best = max(sum(float(log_probs[frame, token]) for frame, token in enumerate(path)) for path in paths)
    assert GreedyDecoder(TOKENIZER).decode(log_probs)[0].score == pytest.approx(best, rel=1e-5)


def test_certain_and_impossible_tokens() -> None:
    log_probs = torch.tensor([[[0.0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]]).log()  # zeros and minus infinities
    [[hypothesis]] = GreedyDecoder(TOKENIZER)(log_probs, torch.tensor([2]))
    assert (hypothesis.tokens, hypothesis.score, hypothesis.confidences) == ([2], 0.0, [1.0])


def test_decode_gets_float32_without_padding() -> None:
    log_probs = noise(2, 6).to(torch.bfloat16).requires_grad_()
    decoder = Recorder()
    results = decoder(log_probs, torch.tensor([6, 4]))
    assert [hypotheses[0].score for hypotheses in results] == [6.0, 4.0]
    assert [tuple(seen.shape) for seen in decoder.seen] == [(6, VOCAB), (4, VOCAB)]
    assert all(seen.dtype == torch.float32 and not seen.requires_grad for seen in decoder.seen)
    assert torch.equal(decoder.seen[1], log_probs.detach()[1, :4].float())


@pytest.mark.parametrize("decoder", [Recorder(), GreedyDecoder(TOKENIZER)], ids=["base", "greedy"])
@pytest.mark.parametrize(
    ("log_probs", "lengths", "message"),
    [
        (noise(2, 3) * torch.nan, [3, 3], r"NaN at frame 0 of utterance 0"),
        (
            torch.cat([noise(2, 3), noise(2, 1) + 2.0], 1),
            [3, 4],
            r"not normalized .* at frame 3 of utterance 1",
        ),
        (noise(2, 3).exp(), [3, 3], r"not normalized natural logarithms"),
        (noise(2, 3) / math.log(10), [3, 3], r"not normalized natural logarithms"),
        (noise(1, 3)[..., 1:].log_softmax(-1), [3], r"of 4 tokens, but the tokenizer has 5"),
        (
            noise(1, 3)[0, 0],
            [3],
            r"\(batch, frames, vocab\) and lengths \(batch,\), but got \(5,\) and \(1,\)",
        ),
        (noise(2, 3), [3], r"but got \(2, 3, 5\) and \(1,\)"),
        (noise(2, 3), [3, 4], r"lengths \[3, 4\] must lie between 0 and the 3 frames"),
        (noise(2, 3), [-1, 3], r"lengths \[-1, 3\]"),
    ],
)
def test_bad_log_probs_are_refused(
    decoder: Decoder, log_probs: Tensor, lengths: list[int], message: str
) -> None:
    with pytest.raises(DecoderError, match=message):
        decoder(log_probs, torch.tensor(lengths))


@pytest.mark.parametrize("decoder", [Recorder(), GreedyDecoder(TOKENIZER)], ids=["base", "greedy"])
def test_what_lies_in_the_padding_does_not_matter(decoder: Decoder) -> None:
    log_probs = noise(2, 5)
    clean = decoder(log_probs, torch.tensor([5, 3]))
    log_probs[1, 3:] = torch.nan
    assert decoder(log_probs, torch.tensor([5, 3])) == clean


def test_an_empty_batch_is_an_empty_result() -> None:
    for decoder in (Recorder(), GreedyDecoder(TOKENIZER)):
        assert decoder(torch.zeros(0, 3, VOCAB), torch.zeros(0, dtype=torch.int64)) == []


def test_greedy_is_made_by_its_name_and_its_config() -> None:
    assert "greedy" in decoders.names() == sorted(decoders.names())
    assert isinstance(decoders.create("greedy", tokenizer=TOKENIZER), GreedyDecoder)
    decoder = configs.build_part("decoder", configs.load("decoder/greedy").decoder, tokenizer=TOKENIZER)
    assert isinstance(decoder, GreedyDecoder) and decoder.tokenizer is TOKENIZER


def test_parameters_greedy_does_not_take() -> None:
    with pytest.raises(UsageError, match=r"decoder 'greedy': .*'beam_size'; its settings are: none"):
        decoders.create("greedy", tokenizer=TOKENIZER, beam_size=4)
    with pytest.raises(UsageError, match=r"no decoder 'gredy'; did you mean 'greedy'\?"):
        decoders.create("gredy", tokenizer=TOKENIZER)

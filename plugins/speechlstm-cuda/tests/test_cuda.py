"""The GPU search keeps the contract where there is a GPU; what needs none is tested everywhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import speechlstm_cuda
import torch
from speechlstm_cuda import CudaDecoder, frames_needed, parts
from torch import Tensor

from speechlstm.decoders import create
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.posteriors import certain, noise, padded, spoken
from speechlstm.model.tokenizer import Characters
from speechlstm.types import DecoderError, UsageError

TOKENIZER = Characters.from_texts(["abc"])  # <blank>, <space>, a, b, c


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
class TestCuda(DecoderContract):
    name = "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    with pytest.raises(
        UsageError, match=r"^decoder=cuda searches on an NVIDIA GPU, and torch finds none here"
    ):
        create("cuda", tokenizer=TOKENIZER)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0, but must be a whole number from 1 to 128"),
        ({"beam_size": 129}, "beam_size is 129"),
        ({"n_best": 1.5}, "n_best is 1.5"),
        ({"blank_skip_threshold": 0}, "blank_skip_threshold is 0, but must be a probability above 0"),
        ({"blank_skip_threshold": 1.1}, "blank_skip_threshold is 1.1"),
    ],
)
def test_parameters_out_of_range_are_usage_errors(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create("cuda", tokenizer=TOKENIZER, **params)


Search = Callable[[Tensor, Tensor], list[list[SimpleNamespace]]]


def with_search(search: Search, n_best: int = 1) -> CudaDecoder:
    """Make a decoder with another search in the place of the GPU's."""
    decoder = CudaDecoder.__new__(CudaDecoder)
    decoder.tokenizer, decoder.beam_size, decoder.n_best = TOKENIZER, 4, n_best
    decoder.device, decoder.lock, decoder.search = torch.device("cpu"), threading.Lock(), search
    return decoder


def best_paths(log_probs: Tensor, lengths: Tensor) -> list[list[SimpleNamespace]]:
    """Stand in for the kernels: strict about what they take, best path only."""
    assert log_probs.dtype == torch.float32 and lengths.dtype == torch.int32 and log_probs.is_contiguous()
    assert bool(log_probs.isfinite().all()) and log_probs.numel()
    hypotheses = []
    for row, length in zip(log_probs, lengths.tolist(), strict=True):
        tokens = torch.unique_consecutive(row[:length].argmax(-1))
        hypotheses.append([SimpleNamespace(tokens=tokens[tokens > 0].to(torch.int32), score=0.0)])
    return hypotheses


def test_a_batch_is_searched_as_a_whole_and_each_gets_its_frames() -> None:
    calls = []

    def search(log_probs: Tensor, lengths: Tensor) -> list[list[SimpleNamespace]]:
        calls.append(tuple(log_probs.shape))
        return best_paths(log_probs, lengths)

    rows = [spoken(TOKENIZER, "ab c", hold=2), certain([], 5), spoken(TOKENIZER, "cc")]
    hypotheses = with_search(search)(*padded(rows, torch.nan))
    assert calls == [(3, 13, 5)]
    assert [TOKENIZER.decode(best.tokens) for [best] in hypotheses] == ["ab c", "", "cc"]
    assert (hypotheses[0][0].starts, hypotheses[0][0].ends) == ([1, 4, 7, 10], [3, 6, 9, 12])
    assert hypotheses[0][0].score == pytest.approx(0.0, abs=0.05)


def test_no_frames_never_reach_the_kernels() -> None:
    decoder = with_search(lambda *_: pytest.fail("called"))  # type: ignore[arg-type]
    assert [best.tokens for [best] in decoder(*padded([certain([], 5), certain([], 5)]))] == [[], []]
    assert decoder(torch.zeros(0, 3, 5), torch.zeros(0, dtype=torch.int64)) == []


def test_what_is_left_of_others_or_twice_there_is_no_hypothesis() -> None:
    def search(log_probs: Tensor, lengths: Tensor) -> list[list[SimpleNamespace]]:
        return [[SimpleNamespace(tokens=torch.tensor(t)) for t in ([3], [2], [2], [2, 2])] for _ in lengths]

    [hypotheses] = with_search(search, n_best=4)(*padded([certain([2, 2], 5)]))
    assert [each.tokens for each in hypotheses] == [[2], [3]], (
        "by their scores; [2, 2] does not fit into two frames"
    )


def test_half_precision_and_minus_infinity_are_made_fit() -> None:
    for log_probs in (spoken(TOKENIZER, "ab").half(), spoken(TOKENIZER, "ab", sure=1.0)):
        [[best]] = with_search(best_paths)(*padded([log_probs]))
        assert TOKENIZER.decode(best.tokens) == "ab"


def test_what_is_no_log_probability_is_refused() -> None:
    with pytest.raises(DecoderError, match="not normalized"):
        with_search(best_paths)(*padded([noise(4, 5, 0).exp()]))


def test_a_failure_of_the_kernels_names_the_decoder() -> None:
    def search(log_probs: Tensor, lengths: Tensor) -> list[list[SimpleNamespace]]:
        raise RuntimeError("CUDA error: out of memory")

    with pytest.raises(
        DecoderError,
        match=r"cuda.* failed: RuntimeError: CUDA error",
    ):
        with_search(search)(*padded([noise(4, 5, 0)]))


@pytest.mark.parametrize(
    ("utterances", "size", "wanted"),
    [
        (0, 10, []),
        (3, 10, [(0, 3)]),
        (3, 2**30, [(0, 1), (1, 2), (2, 3)]),
        (5, 2**29, [(0, 3), (3, 5)]),
        (2, 2**40, [(0, 1), (1, 2)]),
    ],
)
def test_batches_are_divided_so_that_their_tables_can_be_numbered(
    utterances: int, size: int, wanted: list[tuple[int, int]]
) -> None:
    assert [(part.start, part.stop) for part in parts(utterances, size)] == wanted


def test_divided_batches_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = padded([spoken(TOKENIZER, text) for text in ("a", "ab", "abc", "c b a")])
    whole = with_search(best_paths)(*batch)
    monkeypatch.setattr(speechlstm_cuda, "_TABLE", 4 * 11 * 5 * 2)
    assert with_search(best_paths)(*batch) == whole


def test_frames_that_tokens_need() -> None:
    assert [frames_needed(tokens) for tokens in ([], [2], [2, 3], [2, 2, 2])] == [0, 1, 2, 5]

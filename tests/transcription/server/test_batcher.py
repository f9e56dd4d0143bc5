"""What waits goes together if that pays, and nothing harms what is beside it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import speechlstm
from speechlstm.transcription.memory import give_back
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.server import batcher as batching
from speechlstm.transcription.server.batcher import Batcher, SharedModel

RATE = 16_000


class Gated(Recognizer):
    """Waits for a signal before it computes, and fails with batches of more than `most`."""

    gate: threading.Event
    most = 100

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        assert self.gate.wait(60)
        if len(waveforms) > self.most:
            raise RuntimeError("out of memory")
        return super().log_probs(waveforms, lengths)


@pytest.fixture
def gated() -> Gated:
    made = Gated(speechlstm.load("small").bundle)
    made.gate = threading.Event()
    return made


Start = Callable[..., tuple[Batcher, list[int]]]


@pytest.fixture
def begin(gated: Gated) -> Iterator[Start]:
    """Start batchers whose only thread computes, and waits for the gate."""
    begun: list[Batcher] = []

    def start(batch_seconds: float = 120.0) -> tuple[Batcher, list[int]]:
        taken: list[int] = []
        batcher = Batcher(batch_seconds, 1, taken.append)
        begun.append(batcher)
        batcher.submit(gated, noise(1))
        while not taken:
            threading.Event().wait(0.01)
        return batcher, taken

    yield start
    gated.gate.set()
    for batcher in begun:
        batcher.close()


def noise(seconds: float) -> Tensor:
    return torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(round(seconds * RATE)))


def alone(model: Recognizer, waveform: Tensor) -> Tensor:
    return model.log_probs(waveform[None], torch.tensor([len(waveform)]))[0][0]


def test_what_is_about_as_long_goes_together(gated: Gated, begin: Start) -> None:
    batcher, taken = begin()
    waveforms = [noise(seconds) for seconds in (1, 9, 1.1, 0.9, 1.2, 2.5, 1.05, 0.95, 9.1)]
    found = [batcher.submit(gated, each) for each in waveforms]
    assert batcher.waiting() == 9
    gated.gate.set()
    for waveform, each in zip(waveforms, found, strict=True):
        torch.testing.assert_close(each.result(60), alone(gated, waveform), atol=1e-4, rtol=1e-4)
    assert taken == [1, 6, 1, 1, 1], "two of 9 s and one of 2.5 s are quicker one by one"


def test_few_go_alone_and_many_in_the_order_in_which_they_came(gated: Gated, begin: Start) -> None:
    batcher, taken = begin()
    order: list[float] = []
    for seconds in (2.0, 2.02, 1.0, 2.01, 2.04, 2.03):
        found = batcher.submit(gated, noise(seconds))
        found.add_done_callback(lambda future, seconds=seconds: order.append(seconds))  # type: ignore[misc]
    gated.gate.set()
    batcher.close()
    assert taken == [1] * 7 and order == [2.0, 2.02, 1.0, 2.01, 2.04, 2.03]


def test_a_batch_is_not_larger_than_it_may(gated: Gated, begin: Start) -> None:
    batcher, taken = begin(batch_seconds=6.5)
    for _ in range(13):
        batcher.submit(gated, noise(1))
    gated.gate.set()
    batcher.close()
    assert taken == [1, 6, 6, 1], "seven would have 7 s"


def test_models_are_not_mixed(gated: Gated, begin: Start) -> None:
    other = Gated(gated.bundle)
    other.gate = gated.gate
    batcher, taken = begin()
    found = [batcher.submit(model, noise(1)) for _ in range(6) for model in (gated, other)]
    gated.gate.set()
    batcher.close()
    assert taken == [1, 6, 6] and all(each.done() for each in found), "closing runs what waits"


def test_what_fails_together_is_tried_alone(gated: Gated, begin: Start) -> None:
    gated.most = 1
    batcher, taken = begin()
    found = [batcher.submit(gated, noise(1)) for _ in range(6)]
    gated.gate.set()
    wanted = alone(gated, noise(1))
    for each in found:
        torch.testing.assert_close(each.result(60), wanted, atol=1e-4, rtol=1e-4)
    assert taken == [1, 6]
    gated.most = 0
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher.submit(gated, noise(1)).result(60)
    gated.most = 1
    assert len(batcher.submit(gated, noise(1)).result(60)) == len(wanted), "it goes on"


def test_a_shared_model_gives_what_the_model_gives(gated: Gated) -> None:
    gated.gate.set()
    batcher = Batcher()
    shared = SharedModel(gated, batcher)
    lengths = torch.tensor([16_000, 9_000, 12_345])
    waveforms = torch.nn.utils.rnn.pad_sequence([noise(n / RATE) for n in lengths.tolist()], batch_first=True)
    wanted, frames = gated.log_probs(waveforms, lengths)
    found, same = shared.log_probs(waveforms, lengths)
    assert frames.tolist() == same.tolist()
    for row, expected, length in zip(found, wanted, frames.tolist(), strict=True):
        torch.testing.assert_close(row[:length], expected[:length], atol=1e-4, rtol=1e-4)
    batcher.close()


@pytest.mark.parametrize(("seconds", "times"), [(0.0, 5), (1000.0, 1)])
def test_freed_memory_goes_back_now_and_then(
    seconds: float, times: int, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[None] = []
    monkeypatch.setattr(batching, "_GIVE_BACK", seconds)
    monkeypatch.setattr(batching, "give_back", lambda: given.append(None))
    gated.gate.set()
    batcher = Batcher()
    for _ in range(5):
        batcher.submit(gated, noise(1)).result(60)
    batcher.close()
    assert len(given) == times


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_giving_back_returns_what_threads_freed() -> None:
    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    def fill() -> None:
        pieces = [b"x" * 100_000 for _ in range(2000)]  # below the size that is given back at once
        del pieces[:-1]  # the last one, on top, keeps the others in the heap

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    before = megabytes()
    give_back()
    assert megabytes() < before - 25

"""The thread behind the server: what waits goes together, and nothing harms what is beside it."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import speechlstm
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.server.batcher import Batcher, BusyError
from speechlstm.types import AudioError

STOP = (Path(speechlstm.__file__).parent / "data" / "samples" / "stop.flac").read_bytes()


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


def begin(gated: Gated, **options: Any) -> tuple[Batcher, list[int]]:
    taken: list[int] = []
    batcher = Batcher(gated, gated.decoder, taken=taken.append, **options)
    first = batcher.submit(io.BytesIO(STOP))
    while not taken:
        threading.Event().wait(0.01)
    assert not first.done()
    return batcher, taken


def test_what_waits_is_taken_together(gated: Gated) -> None:
    batcher, taken = begin(gated)
    answers = [batcher.submit(io.BytesIO(STOP)) for _ in range(5)]
    broken = batcher.submit(io.BytesIO(b"no audio"))
    assert batcher.waiting() == 6
    gated.gate.set()
    assert [each.result(60).text for each in answers] == ["stop"] * 5
    with pytest.raises(AudioError):
        broken.result(60)
    batcher.close()
    assert taken == [1, 6]


def test_too_many_are_refused(gated: Gated) -> None:
    batcher, _ = begin(gated, most_waiting=2)
    answers = [batcher.submit(io.BytesIO(STOP)) for _ in range(2)]
    with pytest.raises(BusyError, match="2 recordings waiting already"):
        batcher.submit(io.BytesIO(STOP))
    gated.gate.set()
    batcher.close()
    assert [each.result(0).text for each in answers] == ["stop"] * 2, "closing answers what waits"


def test_what_fails_together_is_tried_alone(gated: Gated) -> None:
    gated.most = 1
    batcher, _ = begin(gated)
    answers = [batcher.submit(io.BytesIO(STOP)) for _ in range(3)]
    gated.gate.set()
    assert [each.result(60).text for each in answers] == ["stop"] * 3
    gated.most = 0
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher.submit(io.BytesIO(STOP)).result(60)
    gated.most = 1
    assert batcher.submit(io.BytesIO(STOP)).result(60).text == "stop", "it goes on"
    batcher.close()

"""The threads that transcribe uploads: many at once, few long ones, and no more than may wait."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest
from service import STOP, talk
from torch import Tensor

import speechlstm
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.server.models import HotwordsError, ServedModel
from speechlstm.transcription.server.transcriber import BusyError, Transcriber
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, UsageError


class Gated(Recognizer):
    gate: threading.Event

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        assert self.gate.wait(60)
        return super().log_probs(waveforms, lengths)


@pytest.fixture(scope="module")
def gated() -> Gated:
    made = Gated(speechlstm.load("small").bundle)
    made.gate = threading.Event()
    return made


@pytest.fixture
def model(gated: Gated) -> Iterator[ServedModel]:
    gated.gate.clear()
    yield ServedModel(
        "small", gated, gated, gated.decoder, lambda words: gated.create_decoder("beam", hotwords=words)
    )
    gated.gate.set()


def upload() -> io.BytesIO:
    return io.BytesIO(STOP.read_bytes())


def test_too_many_are_refused_and_those_taken_are_answered(gated: Gated, model: ServedModel) -> None:
    transcriber = Transcriber(most_waiting=3)
    answers = [transcriber.submit(model, upload(), 1.0) for _ in range(2)]
    broken = transcriber.submit(model, io.BytesIO(b"no audio"), 1.0)
    with pytest.raises(AudioError):
        broken.result(60)
    while transcriber.waiting() > 2:
        time.sleep(0.01)
    answers.append(transcriber.submit(model, upload(), 1.0))
    with pytest.raises(BusyError, match="3 recordings waiting already"):
        transcriber.submit(model, upload(), 1.0)
    gated.gate.set()
    transcriber.close()
    assert [each.result(0).text for each in answers] == ["stop"] * 3, "closing answers what waits"
    assert transcriber.waiting() == 0


def test_short_recordings_do_not_wait_for_long_ones(gated: Gated, model: ServedModel) -> None:
    transcriber = Transcriber()
    gated.gate.set()
    reached, go = threading.Event(), threading.Event()

    def hold(start: float, made: Transcript) -> None:
        reached.set()
        assert go.wait(60)

    held = transcriber.submit(model, talk(90), 90.0, report=hold)
    behind = transcriber.submit(model, talk(70), 70.0)
    assert reached.wait(60)
    assert transcriber.submit(model, upload(), 1.0).result(60).text == "stop"
    assert not held.done() and not behind.done(), "one long one at a time"
    go.set()
    assert behind.result(60).text.startswith("stop stop")
    transcriber.close()


def test_the_stretches_of_a_long_recording_are_reported_as_they_are_done(
    gated: Gated, model: ServedModel
) -> None:
    transcriber, parts = Transcriber(), list[tuple[float, Transcript]]()
    gated.gate.set()
    made = transcriber.submit(model, talk(90), 90.0, report=lambda *part: parts.append(part)).result(60)
    assert len(parts) >= 3 and parts[0][0] == 0.0
    assert " ".join(part.text for _, part in parts) == made.text
    assert [word for start, part in parts for word in part.shifted(start).words] == made.words

    def refuse(start: float, part: Transcript) -> None:
        raise ConnectionError("nobody listens any more")

    with pytest.raises(ConnectionError):
        transcriber.submit(model, talk(90), 90.0, report=refuse).result(60)
    transcriber.close()


def test_decoders_with_hotwords_are_made_once_and_the_latest_kept(gated: Gated) -> None:
    made: list[tuple[str, ...]] = []

    def create(hotwords: tuple[str, ...]) -> speechlstm.Decoder:
        made.append(hotwords)
        if hotwords == ("?",):
            raise UsageError("hotword '?' cannot be spelled")
        return gated.create_decoder("beam", hotwords=hotwords)

    model = ServedModel("small", gated, gated, gated.decoder, create)
    assert model.find_decoder(()) is gated.decoder and not made
    first = model.find_decoder(("stop",))
    for word in ("go", "left", "right"):
        model.find_decoder((word,))
    assert model.find_decoder(("stop",)) is first and len(made) == 4
    model.find_decoder(("up",))
    model.find_decoder(("go",))
    assert made[4:] == [("up",), ("go",)], "the one that was not used for longest had gone"
    with pytest.raises(HotwordsError, match="hotword '\\?' cannot be spelled"):
        model.find_decoder(("?",))


def test_a_short_recording_is_read_without_further_threads(
    gated: Gated, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.gate.set()
    transcriber = Transcriber()
    wanted = transcriber.submit(model, upload(), 1.0).result(60)
    assert wanted == gated.transcribe(upload())
    begun: list[str] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (begun.append(self.name), start(self)))
    for _ in range(3):
        assert transcriber.submit(model, upload(), 1.0).result(60) == wanted
    transcriber.close()
    assert all(name.startswith("short") for name in begun)

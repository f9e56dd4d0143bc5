"""Transcription in server-sent events, read by OpenAI's package."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from typing import Any

import pytest
from service import STOP, Server, talk
from torch import Tensor

import speechlstm
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.server.events import stream
from speechlstm.transcription.server.metrics import Metrics
from speechlstm.transcription.server.models import ServedModel
from speechlstm.transcription.server.transcriber import Transcriber
from speechlstm.transcription.server.uploads import Upload, Wish

openai = pytest.importorskip("openai", reason="openai is not installed")


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return speechlstm.load("small")


def test_the_text_of_a_long_recording_comes_as_it_is_recognized(server: Server, model: Recognizer) -> None:
    wanted = model.transcribe(talk(100))
    *deltas, done = server.transcribe(("talk.wav", talk(100).getvalue()), stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"} and len(deltas) >= 4
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text == wanted.text
    ends = [event.end for event in deltas]
    assert ends == sorted(set(ends)) and ends[-1] == pytest.approx(100, abs=0.01)


def test_the_first_text_comes_long_before_the_last(server: Server) -> None:
    before = server.count("speechlstm_audio_seconds_total")
    events = iter(server.transcribe(("talk.wav", talk(300).getvalue()), stream=True))
    assert next(events).delta.startswith("stop stop")
    assert server.count("speechlstm_audio_seconds_total") == before, "it works on the rest"
    assert [event.type for event in events][-1] == "transcript.text.done"
    assert server.count("speechlstm_audio_seconds_total") - before == pytest.approx(300, abs=0.1)


def test_a_short_one_comes_at_once_with_all_that_is_asked_for(server: Server, model: Recognizer) -> None:
    delta, done = server.transcribe(
        stream=True,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        model="other",
    )
    assert delta.delta == done.text == "halt"
    (word,), (same,) = done.words, model.transcribe(str(STOP)).words
    assert (word["start"], word["end"]) == (round(same.start, 3), round(same.end, 3))
    assert done.segments[0]["text"] == "halt" and done.duration == pytest.approx(same.end, abs=1.0)


def test_what_cannot_be_transcribed_has_a_status(server: Server) -> None:
    with pytest.raises(openai.BadRequestError, match=r"talk\.wav"):
        server.transcribe(("talk.wav", b"no audio"), stream=True)
    with pytest.raises(openai.BadRequestError, match="cannot be spelled"):
        server.transcribe(stream=True, keywords=["x-ray"])


class Failing(Recognizer):
    """Computes twice and then fails."""

    calls = 0

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("out of memory")
        return super().log_probs(waveforms, lengths)


def test_what_fails_later_is_an_error_of_the_stream(model: Recognizer) -> None:
    broken = Failing(model.bundle)
    failing = ServedModel("failing", broken, broken, model.decoder, lambda words: model.decoder)
    upload = Upload(talk(150).getvalue())
    wish = Wish(upload, 150.0, failing, (), "json", frozenset(), "unknown", stream=True)
    transcriber = Transcriber()

    async def collect() -> list[Any]:
        response = await stream(transcriber, wish, Metrics(transcriber.waiting))
        return [part async for part in response.body_iterator]

    *deltas, last = asyncio.run(collect())
    transcriber.close()
    assert deltas and all("transcript.text.delta" in part for part in deltas)
    assert last.startswith("event: error\ndata: ")
    error = json.loads(last.partition("data: ")[2])["error"]
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert error["message"] == "RuntimeError: out of memory"


def test_a_client_that_goes_away_ends_its_transcription(server: Server) -> None:
    content = talk(1500).getvalue()
    head = (
        b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    before = server.count("speechlstm_audio_seconds_total")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    kind: dict[str, Any] = {"Content-Type": "multipart/form-data; boundary=b"}
    connection.request("POST", "/v1/audio/transcriptions", head + content + b"\r\n--b--\r\n", kind)
    answered = connection.getresponse()
    assert answered.headers["Content-Type"].startswith("text/event-stream")
    assert answered.readline().startswith(b'data: {"type": "transcript.text.delta", "delta": "stop')
    answered.close()
    connection.close()
    end = time.monotonic() + 60
    while server.count("speechlstm_queue_length"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert server.count("speechlstm_audio_seconds_total") == before, "the rest was not transcribed"

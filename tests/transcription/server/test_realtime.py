"""Live transcription over WebSockets: what is spoken comes back, to OpenAI's package and to several at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from live_client import COMMIT, COMPLETED, RATE, append, connect, packed, read, rest, send, spoken
from service import Server, start
from warm import Server as Warm

import speechlstm
from speechlstm.transcription.server.models import Models, ServedModel
from speechlstm.transcription.server.session import Session


def test_openai_s_client_gets_what_is_spoken_up_to_each_pause(server: Server) -> None:
    settings = {"format": {"type": "audio/pcm", "rate": RATE}, "transcription": {"model": "other"}}
    samples = spoken(3)
    with server.client().realtime.connect(extra_query={"intent": "transcription"}) as connection:
        assert connection.recv().session.audio.input.transcription.model == "letters-digits-commands"
        connection.session.update(session={"type": "transcription", "audio": {"input": settings}})
        assert connection.recv().session.audio.input.transcription.model == "other"
        for begin in range(0, len(samples), 1920):
            connection.input_audio_buffer.append(audio=packed(samples[begin : begin + 1920]))
        events = []
        while sum(event.type == COMPLETED for event in events) < 3:
            events.append(connection.recv())
    deltas: dict[str, str] = {}
    for event in events:
        if event.type.endswith("delta"):
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
    completed = [event for event in events if event.type == COMPLETED]
    assert {event.item_id: event.transcript for event in completed} == deltas
    assert list(deltas.values()) == ["halt"] * 3
    step = len(samples) / RATE / 3
    for number, event in enumerate(completed):
        assert event.words[0]["start"] == pytest.approx(
            completed[0].words[0]["start"] + number * step, abs=0.1
        )
    assert sum(event.usage.seconds for event in completed) == pytest.approx(3 * step, abs=1.0)


def test_only_the_client_ends_an_item_without_turn_detection(server: Server) -> None:
    detection = {"session": {"audio": {"input": {"turn_detection": None, "format": {"rate": 16_000}}}}}
    with connect(server) as socket:
        send(socket, {"type": "session.update", **detection}, append(spoken(2, 16_000)), COMMIT)
        events = read(socket, COMPLETED)
        assert events[-1]["transcript"] == "stop stop"
        send(socket, append(spoken(1, 16_000)), COMMIT)
        last = read(socket, COMPLETED)[-1]
        assert (last["transcript"], last["item_id"]) == ("stop", "item_1")
        assert last["words"][0]["start"] > events[-1]["words"][1]["end"] + 1, "times go on"
        send(socket, append(spoken(1, 16_000)[:24_000]), {"type": "input_audio_buffer.clear"}, COMMIT)
        events = read(socket, "error")
        assert events[-2]["type"] == "input_audio_buffer.cleared"
        assert events[-1]["error"]["code"] == "input_audio_buffer_commit_empty", "nothing is left"


def test_keywords_are_favored() -> None:
    recognizer, made = speechlstm.load("small"), list[tuple[str, ...]]()

    def create(keywords: tuple[str, ...]) -> speechlstm.Decoder:
        made.append(keywords)
        return recognizer.create_decoder("beam", hotwords=keywords)

    model = ServedModel("small", recognizer, recognizer, recognizer.decoder, create)
    session = Session(Models([model]), "")
    settings = {"audio": {"input": {"transcription": {"keywords": [" c ", "e"]}}}}
    list(session.take(json.dumps({"type": "session.update", "session": settings})))
    events = list(session.take(json.dumps(append(spoken(2)))))
    assert made == [("c", "e")] and session._stream is not None
    assert session._stream.decoder is model.find_decoder(("c", "e"))
    assert [event["transcript"] for event in events if event["type"] == COMPLETED][:1] == ["stop"]


def test_times_go_on_after_audio_that_is_cleared() -> None:
    """Also after audio that no word was looked for in."""
    recognizer = speechlstm.load("small")
    model = ServedModel("small", recognizer, recognizer, recognizer.decoder, lambda _: recognizer.decoder)
    session, silence = Session(Models([model]), ""), np.zeros(RATE // 4, np.float32)
    events: list[dict[str, Any]] = []
    for event in [append(silence), {"type": "input_audio_buffer.clear"}] * 8 + [append(spoken(1)), COMMIT]:
        events += session.take(json.dumps(event))
    done = [event for event in events if event["type"] == COMPLETED]
    (word,) = recognizer.transcribe((spoken(1), RATE)).words
    assert done[0]["words"][0]["start"] == pytest.approx(2 + word.start, abs=0.05)
    assert sum(each["usage"]["seconds"] for each in done) == pytest.approx(len(spoken(1)) / RATE, abs=0.01)


def test_deltas_of_what_is_cleared_are_of_another_item() -> None:
    recognizer = speechlstm.load("small")
    model = ServedModel("small", recognizer, recognizer, recognizer.decoder, lambda _: recognizer.decoder)
    session, said = Session(Models([model]), ""), [append(spoken(1)), COMMIT]
    whole = {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}}
    events: list[dict[str, Any]] = []
    for event in [whole, *said, append(spoken(2)), {"type": "input_audio_buffer.clear"}, *said]:
        events += session.take(json.dumps(event))
    texts: dict[str, str] = {}
    for each in events:
        if each["type"].endswith(".delta"):
            texts[each["item_id"]] = texts.get(each["item_id"], "") + each["delta"]
    done = {each["item_id"]: each["transcript"] for each in events if each["type"] == COMPLETED}
    assert done == {"item_0": "stop", "item_2": "stop"} and texts == done | {"item_1": "stop stop"}
    befores = [each["previous_item_id"] for each in events if "previous_item_id" in each]
    assert befores == [None, "item_0"]


def test_several_speak_at_once_while_files_are_transcribed(server: Server) -> None:
    def speak(words: int) -> str:
        with connect(server) as socket:
            samples = spoken(words)
            for begin in range(0, len(samples), 4800):
                send(socket, append(samples[begin : begin + 4800]))
            send(socket, {"type": "input_audio_buffer.commit"})
            texts: list[str] = []
            while sum(map(len, texts)) < 4 * words:
                texts += [each["transcript"] for each in read(socket, COMPLETED) if each["type"] == COMPLETED]
            return " ".join(filter(None, texts))

    with ThreadPoolExecutor(8) as pool:
        files = [pool.submit(server.transcribe) for _ in range(6)]
        assert list(pool.map(speak, [1, 2, 3, 2])) == [" ".join(["stop"] * n) for n in (1, 2, 3, 2)]
        assert [each.result().text for each in files] == ["stop"] * 6


def test_a_stop_of_the_server_closes_connections(tmp_path: Any, warm: Warm) -> None:
    made = start(tmp_path, warm=warm)
    with connect(made) as socket:
        read(socket, "session.created")
        made.process.terminate()
        assert rest(socket)[1] == 1012
    assert made.process.wait(60) == 143
    assert made.process.stdout is not None and made.process.stdout.read() == ""

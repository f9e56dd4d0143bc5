"""Live transcription over WebSockets: OpenAI's package, and clients that send what they should not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from service import STOP, Server, start

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.transcription.server.models import Models, ServedModel
from speechlstm.transcription.server.session import Session

openai = pytest.importorskip("openai", reason="openai is not installed")
client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
InvalidStatus = pytest.importorskip("websockets.exceptions").InvalidStatus

RATE = 24_000
COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for two live connections, which asks for a key."""
    made = start(tmp_path_factory.mktemp("few"), "max_live=2", "upload_seconds=1", key="sésame")
    yield made
    made.process.kill()
    made.process.wait()


def spoken(words: int, rate: int = RATE) -> NDArray[np.float32]:
    """Return the word stop some times, with pauses of over a second."""
    stop = np.concatenate((load_audio(STOP, rate), np.zeros(round(1.2 * rate), np.float32)))
    return np.tile(stop, words)


def packed(samples: NDArray[np.float32]) -> str:
    return base64.b64encode((samples * 32767).astype("<i2").tobytes()).decode()


def append(samples: NDArray[np.float32]) -> dict[str, str]:
    return {"type": "input_audio_buffer.append", "audio": packed(samples)}


def connect(server: Server, query: str = "?intent=transcription", **options: Any) -> Any:
    return client.connect(f"ws://127.0.0.1:{server.port}/v1/realtime{query}", **options)


def send(socket: Any, *events: Any) -> None:
    for event in events:
        socket.send(json.dumps(event))


def read(socket: Any, until: str) -> list[dict[str, Any]]:
    """Return the events up to one of a type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != until:
        events.append(json.loads(socket.recv(60)))
    return events


def rest(socket: Any) -> tuple[list[dict[str, Any]], int, str]:
    """Return the events up to the end, and the code and the reason with which the connection is closed."""
    events: list[dict[str, Any]] = []
    try:
        while True:
            events.append(json.loads(socket.recv(60)))
    except ConnectionClosed as closed:
        return events, closed.rcvd.code, closed.rcvd.reason


COMMIT = {"type": "input_audio_buffer.commit"}


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


@pytest.mark.parametrize(
    ("event", "param", "message"),
    [
        (
            {"type": "response.create"},
            "type",
            'the event has type "response.create", but must have one of these: session',
        ),
        ({"type": ["x"]}, "type", 'the event has type ["x"], but must have one of these: session.update, '),
        ({"type": None}, "type", "the event has no type, but must have one of these: session.update, "),
        ({"session": {"audio": {"input": {"transcription": {"model": "x"}}}}}, "model", "there are 'letters"),
        (
            {"session": {"audio": {"input": {"transcription": {"keywords": "x"}}}}},
            "keywords",
            "must be a list",
        ),
        (
            {"session": {"audio": {"input": {"transcription": {"keywords": ["x-ray"]}}}}},
            "keywords",
            "spelled",
        ),
        (
            {"session": {"audio": {"input": {"format": {"rate": 1}}}}},
            "session.audio.input.format",
            "from 8000",
        ),
        (
            {"session": {"audio": {"input": {"format": {"rate": True}}}}},
            "session.audio.input.format",
            "is True",
        ),
        (
            {"session": {"audio": {"input": {"format": {"type": "g711"}}}}},
            "session.audio.input.format",
            "pcm",
        ),
        ({"session": {"audio": {"input": 3}}}, "input", "input is '3', but must be an object"),
        ({"session": {"type": "realtime"}}, "session.type", "must be 'transcription'"),
        (
            {"session": {"audio": {"input": {"turn_detection": {"silence_duration_ms": 1e9}}}}},
            "session.audio.input.turn_detection",
            "from 100 to 10000",
        ),
    ],
)
def test_what_cannot_be_done_is_an_error_and_the_connection_goes_on(
    server: Server, event: dict[str, Any], param: str, message: str
) -> None:
    with connect(server) as socket:
        if "session" in event:
            event = {"type": "session.update", **event}
        send(socket, {**event, "event_id": "mine"})
        error = read(socket, "error")[-1]["error"]
        assert error["param"] == param and message in error["message"] and error["event_id"] == "mine"
        send(socket, append(spoken(1)), COMMIT)
        assert read(socket, COMPLETED)[-1]["transcript"] == "stop"


def test_settings_come_before_the_audio(server: Server) -> None:
    with connect(server) as socket:
        send(socket, append(spoken(1)[:4800]), {"type": "session.update", "session": {}})
        assert "must come before the audio" in read(socket, "error")[-1]["error"]["message"]
        send(socket, COMMIT, {"type": "session.update", "session": {}})
        assert read(socket, "session.updated")


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("nonsense", 1007, "an event must be JSON"),
        ("[" * 100_000, 1007, "an event must be JSON"),
        ("[1]", 1007, "an event must be a JSON object"),
        (b"\0\1\2\3", 1003, "events must be text; send audio as base64 in input_audio_buffer.append"),
        ('{"type": "input_audio_buffer.append"}', 1007, "audio must be base64"),
        ('{"type": "input_audio_buffer.append", "audio": "*&%"}', 1007, "audio must be base64"),
        ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', 1007, "audio has 3 bytes"),
        ('{"type": "%s"}' % ("x" * (1 << 20)), 1009, "may have 1048576"),
    ],
)
def test_nonsense_ends_the_connection_and_loses_nothing_before_it(
    server: Server, message: str | bytes, code: int, reason: str
) -> None:
    with connect(server) as socket, connect(server) as other:
        send(socket, append(spoken(1)[:30_000]))
        socket.send(message)
        events, closed, why = rest(socket)
        assert closed == code and reason in why
        assert [event["transcript"] for event in events if event["type"] == COMPLETED] == ["stop"]
        assert events[-1]["type"] == "error" and events[-1]["error"]["message"] == why
        send(other, append(spoken(1)), COMMIT)
        assert read(other, COMPLETED)[-1]["transcript"] == "stop", "others are served"


def test_a_message_that_is_far_too_large_ends_the_connection(server: Server) -> None:
    with connect(server) as socket:
        # The header of a text of 5 MiB, and its beginning: of one that is still being sent when the server closes, the
        # system would throw away the code.
        socket.socket.sendall(b"\x81\xff" + (5 << 20).to_bytes(8, "big") + bytes(4) + b"x" * 1000)
        assert rest(socket)[1] == 1009


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?model=x", "the model 'x' does not exist; there are 'letters-digits-commands', 'other'"),
        ("?intent=conversation", "intent is 'conversation', but must be transcription"),
    ],
)
def test_an_address_with_what_is_not_there_is_refused(server: Server, query: str, reason: str) -> None:
    with connect(server, query) as socket:
        events, code, why = rest(socket)
        assert (code, why) == (1008, reason) and events[0]["error"]["message"] == reason


def test_a_key_is_asked_for(few: Server) -> None:
    for options in ({}, {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]}):
        with pytest.raises(InvalidStatus) as refused, connect(few, **options):
            pass
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"
    with connect(few, subprotocols=["realtime", "openai-insecure-api-key.s%C3%A9same"]) as socket:
        assert read(socket, "session.created") and socket.subprotocol == "realtime"
        time.sleep(2.5)  # the limit of uploads is none for live speech
        send(socket, append(spoken(1)), COMMIT)
        assert read(socket, COMPLETED)[-1]["transcript"] == "stop"


def test_too_many_connections_are_refused_until_one_goes(few: Server) -> None:
    key = {"additional_headers": {"Authorization": "Bearer sésame".encode().decode("latin-1")}}
    settled(few, 0)
    with connect(few, **key) as first, connect(few, **key):
        with connect(few, **key) as third:
            assert rest(third)[1:] == (1013, "2 live connections open already; try again later")
        assert few.count("speechlstm_live_connections") == 2
        first.socket.close()  # without a word
        settled(few, 1)
        with connect(few, **key) as third:
            send(third, append(spoken(1)), COMMIT)
            assert read(third, COMPLETED)[-1]["transcript"] == "stop"
    settled(few, 0)


def settled(server: Server, number: int) -> None:
    """Wait until so many live connections are open."""
    end = time.monotonic() + 60
    while server.count("speechlstm_live_connections") != number:
        assert time.monotonic() < end
        time.sleep(0.05)


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


def test_a_stop_of_the_server_closes_connections(tmp_path: Any) -> None:
    made = start(tmp_path)
    with connect(made) as socket:
        read(socket, "session.created")
        made.process.terminate()
        assert rest(socket)[1] == 1012
    assert made.process.wait(60) == 143
    assert made.process.stdout is not None and made.process.stdout.read() == ""

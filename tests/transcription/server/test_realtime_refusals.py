"""Clients of live transcription that send what they should not, have no key, or are too many."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from live_client import COMMIT, COMPLETED, append, connect, read, rest, send, spoken
from service import Server, start
from warm import Server as Warm

InvalidStatus = pytest.importorskip("websockets.exceptions").InvalidStatus


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Server]:
    """A server for two live connections, which asks for a key."""
    made = start(tmp_path_factory.mktemp("few"), "max_live=2", "upload_seconds=1", key="sésame", warm=warm)
    yield made
    made.process.kill()
    made.process.wait()


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

"""A client of live transcription over a WebSocket, and what it says."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from service import STOP, Server

from speechlstm.data.audio import load_audio

client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed


RATE = 24_000
COMPLETED = "conversation.item.input_audio_transcription.completed"


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

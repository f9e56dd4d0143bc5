"""Live transcription over WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fastapi import WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from speechlstm.transcription.server.answers import RequestError
from speechlstm.transcription.server.keys import Key
from speechlstm.transcription.server.metrics import Metrics
from speechlstm.transcription.server.models import Models
from speechlstm.transcription.server.session import BrokenError, Event, Session
from speechlstm.types import counted

PATH = "/v1/realtime"  # where clients connect
_IDLE = 60.0  # seconds without an event after which a connection is closed
_UNREAD = 30.0  # seconds that a client may take to read what it is sent


class Live:
    """Serves live connections: `/v1/realtime`.

    The recognition of live speech has threads of its own, so recordings that wait do not delay it.

    Args:
        models: that clients choose from.
        key: that they must bring.
        most: connections at once.
        threads: in which speech is recognized.
        metrics: what is counted.
    """

    def __init__(self, models: Models, key: Key, most: int, threads: int, metrics: Metrics) -> None:
        self._models, self._key, self._most, self._metrics = models, key, most, metrics
        self._pool = ThreadPoolExecutor(threads, "live")
        self._open = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve a connection to its end."""
        try:
            self._key.check(socket)
        except RequestError as error:
            await socket.send_denial_response(
                JSONResponse(error.content(), error.status, dict(error.headers))
            )
            return
        offered = socket.scope.get("subprotocols", [])
        await socket.accept("realtime" if "realtime" in offered else None)
        if self._open >= self._most:
            reason = f"{counted(self._most, 'live connection')} open already; try again later"
            await socket.close(1013, reason)
            return
        self._open += 1
        self._metrics.live.inc()
        try:
            await self._converse(socket)
        except (WebSocketDisconnect, TimeoutError):  # it has gone away, or does not read what it is sent
            pass
        finally:
            self._open -= 1
            self._metrics.live.dec()

    async def _converse(self, socket: WebSocket) -> None:
        query = socket.query_params
        try:
            if query.get("intent", "transcription") != "transcription":
                raise RequestError(400, f"intent is {query['intent']!r}, but must be transcription", "intent")
            session = Session(self._models, query.get("model", ""), self._metrics.audio.inc)
        except RequestError as error:
            await _send(socket, [{"type": "error", "event_id": "event_1", **error.content()}])
            await socket.close(1008, _short(error.message))
            return
        await _send(socket, [session.created()])
        try:
            while True:
                text = await _receive(socket)
                await _send(socket, await self._run(session.take(text)))
        except BrokenError as error:
            problem, code = RequestError(400, error.reason, code="invalid_event"), error.code
        except (WebSocketDisconnect, TimeoutError):
            raise
        except Exception as error:
            problem, code = RequestError.of(error), 1011
            await _send(socket, [session.failed(problem)])
            await socket.close(code, _short(problem.message))
            return
        # What was spoken before is not lost.
        await _send(socket, [*await self._run(session.finish()), session.failed(problem)])
        await socket.close(code, _short(problem.message))

    async def _run(self, events: Iterator[Event]) -> list[Event]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, list, events)


async def _receive(socket: WebSocket) -> str:
    """Return the next event of a client.

    Raises:
        BrokenError: there is none for a long time, or it is not text.
    """
    try:
        async with asyncio.timeout(_IDLE):
            message = await socket.receive()
    except TimeoutError:
        raise BrokenError(1008, f"no event for {_IDLE:g} s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    if message.get("text") is None:
        raise BrokenError(1003, "events must be text; send audio as base64 in input_audio_buffer.append")
    return str(message["text"])


async def _send(socket: WebSocket, events: Iterable[Event]) -> None:
    async with asyncio.timeout(_UNREAD):
        for event in events:
            await socket.send_text(json.dumps(event, allow_nan=False))


def _short(reason: str) -> str:
    """Return as much of a reason as fits into the frame that closes a WebSocket."""
    return reason.encode()[:120].decode(errors="ignore")

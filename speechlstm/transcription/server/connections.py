"""Connections whose requests must arrive in time, so that clients that stall keep no others from being served."""

from __future__ import annotations

import asyncio
import http
import json
import logging
import socket
from collections.abc import Callable
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from speechlstm.transcription.server.answers import RequestError
from speechlstm.transcription.server.live import PATH

HEADER_SECONDS = 10.0  # that the head of a request may take at most
_LINGER = 1.0  # seconds in which a client that is told to be too slow can read that


def limited(upload_seconds: float, most: int) -> Callable[..., H11Protocol]:
    """Return what makes the protocol of each connection of a server.

    uvicorn has time limits between requests only. Here a request that does not arrive in time is answered with status
    408, and its connection is closed, however many bytes came in between.

    Args:
        upload_seconds: that a whole request may take; its head may take no more than `HEADER_SECONDS` of them.
        most: connections that may be in the middle of a request, of which the server can hold a limited number; with
            one more, the one that has been so for longest is answered with status 503 and closed.
    """
    late: dict[_Limited, None] = {}  # in the middle of a request, in the order of their beginnings

    def make(*args: Any, **kwargs: Any) -> H11Protocol:
        return _Limited(upload_seconds, most, late, *args, **kwargs)

    return make


def end_unread(listening: socket.socket, seconds: float) -> None:
    """Let connections end whose client has not read what it is sent for some time (Linux only)."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        longest = min(int(seconds * 1000), 2**31 - 1)  # milliseconds
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, longest))


def without_trace(record: logging.LogRecord) -> bool:
    """Return whether a message of uvicorn's is to be shown: not the trace of text in a WebSocket that is not UTF-8.

    That is the fault of a client, who learns of it by the code 1007 with which the connection is closed.
    """
    return not (record.exc_info and record.exc_info[0] is UnicodeDecodeError)


class _Limited(H11Protocol):
    def __init__(
        self, upload_seconds: float, most: int, late: dict[_Limited, None], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._seconds, self._most, self._late = upload_seconds, most, late
        self._awaited: tuple[Any, Any] | None = None  # of which request what is to come
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _get_upgrade(self) -> bytes | None:
        """Return the protocol that a client asks to change to, which only live speech has; others get a page."""
        return super()._get_upgrade() if self.scope["path"] == PATH else None

    def _watch(self) -> None:
        """Set the time limit for what is to come, if that is not what it has been set for."""
        state, head = self.conn.their_state, min(HEADER_SECONDS, self._seconds)
        between = state is h11.IDLE and self.cycle is not None and not self.conn.trailing_data[0]
        switched = self.transport.get_protocol() is not self  # to that of WebSockets
        if switched or between or state not in (h11.IDLE, h11.SEND_BODY) or self.transport.is_closing():
            self._forget()  # between requests uvicorn has a limit
        elif self._awaited is None or self._awaited[0] is not self.cycle or self._awaited[1] is not state:
            self._forget()
            self._awaited = self.cycle, state
            limit = head if state is h11.IDLE else self._seconds + _LINGER  # the routes answer before
            reason = f"the head of the request took more than {head:g} s"
            self._timer = self.loop.call_later(limit, self._refuse, 408, reason)
            self._late[self] = None
            if len(self._late) > self._most:
                reason = "too many requests at once that are not complete; try again later"
                next(iter(self._late))._refuse(503, reason)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._awaited = None
        self._late.pop(self, None)

    def _refuse(self, status: int, message: str) -> None:
        """Close the connection, with an answer if the request has none yet."""
        self._forget()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            content = json.dumps(RequestError(status, message).content()).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(content))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers, reason=http.HTTPStatus(status).phrase),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        if self.cycle is not None:
            self.cycle.disconnected = True  # an answer that is still made goes nowhere
            self.cycle.message_event.set()
        self.transport.close()

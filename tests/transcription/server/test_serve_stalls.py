"""Clients that stall, go away, or read nothing: each is given up, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import resource
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from service import STOP, Server, start
from upload import form

from speechlstm.transcription.server.answers import RequestError
from speechlstm.transcription.server.models import Models
from speechlstm.transcription.server.uploads import Limits, read_wish


def test_an_upload_that_stops_is_given_up(narrow: Server) -> None:
    body, headers = form(STOP.read_bytes())
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=60) as half:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = [
            "POST /v1/audio/transcriptions HTTP/1.1",
            "Host: here",
            f"Content-Length: {len(body)}",
            *lines,
        ]
        half.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body[:100])
        assert b" 408 " in half.recv(1000).partition(b"\r\n")[0]


def test_a_client_that_goes_away_in_an_upload_is_no_fault() -> None:
    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    with pytest.raises(RequestError) as raised:
        asyncio.run(read_wish(Request(scope, receive), Limits(1.0, 1.0, 1.0), Models([])))
    assert raised.value.message == "the upload ended early"


HEAD = b"GET /health HTTP/1.1\r\nHost: here\r\nX-Filler: "
UPLOAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: here\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n" + "Authorization: Bearer sésame\r\n".encode()


STALLS = {  # what a client sends, what it goes on with every 0.2 s, and how it is answered
    "nothing": (b"", b"", b" 408 "),
    "one byte": (b"G", b"", b" 408 "),
    "half a head": (HEAD, b"", b" 408 "),
    "a head byte by byte": (HEAD, b"x", b" 408 "),
    "a head line by line": (HEAD, b"\r\nA: b", b" 408 "),
    "a second head byte by byte": (HEAD + b"x\r\n\r\n" + HEAD, b"x", b" 200 "),
    "no body": (UPLOAD + FORM + b"Content-Length: 9999\r\n\r\n", b"", b" 408 "),
    "a body byte by byte": (UPLOAD + FORM + b"Content-Length: 9999\r\n\r\n", b"x", b" 408 "),
    "chunk by chunk": (UPLOAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b" 408 "),
    "a body after the answer": (UPLOAD + b"Content-Length: 9999\r\n\r\n", b"x", b" 401 "),
    "a body that nobody reads": (
        b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 9999\r\n\r\n", b"x", b" 200 ",
    ),
    "another protocol": (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 9\r\n\r\n",
        b"x", b" 200 ",
    ),
}  # fmt: skip


def stall(server: Server, begin: bytes, drip: bytes) -> bytes:
    """Be a client that stalls; return what it is answered until it is closed."""
    answered, began = b"", time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as slow:
        slow.sendall(begin)
        assert server.ask("GET", "/health")[0] == 200  # others are served meanwhile
        while time.monotonic() < began + 30:
            try:
                if drip:
                    slow.sendall(drip)
                received = slow.recv(10_000)
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            if not received:
                break
            answered += received
        else:
            pytest.fail("still open")
    return answered


@pytest.fixture(scope="module")
def stalled(narrow: Server) -> dict[str, Future[bytes]]:
    """Let all of them stall at once, as each takes more than a second."""
    with ThreadPoolExecutor(len(STALLS)) as pool:
        return {name: pool.submit(stall, narrow, begin, drip) for name, (begin, drip, _) in STALLS.items()}


@pytest.mark.parametrize("name", STALLS)
def test_a_client_that_stalls_is_answered_and_closed(stalled: dict[str, Future[bytes]], name: str) -> None:
    answered, status = stalled[name].result(), STALLS[name][-1]
    assert status in answered.partition(b"\r\n")[0]
    if status == b" 408 ":
        assert json.loads(answered.rpartition(b"\r\n\r\n")[2])["error"]["message"].endswith("more than 1 s")


def test_a_client_that_reads_no_answer_is_closed(narrow: Server) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", narrow.port))
        deaf.settimeout(0.2)
        request, began = b"GET /page.js HTTP/1.1\r\nHost: here\r\n\r\n" * 100, time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < began + 60:
                try:
                    deaf.sendall(request)
                except TimeoutError:
                    time.sleep(0.2)
                    assert narrow.ask("GET", "/health")[0] == 200


def test_a_connection_between_requests_stays_open(narrow: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", narrow.port, timeout=60)
    for _ in range(3):
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        held = connection.sock
        time.sleep(1.3)  # more than a head may take
    assert held is connection.sock is not None


def test_more_stalled_clients_than_files_can_be_open_keep_no_others_out(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limit[1]))  # the server has it from here
    try:
        made = start(tmp_path, "upload_seconds=300")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    with contextlib.ExitStack() as held:
        held.callback(made.process.wait)
        held.callback(made.process.kill)
        slow = [
            held.enter_context(socket.create_connection(("127.0.0.1", made.port), 60)) for _ in range(300)
        ]
        for each in slow[::2]:
            with contextlib.suppress(ConnectionError):
                each.sendall(UPLOAD + FORM + b"Content-Length: 9999\r\n\r\n")
        assert made.client().with_options(timeout=60).models.list().data  # not refused
        assert made.transcribe(timeout=60).text == "stop"
        assert b" 503 " in slow[0].recv(1000)

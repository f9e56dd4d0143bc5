"""Frames of WebSockets that no client library would send."""

from __future__ import annotations

import base64
import os
import signal
import socket
from pathlib import Path

from service import start
from warm import Server

HANDSHAKE = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
)


def received(connection: socket.socket) -> bytes:
    """Return what comes until the connection is closed."""
    content = b""
    while piece := connection.recv(4096):
        content += piece
    return content


FRAMES = {
    "text that is not UTF-8": (b"\x81\x83\0\0\0\0\xff\xfe\xfd", 1007),
    "an unknown kind": (b"\x85\x80\0\0\0\0", 1002),
    "not masked": (b"\x81\x03abc", 1002),
    "endless": (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    "a ping that is too long": (b"\x89\xfe\x00\x7e\0\0\0\0" + bytes(126), 1002),
}


def test_the_client_is_told_and_the_server_has_nothing_to_say(tmp_path: Path, warm: Server) -> None:
    made = start(tmp_path, warm=warm)
    for name, (frame, code) in FRAMES.items():
        with socket.create_connection(("127.0.0.1", made.port), timeout=60) as connection:
            connection.sendall(HANDSHAKE % base64.b64encode(os.urandom(16)))
            assert connection.recv(4096).startswith(b"HTTP/1.1 101 "), name
            connection.sendall(frame)
            answer = received(connection)
            assert b"\x88" in answer and code.to_bytes(2, "big") in answer, name
        assert made.ask("GET", "/health")[0] == 200 and made.ask("HEAD", "/health") == (200, b""), name
    made.process.send_signal(signal.SIGTERM)
    assert made.process.communicate(timeout=60)[0] == ""

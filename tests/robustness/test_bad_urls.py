"""Web servers that stall, refuse, or answer nonsense, and URLs where files must be local: one sentence, and no wait."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from warm import Server

URL = "http://127.0.0.1:1/x.jsonl"
PATIENCE = 20.0  # seconds that an interrupted command may take on a busy machine; the grace of a signal is 10


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "stall":
            self._answer(200, {"Content-Length": "100000"}, b"RIFF" + bytes(1000))
            self.server.released.wait()
        elif kind == "status":
            self._answer(int(rest[:3]), {"Content-Length": "0"})
        elif kind == "loop":
            self._answer(302, {"Location": self.path, "Content-Length": "0"})
        elif kind == "elsewhere":
            self._answer(302, {"Location": "ftp://example.org/a.wav", "Content-Length": "0"})
        elif kind == "cut":
            self._answer(200, {"Content-Length": "100000"}, bytes(1000))
        elif kind == "nonsense":
            self.wfile.write(b"SSH-2.0-server\r\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, format: str, *values: object) -> None:
        """Keep quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    """Return the address of a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.released = True, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stalled_server_holds_back_neither_other_recordings_nor_a_signal(
    warm: Server, work: Path, web: str, number: int, status: int
) -> None:
    signaled = []

    def stop(pid: int) -> None:
        began = time.monotonic()
        while not (work / "out/name.txt").exists() and time.monotonic() - began < PATIENCE:
            time.sleep(0.05)
        os.kill(pid, number)
        signaled.append(time.monotonic())

    names = ("stop.flac", f"{web}/stall/a.wav", "name.flac")
    ended = warm.run(work, "transcribe", *names, "out=out", "bundle=small", "threads=1", meanwhile=stop)
    assert (ended.status, ended.err) == (status, "")
    assert time.monotonic() - signaled[0] < 5
    assert (work / "out/stop.txt").read_text() == "stop\n"
    assert (work / "out/name.txt").exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("status/401", "the server refuses (401 Unauthorized); check the address and your permission"),
        ("status/404", "there is no such file; check the address"),
        ("status/410", "there is no such file; check the address"),
        ("status/429", "the server refuses (429 Too Many Requests); try again later"),
        ("status/503", "the server refuses (503 Service Unavailable); try again later"),
        ("loop/a.wav", "the server redirects in a circle; check the address"),
        ("elsewhere/a.wav", "the server redirects to what is no web address; check the address"),
        ("cut/a.wav", "the connection broke off; try again, or download the file yourself, and give that"),
        ("nonsense/a.wav", "what answers is no web server; check the address"),
        ("silent/a.wav", "the connection broke off; try again, or download the file yourself, and give that"),
        ("status/500/", "the server refuses (500 Internal Server Error); try again later"),
    ],
)
def test_what_a_server_does_wrong_is_one_sentence(
    warm: Server, work: Path, web: str, path: str, reason: str
) -> None:
    ended = warm.run(work, "transcribe", f"{web}/{path}", "bundle=small")
    cannot = "" if reason.startswith("there is") else "cannot be fetched: "
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.splitlines()[0] == f"failed: {web}/{path}: {cannot}{reason}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/a.wav", "no server answers; check the address and the network"),
        ("HTTP://127.0.0.1:1/a.wav", "no server answers; check the address and the network"),
        ("http://127.0.0.1:1/", "no server answers; check the address and the network"),
        (
            "http://no-such.invalid/a.wav",
            "there is no server of this name; check the address and the network",
        ),
        ("http://", "not a valid address; check it"),
        ("http://[::1/a.wav", "not a valid URL of this kind; check it"),
        ("http://h:99999/a.wav", "not a valid URL of this kind; check it"),
        ("data://x", "not a valid URL of this kind; check it"),
        ("file://missing.wav", "there is no such file; check the address"),
        ("foo://x", "the scheme foo:// is not known; use https://, s3://, gs://, or the name of a file"),
    ],
)
def test_a_wrong_url_is_one_sentence(warm: Server, work: Path, url: str, reason: str) -> None:
    ended = warm.run(work, "transcribe", url, "stop.flac", "bundle=small")
    cannot = "" if reason.startswith(("there is no such", "the scheme")) else "cannot be fetched: "
    assert (ended.status, ended.out) == (3, "stop.flac: stop\n")
    assert ended.err == f"failed: {url}: {cannot}{reason}\n1 of 2 failed, named above\n"


@pytest.mark.parametrize(
    "line",
    [
        f"evaluate manifest={URL}",
        f"evaluate manifest=samples.jsonl compare_with={URL}",
        "evaluate manifest=samples.jsonl report=s3://bucket/r.html",
        f"validate manifest={URL}",
        f"validate manifest=samples.jsonl against={URL}",
        f"align manifest={URL} out=o",
        "align manifest=samples.jsonl out=s3://bucket/o",
        f"listen manifest={URL} out=o",
        f"tune manifest={URL} out=o.yaml",
        f"train data.train={URL} data.dev=samples.jsonl",
        f"prepare corpus=text_files root={URL} out=o",
        f"lm text={URL} out=o.arpa",
        f"compare speech=[{URL}]",
        f"transcribe stop.flac bundle={URL}",
        f"transcribe stop.flac decoder=beam decoder.lm={URL}",
        "transcribe stop.flac out=memory://o",
        "transcribe stop.flac out=HTTPS://example.org/o",
    ],
)
def test_a_url_where_a_file_must_be_local_is_wrong_usage(warm: Server, work: Path, line: str) -> None:
    ended = warm.run(work, *line.split())
    key, _, url = next(word for word in line.split() if "://" in word).partition("=")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {key}={url.strip('[]')}: ") and len(ended.err.splitlines()) == 1
    assert not [path for path in work.iterdir() if path.name.startswith(("o", "http", "s3", "memory"))]

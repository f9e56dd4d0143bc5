"""The server as its clients meet it: a process of its own, OpenAI's package, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi import Request
from service import STOP, Server, start

import speechlstm
from speechlstm.cli import serve
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.transcription.formats import to_srt, to_vtt
from speechlstm.transcription.server.answers import RequestError
from speechlstm.transcription.server.models import Models
from speechlstm.transcription.server.uploads import Limits, read_wish

openai = pytest.importorskip("openai", reason="openai is not installed")

SAMPLES = STOP.parent


KEY = {"Authorization": "Bearer sésame".encode().decode("latin-1")}


def form(content: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b", **KEY}


@pytest.fixture(scope="module")
def wanted() -> Any:
    return speechlstm.load("small").transcribe(str(STOP))


def test_openai_s_client_gets_every_format(server: Server, wanted: Any) -> None:
    assert server.transcribe().text == "stop"
    assert server.transcribe(response_format="text") == "stop\n"
    assert server.transcribe(response_format="srt") == to_srt(wanted)
    assert server.transcribe(response_format="vtt") == to_vtt(wanted)
    verbose = server.transcribe(response_format="verbose_json", language="en")
    assert (verbose.text, verbose.language) == ("stop", "en")
    assert verbose.duration == pytest.approx(wanted.duration, abs=1e-3) and verbose.words is None
    (segment,) = verbose.segments
    assert segment.text == "stop" and segment.avg_logprob == pytest.approx(
        np.log(wanted.words[0].confidence), abs=1e-3
    )


def test_words_have_times_when_asked_for(server: Server, wanted: Any) -> None:
    verbose = server.transcribe(response_format="verbose_json", timestamp_granularities=["word"])
    (word,) = verbose.words
    (same,) = wanted.words
    assert (word.word, word.start, word.end) == ("stop", round(same.start, 3), round(same.end, 3))
    assert word.confidence == round(same.confidence, 4) and verbose.segments is None
    both = server.transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert both.words and both.segments


def test_models_are_listed_and_chosen_by_name(server: Server) -> None:
    models = list(server.client().models.list())
    assert [model.id for model in models] == ["letters-digits-commands", "other"]
    assert {model.owned_by for model in models} == {"speechlstm"}
    assert [server.transcribe(model=model.id).text for model in models] == ["stop", "halt"]
    assert server.client().models.retrieve("other").id == "other"
    body, headers = form(STOP.read_bytes())
    status, answered = server.ask("POST", "/v1/audio/transcriptions", body, **headers)
    assert status == 200 and json.loads(answered) == {"text": "stop"}, (
        "the first is that of requests without one"
    )
    assert json.loads(server.ask("GET", "/health")[1])["models"] == [model.id for model in models]
    assert server.ask("HEAD", "/health")[:2] == (200, b"")


def test_what_is_not_there_is_refused_with_what_is(server: Server, narrow: Server) -> None:
    there = "the model 'whisper-1' does not exist; there are 'letters-digits-commands', 'other'"
    with pytest.raises(openai.NotFoundError, match=there) as refused:
        server.transcribe(model="whisper-1")
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.NotFoundError, match=there):
        server.client().models.retrieve("whisper-1")
    status, answered = narrow.ask("GET", "/v1/models/whisper-1", **KEY)
    assert status == 404 and b"there is 'letters-digits-commands'\"" in answered
    with pytest.raises(openai.NotFoundError, match="GET /v1/nonsense"):
        server.client().get("/nonsense", cast_to=object)


@pytest.mark.parametrize(
    ("options", "param", "message"),
    [
        ({"response_format": "xml"}, "response_format", "must be one of json, verbose_json, text, srt, vtt"),
        (
            {"timestamp_granularities": ["word"]},
            "timestamp_granularities",
            "for response_format=verbose_json",
        ),
        (
            {"response_format": "verbose_json", "timestamp_granularities": ["phone"]},
            "timestamp_granularities",
            "has 'phone', but may have word and segment",
        ),
        (
            {"stream": True, "response_format": "srt"},
            "stream",
            "for response_format json and verbose_json, not srt",
        ),
        ({"extra_body": {"stream": "yes"}}, "stream", "is 'yes', but must be true or false"),
        ({"temperature": 7.0}, "temperature", "is '7.0', but must be a number from 0 to 1"),
        ({"extra_body": {"temperature": "nan"}}, "temperature", "is 'nan', but must be a number"),
        ({"language": "English!"}, "language", "is 'English!', but must be a code of ISO 639"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    server: Server, options: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as refused:
        server.transcribe(**options)
    assert refused.value.param == param and refused.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"RIFF\xff\xff\xff\xffWAVEfmt ", STOP.read_bytes()[:60]]
)
def test_uploads_without_audio_are_refused_by_name(server: Server, content: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match=r"talk\.wav") as refused:
        server.transcribe(("talk.wav", content))
    assert refused.value.param == "file"


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", "", "must be multipart/form-data, but is of no type"),
        (b"{}", "application/json", "must be multipart/form-data, but is application/json"),
        (b"x", "multipart/form-data", "is multipart/form-data, without the boundary between its parts"),
        (b"garbage", "multipart/form-data; boundary=b", "the form has no closing boundary"),
        (
            form(b"x")[0][:-7],
            "multipart/form-data; boundary=b",
            "the form has no closing boundary: it was cut off",
        ),
        (form(b"x")[0], "multipart/form-data; boundary=other", "the form has no closing boundary"),
        (b"--b\r\n\r\n--b--\r\n", "multipart/form-data; boundary=b", "the form cannot be read ("),
        (b"--b--\r\n", "multipart/form-data; boundary=b", "no file"),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "no file",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx\r\n' * 2
            + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            "2 files in one request",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx\r\n'
            + b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n' * 2
            + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            "language is given 2 times: send it once",
        ),
    ],
)
def test_broken_forms_are_refused(server: Server, body: bytes, kind: str, message: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    status, answered = server.ask("POST", "/v1/audio/transcriptions", body, **headers)
    assert status == 400 and message in json.loads(answered)["error"]["message"]


def test_many_clients_are_answered_together_and_each_with_its_own(server: Server) -> None:
    utterances = [u for u in read_manifest(SAMPLES / "samples.jsonl") for _ in range(4)]
    expected = [
        made.text for made in speechlstm.load("small").transcribe([u.audio_filepath for u in utterances])
    ]
    before = server.count("speechlstm_batch_size_sum")

    def ask(number: int) -> str:
        if number % 5 == 4:
            with pytest.raises(openai.BadRequestError):
                server.transcribe(("broken.wav", b"no audio"))
        return str(server.transcribe(Path(utterances[number].audio_filepath)).text)

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(ask, range(len(utterances)))) == expected
    assert server.count("speechlstm_batch_size_sum") - before == len(utterances)
    assert server.count("speechlstm_queue_length") == 0


def test_keywords_are_favored_in_their_request_only(server: Server) -> None:
    path = SAMPLES / "rubout.flac"
    plain = server.transcribe(path).text
    texts = set()
    for phrases in (["c", "e", "t "], ["g", "eighteen"]):
        model = speechlstm.load("small", decoder="beam", hotwords=phrases)
        texts.add(server.transcribe(path, keywords=phrases).text)
        assert model.transcribe(str(path)).text in texts
    assert texts != {plain}
    assert server.transcribe(path, keywords=[" "]).text == plain == server.transcribe(path).text
    with pytest.raises(openai.BadRequestError, match="hotword 'x-ray' cannot be spelled") as refused:
        server.transcribe(keywords=["stop", "x-ray"])
    assert refused.value.param == "keywords"
    with pytest.raises(openai.BadRequestError, match="there are 1001 keywords, but may be 1000"):
        server.transcribe(keywords=["stop"] * 1001)


def test_nothing_is_kept_on_disk(server: Server) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(load_audio(STOP, 16_000), 60), 16_000, format="WAV")
    assert len(buffer.getvalue()) > 1_500_000, "more than what forms are kept in memory for by default"
    assert server.transcribe(("long.wav", buffer.getvalue())).text.startswith("stop stop")
    assert not list((server.folder / "here").iterdir()) and not list((server.folder / "temporary").iterdir())


def test_a_key_is_asked_for(narrow: Server) -> None:
    for key in ("wrong", "sésam", ""):
        status, answered = narrow.ask(
            "POST", "/v1/audio/transcriptions", Authorization=f"Bearer {key}".encode().decode("latin-1")
        )
        assert status == 401 and json.loads(answered)["error"]["code"] == "invalid_api_key"
    assert narrow.ask("GET", "/v1/models")[0] == 401
    assert narrow.ask("GET", "/health")[0] == 200


def test_what_is_too_large_or_too_long_is_refused(narrow: Server) -> None:
    body, headers = form(STOP.read_bytes())
    assert json.loads(narrow.ask("POST", "/v1/audio/transcriptions", body, **headers)[1]) == {"text": "stop"}
    body, headers = form(bytes(600_000))
    status, answered = narrow.ask("POST", "/v1/audio/transcriptions", body, **headers)
    assert status == 413 and "larger than 0.5 MB" in answered.decode()
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(5 * 16_000), 16_000, format="WAV")
    status, answered = narrow.ask("POST", "/v1/audio/transcriptions", form(buffer.getvalue())[0], **headers)
    assert status == 413 and "a.wav: 5 s long, but at most 4 s are taken here" in answered.decode()


def test_a_large_upload_without_a_length_is_cut_off(narrow: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", narrow.port, timeout=60)
    chunks = (bytes(100_000) for _ in range(7))
    connection.request("POST", "/v1/audio/transcriptions", chunks, form(b"")[1], encode_chunked=True)
    assert connection.getresponse().status == 413


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


def test_a_signal_ends_it_after_what_has_begun(tmp_path: Path) -> None:
    made = start(tmp_path)  # of its own
    made.transcribe()  # now it is warm
    samples = np.tile(load_audio(STOP, 16_000), 250)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="FLAC")
    answers: list[str] = []
    asking = threading.Thread(
        target=lambda: answers.append(made.transcribe(("a.flac", buffer.getvalue())).text)
    )
    asking.start()
    while made.count("speechlstm_batch_size_count") < 2:
        time.sleep(0.05)
    assert not answers, "it works still"
    made.process.send_signal(signal.SIGTERM)
    asking.join(300)
    assert answers and answers[0].startswith("stop stop")
    assert made.process.wait(60) == 143
    assert made.process.stdout is not None and made.process.stdout.read() == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["bundle=[small,small]"],
            "two models have the name 'letters-digits-commands'; name=[...] gives each another",
        ),
        (["bundle=[small,small]", "name=[a,a]"], "two models have the name 'a'"),
        (["bundle=[small,small]", "name=[a]"], "name= has 1 name for 2 models"),
        (["bundle=small", "name=[a,b]"], "name= has 2 names for 1 model"),
        (["bundle=[]"], "bundle is []"),
    ],
)
def test_models_need_names_of_their_own(run_command: Any, settings: list[str], message: str) -> None:
    status, _, errors = run_command(serve, "port=0", "trainer=cpu", *settings)
    assert status == 2 and message in errors


def test_an_address_that_is_taken_is_said(server: Server) -> None:
    command = [sys.executable, "-m", "speechlstm", "serve", "bundle=small", f"port={server.port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"host=127.0.0.1 port={server.port} cannot be listened on: Address already in use" in done.stderr


HEAD = b"GET /health HTTP/1.1\r\nHost: here\r\nX-Filler: "
UPLOAD = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: here\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n" + "Authorization: Bearer sésame\r\n".encode()


@pytest.mark.parametrize(
    ("begin", "drip", "status"),
    [
        pytest.param(b"", b"", b" 408 ", id="nothing"),
        pytest.param(b"G", b"", b" 408 ", id="one byte"),
        pytest.param(HEAD, b"", b" 408 ", id="half a head"),
        pytest.param(HEAD, b"x", b" 408 ", id="a head byte by byte"),
        pytest.param(HEAD, b"\r\nA: b", b" 408 ", id="a head line by line"),
        pytest.param(HEAD + b"x\r\n\r\n" + HEAD, b"x", b" 200 ", id="a second head byte by byte"),
        pytest.param(UPLOAD + FORM + b"Content-Length: 9999\r\n\r\n", b"", b" 408 ", id="no body"),
        pytest.param(UPLOAD + FORM + b"Content-Length: 9999\r\n\r\n", b"x", b" 408 ", id="a body byte by byte"),
        pytest.param(
            UPLOAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b" 408 ", id="chunk by chunk"
        ),
        pytest.param(UPLOAD + b"Content-Length: 9999\r\n\r\n", b"x", b" 401 ", id="a body after the answer"),
        pytest.param(
            b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 9999\r\n\r\n", b"x", b" 200 ",
            id="a body that nobody reads",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nContent-Length: 9\r\n\r\n",
            b"x", b" 200 ", id="another protocol",
        ),
    ],
)  # fmt: skip
def test_a_client_that_stalls_is_answered_and_closed(
    narrow: Server, begin: bytes, drip: bytes, status: bytes
) -> None:
    answered, began = b"", time.monotonic()
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=0.2) as slow:
        slow.sendall(begin)
        assert narrow.ask("GET", "/health")[0] == 200  # others are served meanwhile
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

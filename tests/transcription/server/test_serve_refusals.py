"""Requests that cannot be answered: each is refused with a sentence that says what is wrong with it."""

from __future__ import annotations

import http.client
import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile
from service import STOP, Server
from upload import KEY, form

openai = pytest.importorskip("openai", reason="openai is not installed")


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
        # Bytes of a charset would be read by any codec of Python's, such as punycode, in quadratic time.
        (
            b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n' * 2 + form(b"x")[0],
            "multipart/form-data; boundary=b; charset=utf-16",
            "language is given 2 times: send it once",
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

"""Uploads: read within limits of size and time, and kept only in memory."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from email.message import Message
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from speechlstm.data.audio import audio_info
from speechlstm.transcription.server.answers import RESPONSE_FORMATS, RequestError
from speechlstm.transcription.server.models import Hotwords, Models, ServedModel, to_hotwords
from speechlstm.types import AudioError

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?")
_FIELDS = 1100  # of a form, at most: its keywords and a few others


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes.

    Attributes:
        megabytes: of an upload.
        seconds: of a recording.
        upload_seconds: that an upload may take.
    """

    megabytes: float
    seconds: float
    upload_seconds: float


class Upload(io.BytesIO):
    """A recording in memory, with the name that the client gave it."""

    name = "upload"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for.

    Attributes:
        audio: the recording.
        seconds: its length.
        model: that transcribes it.
        hotwords: to favor.
        response_format: of the answer.
        granularities: what the answer has the times of.
        language: that the client has named.
        stream: whether the answer is to come in events.
    """

    audio: Upload
    seconds: float
    model: ServedModel
    hotwords: Hotwords
    response_format: str
    granularities: frozenset[str]
    language: str
    stream: bool


async def read_wish(request: Request, limits: Limits, models: Models) -> Wish:
    """Read and check the form of a transcription.

    Raises:
        RequestError: it is too large or too slow, a field is missing or wrong, or there is no such model.
    """
    try:
        async with asyncio.timeout(limits.upload_seconds):
            form = await _form(request, await _body(request, limits.megabytes))
    except TimeoutError:
        raise RequestError(408, f"the upload took more than {limits.upload_seconds:g} s") from None
    file = form.get("file")
    if file is None or isinstance(file, str):
        raise RequestError(400, "no file: send the recording in the field 'file'", "file")
    if (files := len(form.getlist("file"))) > 1:
        raise RequestError(400, f"{files} files in one request: send one recording in each", "file")
    _refuse_repeated(form)
    model = models.find(str(form.get("model") or ""))
    kind = str(form.get("response_format") or "json")
    if kind not in RESPONSE_FORMATS:
        known = ", ".join(RESPONSE_FORMATS)
        raise RequestError(400, f"response_format is {kind!r}, but must be one of {known}", "response_format")
    stream = str(form.get("stream") or "false").lower()
    if stream not in ("true", "false"):
        raise RequestError(400, f"stream is {stream!r}, but must be true or false", "stream")
    if stream == "true" and "json" not in kind:
        raise RequestError(
            400, f"stream=true is for response_format json and verbose_json, not {kind}", "stream"
        )
    _check_temperature(form)
    audio = Upload(await file.read())
    audio.name = str(file.filename or "upload")
    await file.close()
    seconds = await _length(audio, limits.seconds)
    hotwords = to_hotwords([*form.getlist("keywords[]"), *form.getlist("keywords")])
    granularities, language = _granularities(form, kind), _language(form)
    return Wish(audio, seconds, model, hotwords, kind, granularities, language, stream == "true")


async def _body(request: Request, megabytes: float) -> bytes:
    most = int(megabytes * 1e6)
    too_large = RequestError(413, f"the upload is larger than {megabytes:g} MB, the limit here", "file")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > most):
        raise too_large
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise too_large
    except ClientDisconnect:
        raise RequestError(400, "the upload ended early") from None
    return bytes(body)


async def _form(request: Request, body: bytes) -> Any:
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise RequestError(400, f"the request must be multipart/form-data, but is {kind or 'of no type'}")

    boundary = _boundary(kind)
    if b"--" + boundary + b"--" not in body:
        raise RequestError(
            400, "the form has no closing boundary: it was cut off, or is no form; send it again"
        )

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    # Not the client's own: its charset may be any codec of Python's, some of which take quadratic time.
    headers = Headers(raw=[(b"content-type", b'multipart/form-data; boundary="' + boundary + b'"')])
    parser = MultiPartParser(headers, whole(), max_files=_FIELDS, max_fields=_FIELDS)
    parser.spool_max_size = len(body) + 1  # never onto the disk
    try:
        return await parser.parse()
    except MultiPartException as error:
        reason = error.message.rstrip(".")
        raise RequestError(
            400, f"the form cannot be read ({reason}); RFC 7578 says how it is to be"
        ) from None


def _boundary(kind: str) -> bytes:
    """Return what a form's type says stands between its parts."""
    header = Message()
    header["Content-Type"] = kind
    boundary = header.get_boundary()
    if not boundary:
        raise RequestError(400, f"the request is {kind[:100]}, without the boundary between its parts")
    return boundary.encode("latin-1", "replace")


def _refuse_repeated(form: Any) -> None:
    """See that no field but those of lists is given twice, of which one would not count."""
    for name in form:
        if (count := len(form.getlist(name))) > 1 and name != "keywords" and not name.endswith("[]"):
            raise RequestError(400, f"{name[:50]} is given {count} times: send it once", name)


def _granularities(form: Any, kind: str) -> frozenset[str]:
    found = frozenset(map(str, form.getlist("timestamp_granularities[]")))
    name = "timestamp_granularities"
    if wrong := found - {"word", "segment"}:
        raise RequestError(400, f"{name} has {min(wrong)!r}, but may have word and segment", name)
    if found and kind != "verbose_json":
        raise RequestError(400, f"{name} is for response_format=verbose_json, not {kind}", name)
    return found or frozenset({"segment"})


def _language(form: Any) -> str:
    """Return the code of the language that the client names, which only the answer repeats."""
    language = str(form.get("language") or "")
    if language and not _LANGUAGE.fullmatch(language):
        message = f"language is {language[:50]!r}, but must be a code of ISO 639, such as en or en-US"
        raise RequestError(400, message, "language")
    return language or "unknown"


def _check_temperature(form: Any) -> None:
    """See that the temperature is one of OpenAI's; none has an effect, as nothing is drawn at random."""
    given = str(form.get("temperature") or "0")
    try:
        right = 0 <= float(given) <= 1
    except ValueError:
        right = False
    if not right:
        message = f"temperature is {given[:50]!r}, but must be a number from 0 to 1"
        raise RequestError(400, message, "temperature")


async def _length(audio: Upload, most: float) -> float:
    try:
        info = await run_in_threadpool(audio_info, audio, exact=False)
    except AudioError as error:
        raise RequestError(400, str(error), "file") from None
    audio.seek(0)
    if info.duration > most:
        limit = f"{audio.name}: {info.duration:.0f} s long, but at most {most:g} s are taken here"
        raise RequestError(413, limit, "file")
    return info.duration

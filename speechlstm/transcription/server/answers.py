"""Responses as in OpenAI's transcription API: transcripts in its formats, and errors in its form."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechlstm.transcription.formats import FORMATS, finite
from speechlstm.transcription.subtitles import cues
from speechlstm.transcription.transcript import Transcript

RESPONSE_FORMATS = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain; charset=utf-8",
    "srt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}


@dataclass(eq=False)
class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        message: for the person who reads it.
        param: the field of the request that it is about.
        code: for the program that reads it.
        headers: of the answer.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return the error as OpenAI's clients read it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def answer(made: Transcript, response_format: str, granularities: Collection[str], language: str) -> str:
    """Return a transcript in one of `RESPONSE_FORMATS`.

    Args:
        made: the transcript.
        response_format: which.
        granularities: what verbose_json has the times of: segments, words, or both.
        language: that the client has named.
    """
    if response_format in ("srt", "vtt"):
        return FORMATS[response_format](made)
    if response_format == "text":
        return FORMATS["txt"](made)
    if response_format == "json":
        return json.dumps({"text": made.text}, ensure_ascii=False)
    document: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(made.duration, 3),
        "text": made.text,
    }
    if "segment" in granularities:
        document["segments"] = _segments(made)
    if "word" in granularities:
        document["words"] = [
            {
                "word": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
            }
            for word in made.words
        ]
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def _segments(made: Transcript) -> list[dict[str, Any]]:
    """Return the cues of subtitles as whisper's segments; what this recognizer has no figure for is zero."""
    found = []
    for number, cue in enumerate(cues(made.words)):
        inside = [word.confidence for word in made.words if cue.start <= round(1000 * word.start) < cue.end]
        mean = sum(math.log(max(each, 1e-10)) for each in inside) / max(len(inside), 1)
        text = cue.text(newline=" ")
        raw = text.encode()
        found.append(
            {
                "id": number,
                "seek": 0,
                "start": cue.start / 1000,
                "end": cue.end / 1000,
                "text": text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": finite(mean),
                "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 4),
                "no_speech_prob": 0.0,
            }
        )
    return found

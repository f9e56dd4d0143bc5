"""Responses as in OpenAI's transcription API: transcripts in its formats, and errors in its form."""

from __future__ import annotations

import json
import math
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from speechlstm.transcription.formats import FORMATS, finite
from speechlstm.transcription.subtitles import cues
from speechlstm.transcription.transcript import Transcript, Word

if TYPE_CHECKING:
    from speechlstm.transcription.server.uploads import Wish

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

    @classmethod
    def of(cls, error: Exception) -> RequestError:
        """Return an error as it is, or as that of the server if it is another."""
        if isinstance(error, RequestError):
            return error
        return cls(500, f"{type(error).__name__}: {error}", code="internal_error")

    def content(self) -> dict[str, Any]:
        """Return the error as OpenAI's clients read it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def answer(made: Transcript, wish: Wish) -> str:
    """Return a transcript in the format that a client wishes, one of `RESPONSE_FORMATS`."""
    if wish.response_format in ("srt", "vtt"):
        return FORMATS[wish.response_format](made)
    if wish.response_format == "text":
        return FORMATS["txt"](made)
    return json.dumps(document(made, wish), ensure_ascii=False, allow_nan=False)


def document(made: Transcript, wish: Wish) -> dict[str, Any]:
    """Return a transcript as JSON or as verbose JSON, and what is missing of its audio."""
    warnings = {"warnings": list(made.warnings)} if made.warnings else {}
    if wish.response_format == "json":
        return {"text": made.text, **warnings}
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": wish.language,
        "duration": round(made.duration, 3),
        "text": made.text,
        **warnings,
    }
    if "segment" in wish.granularities:
        found["segments"] = _segments(made)
    if "word" in wish.granularities:
        found["words"] = [word_entry(word) for word in made.words]
    return found


def word_entry(word: Word) -> dict[str, Any]:
    """Return a word as OpenAI's API names its parts, and how certain it is."""
    times = {"start": round(word.start, 3), "end": round(word.end, 3)}
    return {"word": word.text, **times, "confidence": round(word.confidence, 4)}


def _segments(made: Transcript) -> list[dict[str, Any]]:
    """Return the cues of subtitles as whisper's segments; what this recognizer has no figure for is zero."""
    found = []
    words = sorted(made.words, key=lambda word: word.start)
    starts = [round(1000 * word.start) for word in words]
    for number, cue in enumerate(cues(made.words)):
        first = bisect_right(starts, cue.start) - 1  # which may have begun in the cue before
        within = slice(max(first, 0), bisect_left(starts, cue.end))
        inside = [word.confidence for word in words[within]]
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

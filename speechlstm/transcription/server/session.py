"""A conversation of live transcription: the events of a client and what they are answered with.

The events are those of OpenAI's Realtime API for transcription:
https://platform.openai.com/docs/guides/realtime-transcription
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from speechlstm.transcription.live import Stream, Update
from speechlstm.transcription.server.answers import RequestError, word_entry
from speechlstm.transcription.server.models import Hotwords, HotwordsError, Models, ServedModel, to_hotwords
from speechlstm.transcription.transcript import Word

LARGEST = 1 << 20  # characters of an event, which are 16 s of audio at 24 kHz
_RATES = (8000, 192_000)  # Hz that are taken, the lowest and the highest
_PAUSES = (0.1, 10.0)  # seconds that may end a turn, the least and the most

Event = dict[str, Any]
Taker = Callable[[Event], Iterator[Event]]


class BrokenError(Exception):
    """What a client has sent makes no sense, so that nothing after it can be trusted.

    Attributes:
        code: with which the WebSocket is closed.
        reason: why.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class _Settings:
    """What `session.update` sets.

    Attributes:
        model: that transcribes.
        hotwords: to favor.
        rate: Hz of the audio.
        pause: seconds of a pause that ends an item; None: only the client ends it.
    """

    model: ServedModel
    hotwords: Hotwords = ()
    rate: int = 24_000
    pause: float | None = 0.8


class Session:
    """Takes the events of a client, and yields those of the server; an item is what is spoken up to a pause.

    Args:
        models: that the client chooses from.
        model: the name of the first one; empty: the default.
        heard: is given the seconds of audio that come.

    Raises:
        RequestError: there is no such model.
    """

    def __init__(
        self, models: Models, model: str, heard: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._models, self._heard = models, heard
        self._settings = _Settings(models.find(model))
        self._stream: Stream | None = None  # from the first audio to a commit
        self._resampler: Any = None
        # Seconds of audio: that have come, before the stream, that were recognized, and up to the last item.
        self._received = self._begun = self._time = self._completed = 0.0
        self._words: list[Word] = []  # of this item
        self._partial = ""
        self._items = self._events = 0
        self._before: str | None = None  # the last item that was completed

    def created(self) -> Event:
        """Return the event with which the server begins."""
        return self._event("session.created", session=self._about())

    def take(self, text: str) -> Iterator[Event]:
        """Take an event, and yield what it brings.

        Raises:
            BrokenError: it is no event, or its audio is damaged.
        """
        event = _read(text)
        takers: dict[str, Taker] = {
            "session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
        }
        try:
            yield from _chosen(takers, event)(event)
        except HotwordsError as error:
            yield self.failed(RequestError(400, str(error), "keywords"), event.get("event_id"))
        except RequestError as error:
            yield self.failed(error, event.get("event_id"))

    def failed(self, error: RequestError, cause: object = None) -> Event:
        """Return the event that tells of an error, and of the client's event that caused it."""
        return self._event(
            "error", error={**error.content()["error"], "event_id": cause if isinstance(cause, str) else None}
        )

    def finish(self) -> Iterator[Event]:
        """Yield what is left when the connection is to end."""
        yield from self._flush()
        if self._words:
            yield from self._complete()

    def _update(self, event: Event) -> Iterator[Event]:
        if self._stream is not None:
            message = "session.update must come before the audio, or after input_audio_buffer.commit"
            raise RequestError(400, message, "session")
        self._settings = _changed(self._settings, event.get("session"), self._models)
        yield self._event("session.updated", session=self._about())

    def _append(self, event: Event) -> Iterator[Event]:
        samples = _samples(event.get("audio"))
        stream = self._stream or self._begin()
        self._heard(seconds := len(samples) / self._settings.rate)
        self._received += seconds
        for update in stream.accept(self._resampler.resample_chunk(samples)):
            yield from self._show(update)
            if update.endpoint and self._words and self._settings.pause is not None:
                yield from self._complete()

    def _begin(self) -> Stream:
        model, pause = self._settings.model, self._settings.pause
        decoder = model.find_decoder(self._settings.hotwords)
        self._stream = Stream(model.recognizer, decoder, **({} if pause is None else {"pause": pause}))
        self._resampler = soxr.ResampleStream(self._settings.rate, model.recognizer.sample_rate, 1)
        self._begun = self._received
        return self._stream

    def _commit(self, event: Event) -> Iterator[Event]:
        if self._stream is None:
            message = "there is no audio to commit; send input_audio_buffer.append first"
            raise RequestError(400, message, code="input_audio_buffer_commit_empty")
        yield from self._flush()
        yield from self._complete()

    def _clear(self, event: Event) -> Iterator[Event]:
        # A client adds up the deltas of an item, so those of what is dropped must be another's.
        self._items, self._stream, self._words, self._partial = self._items + 1, None, [], ""
        self._time = self._completed = self._received
        yield self._event("input_audio_buffer.cleared")

    def _flush(self) -> Iterator[Event]:
        """Recognize what is left of the audio, and end the stream."""
        if self._stream is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            updates = [*self._stream.accept(rest), self._stream.finish()]
            self._stream = None
            for update in updates:
                yield from self._show(update)

    def _show(self, update: Update) -> Iterator[Event]:
        """Yield the words that have become final, and the text after them if it has changed."""
        self._time = self._begun + update.time
        new = [
            replace(word, start=word.start + self._begun, end=word.end + self._begun) for word in update.words
        ]
        if new or update.partial != self._partial:
            delta = " ".join(
                ["", *(word.text for word in new)] if self._words else [word.text for word in new]
            )
            self._words, self._partial = self._words + new, update.partial
            yield self._transcription("delta", delta=delta, partial=update.partial)

    def _complete(self) -> Iterator[Event]:
        item, before = f"item_{self._items}", self._before
        yield self._event("input_audio_buffer.committed", item_id=item, previous_item_id=before)
        yield self._transcription(
            "completed",
            transcript=" ".join(word.text for word in self._words),
            words=[word_entry(word) for word in self._words],
            usage={"type": "duration", "seconds": round(self._time - self._completed, 3)},
        )
        self._items, self._before = self._items + 1, item
        self._words, self._partial, self._completed = [], "", self._time

    def _transcription(self, kind: str, **content: Any) -> Event:
        name = f"conversation.item.input_audio_transcription.{kind}"
        return self._event(name, item_id=f"item_{self._items}", content_index=0, **content)

    def _event(self, kind: str, **content: Any) -> Event:
        self._events += 1
        return {"type": kind, "event_id": f"event_{self._events}", **content}

    def _about(self) -> dict[str, Any]:
        given = self._settings
        turns = (
            None if given.pause is None else {"type": "server_vad", "silence_duration_ms": given.pause * 1000}
        )
        audio = {
            "format": {"type": "audio/pcm", "rate": given.rate},
            "transcription": {"model": given.model.name, "keywords": list(given.hotwords)},
            "turn_detection": turns,
        }
        return {"type": "transcription", "audio": {"input": audio}}


def _chosen(takers: Mapping[str, Taker], event: Event) -> Taker:
    """Return what takes an event of this type."""
    kind = event.get("type")
    if isinstance(kind, str) and kind in takers:
        return takers[kind]
    got = "no type" if kind is None else f"type {json.dumps(kind)[:50]}"
    raise RequestError(400, f"the event has {got}, but must have one of these: {', '.join(takers)}", "type")


def _read(text: str) -> Event:
    if len(text) > LARGEST:
        raise BrokenError(1009, f"an event has {len(text)} characters, but may have {LARGEST}")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise BrokenError(1007, "an event must be JSON") from None
    if not isinstance(event, dict):
        raise BrokenError(1007, "an event must be a JSON object")
    return event


def _samples(audio: Any) -> NDArray[np.float32]:
    """Return `(samples,)` of base64 PCM in 16 bits, little-endian, full scale 1."""
    try:
        raw = base64.b64decode(audio, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BrokenError(1007, "audio must be base64") from None
    if len(raw) % 2:
        raise BrokenError(1007, f"audio has {len(raw)} bytes, but must have samples of 2 bytes")
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(2**15)


def _changed(settings: _Settings, session: Any, models: Models) -> _Settings:
    """Return settings with what a session asks for.

    Raises:
        RequestError: it asks for what there is not.
    """
    session = _part({"session": session}, "session")
    if session.get("type", "transcription") != "transcription":
        raise RequestError(
            400, f"session.type is {session['type']!r}, but must be 'transcription'", "session.type"
        )
    given = _part(_part(session, "audio"), "input")
    form, transcription = _part(given, "format"), _part(given, "transcription")
    kind, rate = form.get("type", "audio/pcm"), form.get("rate", settings.rate)
    if kind != "audio/pcm":
        raise RequestError(
            400, f"format.type is {kind!r}, but must be 'audio/pcm'", "session.audio.input.format"
        )
    if type(rate) is not int or not _RATES[0] <= rate <= _RATES[1]:
        wanted = f"a whole number from {_RATES[0]} to {_RATES[1]}"
        raise RequestError(
            400, f"format.rate is {rate!r}, but must be {wanted}", "session.audio.input.format"
        )
    model, hotwords = settings.model, settings.hotwords
    if "model" in transcription:
        model = models.find(str(transcription["model"] or ""))
    if "keywords" in transcription:
        hotwords = to_hotwords(transcription["keywords"])
    model.find_decoder(hotwords)
    return _Settings(model, hotwords, rate, _pause(given, settings.pause))


def _pause(given: Mapping[str, Any], before: float | None) -> float | None:
    if "turn_detection" not in given:
        return before
    if given["turn_detection"] is None:
        return None
    milliseconds = _part(given, "turn_detection").get("silence_duration_ms", 800)
    if not isinstance(milliseconds, int | float) or not _PAUSES[0] <= milliseconds / 1000 <= _PAUSES[1]:
        wanted = f"a number from {_PAUSES[0] * 1000:g} to {_PAUSES[1] * 1000:g}"
        message = f"silence_duration_ms is {milliseconds!r}, but must be {wanted}"
        raise RequestError(400, message, "session.audio.input.turn_detection")
    return float(milliseconds / 1000)


def _part(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object inside of another; an empty one if it is not there."""
    found = node.get(name)
    if found is not None and not isinstance(found, dict):
        raise RequestError(400, f"{name} is {str(found)[:60]!r}, but must be an object", name)
    return found or {}

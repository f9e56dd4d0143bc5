"""Transcription as server-sent events: the text of a long recording as it is recognized, then the whole answer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse

from speechlstm.transcription.server.answers import RequestError, document
from speechlstm.transcription.server.metrics import Metrics
from speechlstm.transcription.server.transcriber import Transcriber, refused
from speechlstm.transcription.server.uploads import Wish
from speechlstm.transcription.transcript import Transcript

# Proxies are not to collect events before they pass them on.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Stretch = tuple[float, Transcript]


async def stream(transcriber: Transcriber, wish: Wish, metrics: Metrics) -> StreamingResponse:
    """Transcribe a recording, and return a response that sends what is done.

    It begins with the first event, so that what cannot be transcribed at all gets a status of its own. If the client
    goes away, the transcription ends after the next stretch.

    Raises:
        RequestError: the recording cannot be transcribed.
    """
    loop = asyncio.get_running_loop()
    stretches: asyncio.Queue[Stretch | None] = asyncio.Queue()
    gone = threading.Event()

    def report(start: float, made: Transcript) -> None:
        if gone.is_set():
            raise ConnectionError("the client has gone away")
        loop.call_soon_threadsafe(stretches.put_nowait, (start, made))

    begin = time.perf_counter()
    with refused():
        work = transcriber.submit(wish.model, wish.audio, wish.seconds, wish.hotwords, report)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(stretches.put_nowait, None))
        first = await stretches.get()
        if first is None:
            work.result()

    async def events() -> AsyncIterator[str]:
        try:
            begun, stretch = False, first
            while stretch is not None:
                start, part = stretch
                delta = f" {part.text}" if begun and part.text else part.text
                begun = begun or bool(part.text)
                yield _event("transcript.text.delta", delta=delta, end=round(start + part.duration, 3))
                stretch = await stretches.get()
            with refused():
                made = work.result()
            metrics.answered(begin, made.duration)
            if first is None:
                yield _event("transcript.text.delta", delta=made.text, end=round(made.duration, 3))
            yield _event("transcript.text.done", **document(made, wish))
        except Exception as error:
            content = json.dumps(RequestError.of(error).content(), ensure_ascii=False)
            yield f"event: error\ndata: {content}\n\n"
        finally:
            gone.set()

    return StreamingResponse(events(), media_type="text/event-stream", headers=_HEADERS)


def _event(kind: str, **content: Any) -> str:
    return f"data: {json.dumps({'type': kind, **content}, ensure_ascii=False, allow_nan=False)}\n\n"

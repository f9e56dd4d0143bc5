"""Waiting requests are recognized together: one thread takes all there are and answers as results come."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import BinaryIO

from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import SpeechModel
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import SpeechlstmError, counted

_MOST = 64  # recordings recognized together: bounds how long new ones wait
_log = logging.getLogger(__name__)


class BusyError(SpeechlstmError):
    """As many recordings wait as may."""


@dataclass(frozen=True, slots=True)
class _Request:
    audio: BinaryIO
    answer: Future[Transcript] = field(default_factory=Future)


class Batcher:
    """Transcribes recordings from any thread in a thread of its own, those that wait together.

    Args:
        recognizer: gives the log-probabilities.
        decoder: turns them into hypotheses.
        batch_seconds: most seconds of audio recognized together, padding included.
        threads: batches recognized at once on a CPU.
        most_waiting: recordings that may wait; others are refused.
        taken: is given the number of recordings each time that some are taken together.
    """

    def __init__(
        self,
        recognizer: SpeechModel,
        decoder: Decoder,
        batch_seconds: float = 120.0,
        threads: int = 1,
        most_waiting: int = 100,
        taken: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._recognizer, self._decoder = recognizer, decoder
        self._options = (batch_seconds, threads)
        self._most, self._taken = most_waiting, taken
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, audio: BinaryIO) -> Future[Transcript]:
        """Transcribe a recording; the future holds its transcript, or an AudioError.

        Raises:
            BusyError: too many wait already.
        """
        if self.waiting() >= self._most:
            raise BusyError(f"{counted(self._most, 'recording')} waiting already; try again later")
        request = _Request(audio)
        self._waiting.put(request)
        return request.answer

    def waiting(self) -> int:
        """Return how many recordings wait."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Answer what has been submitted, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            requests = [self._waiting.get()]
            while len(requests) < _MOST and requests[-1] is not None and not self._waiting.empty():
                requests.append(self._waiting.get())
            open_ones = [request for request in requests if request is not None]
            if open_ones:
                self._taken(len(open_ones))
                self._answer(open_ones)
            if requests[-1] is None:
                return

    def _answer(self, requests: list[_Request]) -> None:
        try:
            audio = [request.audio for request in requests]
            for index, result in transcribe(self._recognizer, self._decoder, audio, *self._options):
                answer = requests[index].answer
                answer.set_result(result) if isinstance(result, Transcript) else answer.set_exception(result)
        except Exception as error:
            left = [request for request in requests if not request.answer.done()]
            if len(requests) == 1:
                _log.exception("a recording could not be transcribed")
                left[0].answer.set_exception(error)
                return
            for request in left:  # whichever it was harms no other
                request.audio.seek(0)
                self._answer([request])

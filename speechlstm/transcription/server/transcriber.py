"""Transcribes uploads in threads; those of all requests share the batches of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO

from speechlstm.transcription.batches import CUT_SECONDS, Recognized, run
from speechlstm.transcription.jobs import Job, Part
from speechlstm.transcription.journal import Done
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.server.answers import RequestError
from speechlstm.transcription.server.models import Hotwords, HotwordsError, ServedModel
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, SpeechlstmError, counted

_SHORT = 64  # recordings at once that are not cut: enough to find some of a length for a batch


class BusyError(SpeechlstmError):
    """The server has as many recordings as it may."""


@contextmanager
def refused() -> Iterator[None]:
    """Raise a RequestError where a recording is not transcribed through no fault of the server."""
    try:
        yield
    except BusyError as error:
        raise RequestError(503, str(error), code="overloaded", headers={"Retry-After": "1"}) from None
    except AudioError as error:
        raise RequestError(400, str(error), "file") from None
    except HotwordsError as error:
        raise RequestError(400, str(error), "keywords") from None


class Transcriber:
    """Transcribes recordings, many short ones at once, and few long ones, whose windows would keep the others waiting.

    Args:
        threads: long recordings at once, and windows of each.
        most_waiting: recordings that may wait or be in work; others are refused.
    """

    def __init__(self, threads: int = 1, most_waiting: int = 100) -> None:
        self._threads, self._most, self._open = threads, most_waiting, 0
        self._short = ThreadPoolExecutor(min(_SHORT, most_waiting), "short")
        self._long = ThreadPoolExecutor(threads, "long")

    def submit(
        self,
        model: ServedModel,
        audio: BinaryIO,
        seconds: float,
        hotwords: Hotwords = (),
        report: Callable[[float, Transcript], None] | None = None,
    ) -> Future[Transcript]:
        """Transcribe a recording; the future holds its transcript, or an AudioError.

        Args:
            model: which.
            audio: the recording.
            seconds: its length.
            hotwords: to favor.
            report: is given each stretch of a long recording as soon as it is done: the second at which it begins, and
                its transcript, whose times count from there. What it raises ends the transcription.

        Raises:
            BusyError: too many wait already.
        """
        if self._open >= self._most:
            raise BusyError(f"{counted(self._most, 'recording')} waiting already; try again later")
        self._open += 1
        if seconds > CUT_SECONDS:
            future = self._long.submit(self._transcribe, model, audio, hotwords, report)
        else:
            future = self._short.submit(_transcribe_whole, model, audio, seconds, hotwords)
        future.add_done_callback(self._count_down)
        return future

    def waiting(self) -> int:
        """Return how many recordings wait or are in work."""
        return self._open

    def close(self) -> None:
        """Transcribe what has been submitted, and end."""
        self._short.shutdown()
        self._long.shutdown()

    def _count_down(self, future: Future[Transcript]) -> None:
        self._open -= 1

    def _transcribe(
        self,
        model: ServedModel,
        audio: BinaryIO,
        hotwords: Hotwords,
        report: Callable[[float, Transcript], None] | None,
    ) -> Transcript:
        decoder = model.find_decoder(hotwords)
        stretches = _Stretches(report, model.model.sample_rate) if report else None
        ((_, made),) = transcribe(
            model.model, decoder, [audio], threads=self._threads, journal=lambda part: stretches
        )
        if isinstance(made, Transcript):
            return made
        raise made


def _transcribe_whole(model: ServedModel, audio: BinaryIO, seconds: float, hotwords: Hotwords) -> Transcript:
    """Transcribe a short recording in this thread: the threads of `transcribe` would cost a tenth of its time."""
    decoder, recognizer = model.find_decoder(hotwords), model.model
    job = Job(0, Part(audio), seconds)
    waveform, warnings = job.read(recognizer.sample_rate, strict=False)
    log_probs, lengths = run(recognizer, [waveform])
    (hypotheses,) = decoder(log_probs, lengths)
    read = Recognized(0, 0.0, job.name, waveform, recognizer.sample_rate, log_probs[0], warnings)
    return read.transcript(hypotheses, recognizer)


class _Stretches:
    """Reports the stretches of a recording that is cut."""

    def __init__(self, report: Callable[[float, Transcript], None], sample_rate: int) -> None:
        self.done: list[Done] = []
        self._report, self._rate = report, sample_rate

    def add(self, done: Done) -> None:
        """Report a stretch."""
        self._report(done.start / self._rate, done.transcript)

"""From many recordings to log-probabilities: reading ahead of the model and batching by length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.data.audio import AudioInput
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.jobs import MAX_SECONDS, Job, Part, Read, find_job
from speechlstm.transcription.lookup import are_remote, claimed, finders, found
from speechlstm.transcription.transcript import Transcript, to_transcript
from speechlstm.types import AudioError, Hypothesis, UsageError, Utterance

CUT_SECONDS = 60.0  # longest recording that is not cut where it may be, by `speechlstm.transcription.long`
_READERS = 2  # threads that decode audio

Result = TypeVar("Result")


class SpeechModel(Protocol):
    """What turns waveforms into log-probabilities: a `Recognizer`."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Whose ids the columns of the log-probabilities are."""

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms."""

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame of log-probabilities to the next."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, samples)` and lengths to `(batch, frames, vocab)` and lengths."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """A recording after the model.

    Attributes:
        index: of the recording in the inputs.
        origin: second of the recording that the waveform begins at, if times are to count from there.
        audio: what it is called, as valid Unicode.
        waveform: `(samples,)`.
        sample_rate: Hz of the waveform.
        log_probs: `(frames, vocab)` natural logs.
        warnings: what of the audio is missing.
    """

    index: int
    origin: float
    audio: str
    waveform: NDArray[np.float32]
    sample_rate: int
    log_probs: Tensor
    warnings: list[str]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.waveform) / self.sample_rate

    def transcript(self, hypotheses: Sequence[Hypothesis], model: SpeechModel) -> Transcript:
        """Give the best of the hypotheses its words, times and confidences, by `to_transcript`."""
        made = to_transcript(
            hypotheses, model.tokenizer, model.frame_shift, self.audio, self.seconds, self.pauses()
        )
        return replace(made, warnings=self.warnings).shifted(self.origin)

    def pauses(self) -> list[tuple[float, float]]:
        """Return the stretches without speech, in seconds, by `speechlstm.transcription.boundaries.find_pauses`."""
        return find_pauses(self.waveform, self.sample_rate)


@dataclass(frozen=True, slots=True)
class RecognizedBatch:
    """Recordings that went through the model together.

    Attributes:
        recordings: those that could be read.
        failures: `(index, reason)` of the others.
        log_probs: `(batch, frames, vocab)` natural logs of the recordings; no rows if nothing could be read.
        lengths: `(batch,)` frames of each.
        long: a recording that is to be cut, in a batch of its own.
    """

    recordings: list[Recognized]
    failures: list[tuple[int, AudioError]]
    log_probs: Tensor
    lengths: Tensor
    long: Job | None = None

    @classmethod
    def empty(cls, failures: list[tuple[int, AudioError]], long: Job | None = None) -> RecognizedBatch:
        """Return a batch without recordings."""
        return cls([], failures, torch.zeros(0, 0, 0), torch.zeros(0, dtype=torch.long), long)


def recognize(
    model: SpeechModel,
    inputs: Sequence[AudioInput | Part | Utterance],
    batch_seconds: float = 120.0,
    threads: int = 1,
    claim: Callable[[], int] | None = None,
    strict_audio: bool = False,
    cut: bool = False,
) -> Iterator[RecognizedBatch]:
    """Run recordings through the model in batches of similar length.

    Each thread runs batches of its own, for which `torch.set_num_threads(1)` is best: an LSTM's steps are too small to
    share. Processes make up the same batches, and do those that they claim; each URL is claimed, and fetched, by one.

    Args:
        model: the recognizer.
        inputs: whole recordings, or parts or utterances, of which only the stretch they name is read.
        batch_seconds: most seconds in a batch, padding included; a longer recording is a batch by itself.
        threads: how many batches run at once on a CPU.
        claim: returns the number of the batch, or of the input, to do next, each number to one process; None does all.
        strict_audio: damaged or truncated audio fails; False takes what can be read, with warnings.
        cut: recordings of over `CUT_SECONDS` are handed out as they are; False takes them whole, up to `MAX_SECONDS`.

    Yields:
        batches in which each input that this process has occurs once, recognized or with the reason why not.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    _check(batch_seconds, threads)
    workers = threads if model.device.type == "cpu" else 1
    readers, seekers = ThreadPoolExecutor(_READERS, "reader"), finders(inputs)
    models = ThreadPoolExecutor(workers, "model", begin_thread, (model.device,))
    by_input = claim if are_remote(inputs) else None
    batches = _batches(found(inputs, find_job, seekers, by_input), batch_seconds, cut)
    ahead: deque[Future[RecognizedBatch]] = deque()
    whole = True  # whether what has begun is brought to its end
    try:
        for batch in claimed(batches, claim) if claim and not by_input else batches:
            if not batch:
                while ahead:
                    yield ahead.popleft().result()
                continue
            if isinstance(batch, tuple) or (cut and batch[0].seconds > CUT_SECONDS):
                empty = RecognizedBatch.empty
                yield empty([batch]) if isinstance(batch, tuple) else empty([], batch[0])
                continue
            reads = [(job, readers.submit(job.read, model.sample_rate, strict_audio)) for job in batch]
            ahead.append(models.submit(_recognize, model, reads))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except KeyboardInterrupt:
        whole = False
        raise
    finally:
        for pool in (seekers, readers):  # a server or a disk may keep these for long
            pool.shutdown(wait=False, cancel_futures=True)
        models.shutdown(wait=whole, cancel_futures=True)


def _check(batch_seconds: float, threads: int) -> None:
    if isinstance(batch_seconds, bool | str) or not batch_seconds > 0:
        raise UsageError(f"batch_seconds is {batch_seconds!r}, but must be a number of seconds above 0")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads is {threads!r}, but must be a whole number above 0, or null")


def in_order(results: Iterator[tuple[int, Result]]) -> Iterator[Result]:
    """Yield the results of `transcribe` in the order of its inputs, each when those before it are done."""
    waiting: dict[int, Result] = {}
    position = 0
    for index, result in results:
        waiting[index] = result
        while position in waiting:
            yield waiting.pop(position)
            position += 1


def begin_thread(device: torch.device) -> None:
    """Prepare a thread that runs batches."""
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise the first one, in each thread


def _batches(
    windows: Iterator[list[tuple[int, Job | AudioError]]], batch_seconds: float, cut: bool
) -> Iterator[list[Job] | tuple[int, AudioError]]:
    """Yield batches, shortest first in each window, and what is unusable with the reason.

    An empty batch says that the next one takes long to be fetched.
    """
    for window in windows:
        jobs: list[Job] = []
        for index, job in window:
            if isinstance(job, AudioError):
                yield index, job
            elif job.seconds > MAX_SECONDS and not cut:
                limit = f"at most {MAX_SECONDS:.0f} s are taken whole; cut it into shorter files"
                yield index, AudioError(f"{job.name}: {job.seconds:.0f} s long, but {limit}")
            else:
                jobs.append(job)
        batch: list[Job] = []
        for job in sorted(jobs, key=lambda job: job.seconds):
            if batch and (
                job.seconds * (len(batch) + 1) > batch_seconds or (cut and job.seconds > CUT_SECONDS)
            ):
                yield batch
                batch = []
            batch.append(job)
        if batch or not window:
            yield batch


def _recognize(model: SpeechModel, reads: list[tuple[Job, Future[Read]]]) -> RecognizedBatch:
    """Run one batch through the model, leaving out what could not be read."""
    failures: list[tuple[int, AudioError]] = []
    ready: list[tuple[Job, NDArray[np.float32], list[str]]] = []
    for job, future in reads:
        try:
            ready.append((job, *future.result()))
        except AudioError as error:
            failures.append((job.index, error))
    if not ready:
        return RecognizedBatch.empty(failures)
    log_probs, lengths = run(model, [waveform for _, waveform, _ in ready])
    recordings = [
        Recognized(job.index, job.origin, job.name, waveform, model.sample_rate, row[:length], warnings)
        for (job, waveform, warnings), row, length in zip(ready, log_probs, lengths.tolist(), strict=True)
    ]
    return RecognizedBatch(recordings, failures, log_probs, lengths)


def run(model: SpeechModel, waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Map waveforms to log-probabilities `(batch, frames, vocab)` and their lengths, in one batch."""
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(each) for each in waveforms], batch_first=True)
    return model.log_probs(padded, torch.tensor([len(each) for each in waveforms]))

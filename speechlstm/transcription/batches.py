"""Many recordings become transcripts: found, read ahead of the model, batched by length, recognised."""

from __future__ import annotations

import itertools
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.data.audio import AUDIO_SUFFIXES, audio_info, load_audio
from speechlstm.decoders.base import Decoder
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.formats import to_transcript
from speechlstm.types import AudioError, Transcript, UsageError, Utterance

if TYPE_CHECKING:
    from speechlstm.model.bundle import Bundle

MAX_SECONDS = 600.0  # longest recording: the encoder sees it whole
_WINDOW = 512  # recordings sorted by length at a time: bounds how long results wait for their turn
_READERS = 2  # threads that decode audio

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file: its path as given or found, and the relative path its output is named after."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class _Job:
    """What to read of which file; `duration` None is all of it, `seconds` its length for sorting."""

    index: int
    path: str
    seconds: float
    offset: float = 0.0
    duration: float | None = None


@dataclass(slots=True)
class Heard:
    """A batch of recordings after the model.

    Attributes:
        indices: of the recordings in the inputs.
        paths: of their audio, as valid Unicode.
        seconds: their lengths.
        pauses: where in them nothing is said, see `speechlstm.transcription.boundaries.find_pauses`.
        errors: `(index, reason)` of those that could not be read.
        log_probs: `(batch, frames, vocab)` natural logs; no rows if nothing could be read.
        lengths: `(batch,)` frames of each.
    """

    indices: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pauses: list[list[tuple[float, float]]] = field(default_factory=list)
    errors: list[tuple[int, AudioError]] = field(default_factory=list)
    log_probs: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 0))
    lengths: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))


def find(paths: Sequence[str]) -> tuple[list[Recording], list[AudioError]]:
    """Turn files and folders into recordings; folders are searched through, sorted, without hidden files.

    A relative path keeps its folders in `name`; of an absolute one, or one with `..`, only the last part is
    kept, for a folder with what lies below. A file met twice counts once. A missing file becomes a recording
    as well: opening it will tell.

    Returns:
        the recordings in the order given, and a complaint for each folder without audio or unreadable.
    """
    found: dict[Path, Recording] = {}
    problems: list[AudioError] = []
    for given in paths:
        path = Path(given)
        outside = path.is_absolute() or ".." in path.parts
        if not path.is_dir():
            found.setdefault(path.absolute(), Recording(given, path.name if outside else str(path)))
            continue
        name = Path(path.resolve().name) if outside else path
        inside, unreadable = _search(path)
        problems += unreadable
        if not inside and not unreadable:
            suffixes = " ".join(sorted(AUDIO_SUFFIXES))
            problems.append(AudioError(f"{given}: no audio files in this folder; they end in {suffixes}"))
        for file in inside:
            recording = Recording(str(file), str(name / file.relative_to(path)))
            found.setdefault(file.absolute(), recording)
    return list(found.values()), problems


def output_paths(recordings: Sequence[Recording], folder: str | Path, suffix: str) -> list[Path]:
    """Return where each recording's output goes: `folder/name.suffix`, without the audio's own suffix.

    Recordings that differ in nothing but that keep it: `call.wav` and `call.mp3` give `call.wav.txt` and
    `call.mp3.txt`.

    Raises:
        UsageError: two recordings would still write to the same file.
    """
    short = [str(Path(recording.name).with_suffix("")) for recording in recordings]
    counts = Counter(name.casefold() for name in short)  # some file systems do not tell upper from lower case
    taken: dict[Path, Recording] = {}
    for recording, name in zip(recordings, short, strict=True):
        stem = name if counts[name.casefold()] == 1 else recording.name
        other = taken.setdefault(path := Path(folder) / f"{stem}.{suffix}", recording)
        if other is not recording:
            both = f"{other.path} and {recording.path}"
            raise UsageError(f"{both} would both become {path}; transcribe them into different folders")
    return list(taken)


def transcribe(
    bundle: Bundle,
    decoder: Decoder,
    inputs: Sequence[str | Utterance],
    batch_seconds: float = 120.0,
    threads: int | None = None,
    claim: Callable[[], int] | None = None,
) -> Iterator[tuple[int, Transcript | AudioError]]:
    """Transcribe recordings in batches of similar length; a broken one does not stop the others.

    Args:
        bundle: the recogniser.
        decoder: turns its log-probabilities into hypotheses.
        inputs: paths of whole files, or utterances, of which only the stretch they name is read.
        batch_seconds: most seconds in a batch, see `hear`.
        threads: how many batches run at once on a CPU, see `hear`.
        claim: says which batches are this process's, see `hear`.

    Yields:
        `(index in inputs, transcript or the reason why there is none)`, each as soon as it is done.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    for heard in hear(bundle, inputs, batch_seconds, threads, claim):
        yield from heard.errors
        hypotheses = decoder(heard.log_probs, heard.lengths) if heard.indices else []
        rows = zip(heard.indices, heard.paths, heard.seconds, heard.pauses, hypotheses, strict=True)
        for index, path, seconds, pauses, found in rows:
            yield index, to_transcript(found, bundle.tokenizer, bundle.frame_shift, path, seconds, pauses)


def hear(
    bundle: Bundle,
    inputs: Sequence[str | Utterance],
    batch_seconds: float = 120.0,
    threads: int | None = None,
    claim: Callable[[], int] | None = None,
) -> Iterator[Heard]:
    """Run recordings through the model in batches of similar length.

    On a CPU each thread runs a batch of its own. The steps of an LSTM are too small to be worth sharing: two
    threads on one batch need several times the processor time, and far more when other programs run.

    Several processes make up the same batches of the same inputs, and each does those that it claims. So the result
    of an input does not depend on how many they are.

    Args:
        bundle: the recogniser.
        inputs: paths of whole files, or utterances, of which only the stretch they name is read.
        batch_seconds: most seconds in a batch, padding included; a longer recording is a batch by itself.
        threads: how many batches run at once on a CPU; None takes as many as torch has threads.
        claim: returns the number of the batch to do next, each number to one process; None does all of them.

    Yields:
        batches in which each of the inputs, if no other process has it, occurs once, heard or with the reason why not.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    if isinstance(batch_seconds, bool | str) or not batch_seconds > 0:
        raise UsageError(f"batch_seconds is {batch_seconds!r}, but must be a number of seconds above 0")
    torch_threads = torch.get_num_threads()
    threads = torch_threads if threads is None else threads
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads is {threads!r}, but must be a whole number above 0, or null")
    workers = threads if bundle.device.type == "cpu" else 1
    readers = ThreadPoolExecutor(_READERS, "reader")
    models = ThreadPoolExecutor(workers, "model", _begin, (bundle.device,))
    claim = claim or itertools.count().__next__
    claimed = -1  # until here all batches have been claimed, by whomever
    ahead: deque[Future[Heard]] = deque()
    try:
        for number, batch in enumerate(_batches(inputs, readers, batch_seconds)):
            if number > claimed:
                claimed = claim()
            if number < claimed:
                continue
            if isinstance(batch, tuple):
                yield Heard(errors=[batch])
                continue
            reads = [(job, readers.submit(_read, job, bundle.sample_rate)) for job in batch]
            ahead.append(models.submit(_recognize, bundle, reads))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        models.shutdown(cancel_futures=True)
        readers.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)  # the model threads changed it for the whole process


def in_order(results: Iterator[tuple[int, Result]]) -> Iterator[Result]:
    """Yield the results of `transcribe` in the order of its inputs, each when those before it are done."""
    waiting: dict[int, Result] = {}
    position = 0
    for index, result in results:
        waiting[index] = result
        while position in waiting:
            yield waiting.pop(position)
            position += 1


def _begin(device: torch.device) -> None:
    """Prepare a thread that runs batches."""
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise the first one, in each thread


def _batches(
    inputs: Sequence[str | Utterance], readers: ThreadPoolExecutor, batch_seconds: float
) -> Iterator[list[_Job] | tuple[int, AudioError]]:
    """Yield batches, shortest first in each window, and what is unusable with the reason."""
    for start in range(0, len(inputs), _WINDOW):
        window = range(start, min(start + _WINDOW, len(inputs)))
        jobs: list[_Job] = []
        for index, job in zip(window, readers.map(_job, window, inputs[start : window.stop]), strict=True):
            if isinstance(job, AudioError):
                yield index, job
            else:
                jobs.append(job)
        batch: list[_Job] = []
        for job in sorted(jobs, key=lambda job: job.seconds):
            if batch and job.seconds * (len(batch) + 1) > batch_seconds:
                yield batch
                batch = []
            batch.append(job)
        if batch:
            yield batch


def _job(index: int, given: str | Utterance) -> _Job | AudioError:
    """Learn the length of a recording, and refuse what is too long."""
    try:
        if isinstance(given, str):
            job = _Job(index, given, audio_info(given).duration)
        else:
            job = _Job(index, given.audio_filepath, given.duration, given.offset, given.duration or None)
    except AudioError as error:
        return error
    if job.seconds > MAX_SECONDS:
        limit = f"at most {MAX_SECONDS:.0f} s are transcribed at once; cut it into shorter files"
        return AudioError(f"{job.path}: {job.seconds:.0f} s long, but {limit}")
    return job


def _read(job: _Job, sample_rate: int) -> NDArray[np.float32]:
    return load_audio(job.path, sample_rate, job.offset, job.duration)


def _recognize(bundle: Bundle, reads: list[tuple[_Job, Future[NDArray[np.float32]]]]) -> Heard:
    """Run one batch through the model, leaving out what could not be read."""
    heard = Heard()
    waveforms: list[Tensor] = []
    for job, future in reads:
        try:
            waveform = future.result()
        except AudioError as error:
            heard.errors.append((job.index, error))
            continue
        waveforms.append(torch.from_numpy(waveform))
        heard.indices.append(job.index)
        heard.paths.append(_printable(job.path))
        heard.seconds.append(len(waveform) / bundle.sample_rate)
        heard.pauses.append(find_pauses(waveform, bundle.sample_rate))
    if waveforms:
        padded = torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True)
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        heard.log_probs, heard.lengths = bundle.recognize(padded, lengths)
    return heard


def _search(folder: Path) -> tuple[list[Path], list[AudioError]]:
    """Return the audio files below a folder, sorted, and the folders that cannot be searched."""
    problems: list[AudioError] = []
    found: list[Path] = []

    def complain(error: OSError) -> None:
        problems.append(AudioError(f"{error.filename}: cannot search this folder: {error.strerror}"))

    for where, folders, files in os.walk(folder, onerror=complain):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(where, name) for name in files if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    return sorted(found), problems


def _printable(path: str) -> str:
    """Return the path as valid Unicode, whatever bytes the file system holds."""
    return path.encode(errors="surrogateescape").decode(errors="replace")

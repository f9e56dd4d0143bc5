"""Recordings of any length with their texts.

A long one is read in blocks and recognized in windows. If its text is long as well, what was heard is compared with the
text, and both are cut where they agree, so that each piece is aligned by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import numpy as np
from torch import Tensor

from speechlstm.data.audio import AudioInput, audio_name
from speechlstm.decoders import Decoder
from speechlstm.transcription import long
from speechlstm.transcription.align import anchors, texts
from speechlstm.transcription.align.alignment import Alignment, assemble, longest_guess, place
from speechlstm.transcription.align.paths import Path, joined, word_alignment
from speechlstm.transcription.align.viterbi import Floats
from speechlstm.transcription.batches import Recognized, SpeechModel, recognize
from speechlstm.transcription.boundaries import Span, find_pauses
from speechlstm.transcription.jobs import Job
from speechlstm.transcription.transcript import Word, to_transcript
from speechlstm.types import AudioError, SpeechlstmError, Utterance, counted

PIECE = 30.0  # seconds at least between two cuts of a text and its recording
MOST_STATES = 1.5e8  # frames times states of a path that is found at once; as many bytes of memory


class Listener(SpeechModel, Protocol):
    """A model that can also tell what it hears: a `Recognizer`."""

    @property
    def decoder(self) -> Decoder:
        """What turns log-probabilities into words."""


@dataclass(slots=True)
class Heard:
    """A recording after the model.

    Attributes:
        audio: what it is called.
        origin: second that its times count from.
        seconds: its length.
        log_probs: `(frames, vocab)` natural logs.
        pauses: stretches without speech, in seconds.
        warnings: what of the audio is missing.
        stretches: parts of the log-probabilities that can be decoded, each with the second at which it begins.
    """

    audio: str
    origin: float
    seconds: float
    log_probs: Floats
    pauses: list[Span]
    warnings: list[str]
    stretches: list[tuple[float, Tensor]] = field(default_factory=list)


def align(
    model: Listener,
    inputs: Sequence[Utterance | tuple[AudioInput, str]],
    batch_seconds: float = 120.0,
    threads: int = 1,
    strict_audio: bool = False,
) -> Iterator[tuple[int, Alignment | SpeechlstmError]]:
    """Align recordings with their texts; one that cannot be aligned does not stop the others.

    Args:
        model: the recognizer.
        inputs: utterances, of which only the stretch that each names is read, times counting from its beginning; or
            whole recordings with their texts.
        batch_seconds: most seconds in a batch, see `speechlstm.transcription.batches.recognize`.
        threads: how many batches run at once on a CPU, see there.
        strict_audio: damaged or truncated audio fails, see there.

    Yields:
        `(index in inputs, alignment or the reason why there is none)`, each as soon as it is done.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    known: list[tuple[int, str, list[texts.WrittenWord]]] = []
    audio: list[AudioInput | Utterance] = []
    for index, given in enumerate(inputs):
        one, text = (given, given.text) if isinstance(given, Utterance) else given
        name = given.id if isinstance(given, Utterance) else audio_name(given[0])
        try:
            known.append((index, name, texts.read(text, model.tokenizer)))
        except SpeechlstmError as error:
            yield index, SpeechlstmError(f"{name}: {error}")
            continue
        audio.append(one)
    for batch in recognize(model, audio, batch_seconds, threads, None, strict_audio, cut=True):
        for position, failure in batch.failures:
            yield known[position][0], failure
        jobs: list[Job | Recognized] = [batch.long] if batch.long else list(batch.recordings)
        for job in jobs:
            index, name, words = known[job.index]
            try:
                heard = (
                    _hear(model, job, batch_seconds, threads, strict_audio)
                    if isinstance(job, Job)
                    else _heard(job)
                )
                yield index, _align(model, heard, words)
            except AudioError as error:
                yield index, error
            except SpeechlstmError as error:
                yield index, SpeechlstmError(f"{name}: {error}")


def _heard(given: Recognized) -> Heard:
    """Return a recording that went through the model whole."""
    log_probs = given.log_probs.float().cpu()
    stretches = [(0.0, log_probs)]
    return Heard(
        given.audio, given.origin, given.seconds, log_probs.numpy(), given.pauses(), given.warnings, stretches
    )


def _hear(model: SpeechModel, job: Job, batch_seconds: float, threads: int, strict: bool) -> Heard:
    """Run a long recording through the model."""
    warnings, stretches, pauses = list[str](), list[tuple[float, Tensor]](), list[Span]()
    rate, end = model.sample_rate, 0
    blocks = job.stream(rate, strict, warnings)
    for group in long.recognized(model, blocks, job.name, job.seconds, batch_seconds, threads):
        for each in group:
            start, end = each.start / rate, each.end
            pauses += [(start + begin, start + stop) for begin, stop in find_pauses(each.waveform, rate)]
            stretches.append((start, each.log_probs.float()))
    log_probs = np.concatenate([each.numpy() for _, each in stretches])
    return Heard(job.name, job.origin, end / rate, log_probs, pauses, warnings, stretches)


def _align(model: Listener, heard: Heard, words: list[texts.WrittenWord]) -> Alignment:
    """Align one recording that went through the model."""
    tokenizer, shift = model.tokenizer, model.frame_shift
    separator = None if tokenizer.separator is None else tokenizer.tokens.index(tokenizer.separator)
    ids = [word.ids for word in words]
    placed, frames = place(words, separator), len(heard.log_probs)
    edges = [(0, 0), (len(words), frames)]
    if _states(ids) * frames > MOST_STATES:
        edges[1:1] = _cuts(model, heard, [word.spoken for word in words])
    paths: list[Path] = []
    for (first, begin), (after, end) in pairwise(edges):
        if _states(ids[first:after]) * (end - begin) > MOST_STATES:
            raise SpeechlstmError(
                f"from {begin * shift:.0f} to {end * shift:.0f} s too little of the text was heard to find the place "
                f"of {counted(after - first, 'word')} from {' '.join(words[first].texts)!r} on; "
                "does it belong to this audio?"
            )
        longest = [longest_guess(word) / shift for word in words[first:after] if not word.ids]
        paths.append(word_alignment(heard.log_probs[begin:end], ids[first:after], separator, longest))
    path = joined(paths, separator)
    made = assemble(placed, path, tokenizer, shift, heard.audio, heard.seconds, heard.pauses)
    if all(math.isnan(score) for score in made.scores):
        raise SpeechlstmError(
            f"no speech for its {counted(len(words), 'word')}; does the text belong to this audio?"
        )
    return made.of(heard.origin, heard.warnings)


def _states(ids: Sequence[Sequence[int]]) -> int:
    """Return an upper bound of the states of a path through words."""
    return 2 * sum(len(word) + 1 for word in ids) + 2


def _cuts(model: Listener, heard: Heard, spoken: Sequence[str]) -> list[tuple[int, int]]:
    """Return where text and recording can be cut: the word that follows and the frame."""
    words: list[Word] = []
    for start, log_probs in heard.stretches:
        found = next(model.decoder.passes(log_probs))  # anchors need no second pass
        length = len(log_probs) * model.frame_shift
        made = to_transcript(found, model.tokenizer, model.frame_shift, heard.audio, length)
        words += made.shifted(start).words
    matches = anchors.match(spoken, [word.text for word in words])
    places = anchors.cuts(matches, [(word.start, word.end) for word in words], PIECE)
    return [(word, round(second / model.frame_shift)) for word, second in places]

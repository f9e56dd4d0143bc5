"""Recordings of any length: read in blocks, recognized in windows, decoded in stretches between pauses.

A window ends in the middle of a pause if there is one, because the audio on one side hardly affects the other. If there
is none, consecutive windows overlap, and each provides the log-probabilities of its half of the overlap, so that both
have context from the other side. The windows up to a pause are decoded together. Memory does not grow with the length
of the recording, and every frame is where it would be without windows.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.data import progress
from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import SpeechModel, begin_thread, run
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.journal import Done, Stretches
from speechlstm.transcription.memory import give_back
from speechlstm.transcription.transcript import Transcript, Word, to_transcript
from speechlstm.types import Hypothesis

LONGEST = 30.0  # seconds of a window
EARLIEST = 10.0  # seconds after which a pause may end a window
OVERLAP = 4.0  # seconds that windows share where there is no pause
PAUSE = 0.25  # seconds of quiet that are long enough to end a window
MOST_WINDOWS = 6  # of a stretch: bounds what is held where there is no pause for minutes

Waveform = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a recording for the encoder.

    Attributes:
        waveform: `(samples,)`.
        start: sample of the recording with which it begins.
        first, after: its own samples of the waveform; the rest is its neighbors'. `after` is None for the last window.
        closes: whether a stretch ends with it.
        shared: samples before its own last one that the next window begins with.
    """

    waveform: Waveform
    start: int
    first: int
    after: int | None
    closes: bool
    shared: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording for the decoder.

    Attributes:
        start: sample of the recording with which it begins.
        waveform: `(samples,)`.
        log_probs: `(frames, vocab)` natural logs.
        shared: samples before its end that the next window begins with.
    """

    start: int
    waveform: Waveform
    log_probs: Tensor
    shared: int = 0

    @property
    def end(self) -> int:
        """Sample of the recording after its last."""
        return self.start + len(self.waveform)


def windows(
    blocks: Iterable[Waveform], sample_rate: int, step: int, end: int = 0, shared: int = 0
) -> Iterator[Window]:
    """Cut a recording, or what is left of it.

    Args:
        blocks: its samples.
        sample_rate: Hz.
        step: samples of an encoder frame; windows begin with whole frames.
        end: sample at which a stretch ended that was done before.
        shared: samples before it that the next window begins with.
    """
    longest, overlap = (round(seconds * sample_rate) // step * step for seconds in (LONGEST, OVERLAP))
    start, before, joined = end - shared, shared, 1  # `before`: samples of the window before
    held = np.zeros(0, np.float32)
    for block in _after(blocks, start):
        held = np.concatenate((held, block))
        while len(held) > longest:
            cut = _pause(held[:longest], sample_rate, before) // step * step
            if cut:
                yield Window(held[:cut], start, before, cut, True)
                before, joined = 0, 1
            else:
                closes = joined == MOST_WINDOWS
                cut = longest - overlap
                shared = overlap // 2 // step * step
                yield Window(held[:longest], start, before, longest - overlap + shared, closes, shared)
                before, joined = shared, joined % MOST_WINDOWS + 1
            held, start = held[cut:], start + cut
    if len(held) > before or not start:
        yield Window(held, start, before, None, True)


def _after(blocks: Iterable[Waveform], sample: int) -> Iterator[Waveform]:
    """Yield what blocks hold from a sample on."""
    for block in blocks:
        if sample < len(block):
            yield block[sample:]
        sample = max(sample - len(block), 0)


def _pause(waveform: Waveform, sample_rate: int, before: int) -> int:
    """Return the sample in the middle of the longest pause that may end a window; 0 if there is none."""
    earliest = before / sample_rate + EARLIEST
    pauses = [
        (end - start, (start + end) / 2)
        for start, end in find_pauses(waveform, sample_rate)
        if end - start >= PAUSE and (start + end) / 2 >= earliest
    ]
    return round(max(pauses)[1] * sample_rate) if pauses else 0


def stretches(
    model: SpeechModel,
    blocks: Iterable[Waveform],
    batch: int = 4,
    threads: int = 1,
    end: int = 0,
    shared: int = 0,
) -> Iterator[list[Stretch]]:
    """Run a recording through the model.

    Args:
        model: gives the log-probabilities.
        blocks: the samples of the recording, at the model's rate.
        batch: windows recognized together.
        threads: how many batches are recognized at once.
        end: sample at which a stretch ended that was done before.
        shared: samples before it that the next window begins with.

    Yields:
        the stretches that each batch of windows completes, in order; together they are the whole recording.
    """
    step = round(model.frame_shift * model.sample_rate)
    cut = windows(blocks, model.sample_rate, step, end, shared)
    ahead: deque[Future[list[tuple[Window, Tensor]]]] = deque()
    part: list[tuple[Window, Tensor]] = []  # of a stretch that has not ended
    with ThreadPoolExecutor(threads, "window", begin_thread, (model.device,)) as pool:
        while (group := list(islice(cut, batch))) or ahead:
            if group:
                ahead.append(pool.submit(_recognize, model, group, step))
                if len(ahead) <= threads:
                    continue
            done: list[Stretch] = []
            for window, log_probs in ahead.popleft().result():
                part.append((window, log_probs))
                if window.closes:
                    done.append(_stretch(part))
                    part = []
            yield done


def _recognize(model: SpeechModel, group: list[Window], step: int) -> list[tuple[Window, Tensor]]:
    """Run windows through the model, and keep of each the frames that are its own."""
    log_probs, lengths = run(model, [window.waveform for window in group])
    found = []
    for window, row, length in zip(group, log_probs.cpu(), lengths.tolist(), strict=True):
        after = length if window.after is None else window.after // step
        frames = torch.arange(window.first // step, after).clamp(max=length - 1)
        found.append((window, row[frames]))
    return found


def _stretch(part: list[tuple[Window, Tensor]]) -> Stretch:
    begin = part[0][0].start + part[0][0].first
    waveform = np.concatenate([window.waveform[window.first : window.after] for window, _ in part])
    log_probs = torch.cat([log_probs for _, log_probs in part])
    return Stretch(begin, waveform, log_probs, part[-1][0].shared)


def transcribe(
    model: SpeechModel,
    decoder: Decoder,
    blocks: Iterable[Waveform],
    audio: str,
    seconds: float,
    batch_seconds: float = 120.0,
    threads: int = 1,
    journal: Stretches | None = None,
) -> Transcript:
    """Transcribe a recording of any length.

    Args:
        model: gives the log-probabilities.
        decoder: turns those of each stretch into hypotheses.
        blocks: the samples of the recording, at the model's rate.
        audio: what it is called.
        seconds: its length as far as it is known, for the progress bar.
        batch_seconds: most seconds of the windows that a GPU recognizes together.
        threads: how many batches are recognized at once on a CPU.
        journal: what of it was done before, and gets what is done now.

    Raises:
        AudioError: while the blocks are read.
    """
    rate = model.sample_rate
    done = list(journal.done) if journal else []
    end, shared = (done[-1].end, done[-1].shared) if done else (0, 0)
    if end:
        progress.write(f"{audio}: goes on at {timedelta(seconds=end // rate)}", sys.stderr)
    for group in recognized(model, blocks, audio, seconds, batch_seconds, threads, end, shared):
        for each, hypotheses in zip(group, decode(decoder, group), strict=True):
            length, pauses = len(each.waveform) / rate, find_pauses(each.waveform, rate)
            made = to_transcript(hypotheses, model.tokenizer, model.frame_shift, audio, length, pauses)
            done.append(Done(each.start, each.end, each.shared, made))
            if journal:
                journal.add(done[-1])
    parts = [(each.start / rate, each.transcript) for each in done]
    return joined(audio, done[-1].end / rate if done else 0.0, parts)


def recognized(
    model: SpeechModel,
    blocks: Iterable[Waveform],
    audio: str,
    seconds: float,
    batch_seconds: float = 120.0,
    threads: int = 1,
    end: int = 0,
    shared: int = 0,
) -> Iterator[list[Stretch]]:
    """Run a recording through the model by `stretches`, in batches that suit the device, and show a bar.

    `audio` is what the recording is called, `seconds` its length as far as it is known, both for the bar;
    `batch_seconds` is for a GPU and `threads` for a CPU, as in `transcribe`, and the rest is that of `stretches`.
    """
    rate, on_cpu = model.sample_rate, model.device.type == "cpu"
    # On a CPU a batch of one is the fastest below eight: its recurrent products are matrix times vector.
    batch = 1 if on_cpu else max(1, int(batch_seconds // LONGEST))
    workers = threads if on_cpu else 1
    shown = threading.current_thread() is threading.main_thread()  # those of a server's threads would mix
    with progress.bar(audio, round(seconds), "second", shown, end // rate) as bar:
        for group in stretches(model, blocks, batch, workers, end, shared):
            yield group
            bar.update(group[-1].end // rate - bar.n if group else 0)
            give_back()


def decode(decoder: Decoder, group: list[Stretch]) -> list[list[Hypothesis]]:
    """Decode stretches together."""
    if not group:
        return []
    lengths = torch.tensor([len(each.log_probs) for each in group])
    return decoder(
        torch.nn.utils.rnn.pad_sequence([each.log_probs for each in group], batch_first=True), lengths
    )


def joined(audio: str, duration: float, parts: Iterable[tuple[float, Transcript]]) -> Transcript:
    """Put the transcripts of stretches together, each with the second at which it begins.

    Scores add up. Alternatives are left out: those of a stretch are none of the whole.
    """
    texts, words, tokens, score = list[str](), list[Word](), list[str](), 0.0
    sums: dict[str, float] = {}
    for start, each in parts:
        texts += [each.text] if each.text else []
        words += each.shifted(start).words
        tokens += each.tokens
        score += each.score
        for name, value in each.parts.items():
            sums[name] = sums.get(name, 0.0) + value
    return Transcript(audio, " ".join(texts), words, score, duration, sums, [], tokens)

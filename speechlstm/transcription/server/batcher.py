"""Waveforms of all requests go through the models in batches of similar length."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from speechlstm.model.tokenizer import Tokenizer
from speechlstm.transcription.batches import SpeechModel, begin_thread
from speechlstm.transcription.memory import give_back

_LEAST = 6  # waveforms of a batch on a CPU, where two or three take longer together than one by one
_MOST = 32  # waveforms of a batch; more take as long for each
_GIVE_BACK = 1.0  # seconds after which freed memory goes back to the system
_SPREAD = 1.5  # the longest of a batch by the shortest: the rest is padding


@dataclass(frozen=True, eq=False, slots=True)
class _Waveform:
    model: SpeechModel
    samples: Tensor
    log_probs: Future[Tensor] = field(default_factory=Future)


class Batcher:
    """Runs waveforms from any thread through models, those that wait together.

    The waveform that has waited longest goes first, and with it those of its model and about its length. On a CPU it
    goes alone if they are few.

    Args:
        batch_seconds: most seconds of audio in a batch, padding included.
        threads: batches that run at once.
        taken: is given the number of waveforms in each batch.
    """

    def __init__(
        self,
        batch_seconds: float = 120.0,
        threads: int = 1,
        taken: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._batch_seconds, self._taken = batch_seconds, taken
        self._waiting: list[_Waveform] = []
        self._changed = threading.Condition()
        self._closed = False
        self._given_back = 0.0  # when, in seconds of the monotonic clock
        self._threads = [
            threading.Thread(target=self._work, name="batcher", daemon=True) for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, model: SpeechModel, samples: Tensor) -> Future[Tensor]:
        """Run `(samples,)` through a model; the future holds the log-probabilities `(frames, vocab)`."""
        waveform = _Waveform(model, samples)
        with self._changed:
            self._waiting.append(waveform)
            self._changed.notify()
        return waveform.log_probs

    def waiting(self) -> int:
        """Return how many waveforms wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Run what has been submitted, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            self._taken(len(batch))
            begin_thread(batch[0].model.device)
            _run(batch)
            if time.monotonic() > self._given_back + _GIVE_BACK:  # otherwise it grows for hours
                self._given_back = time.monotonic()
                give_back()

    def _take(self) -> list[_Waveform]:
        """Wait for waveforms, and take a batch of them; an empty one at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch = self._batch() if self._waiting else []
            self._waiting = [each for each in self._waiting if each not in batch]
            return batch

    def _batch(self) -> list[_Waveform]:
        first = self._waiting[0]
        size = len(first.samples)
        most = self._batch_seconds * first.model.sample_rate
        batch, shortest, longest = [first], size, size
        alike = [each for each in self._waiting[1:] if each.model is first.model]
        for each in sorted(alike, key=lambda each: abs(len(each.samples) - size)):
            shortest, longest = min(shortest, len(each.samples)), max(longest, len(each.samples))
            full = len(batch) == _MOST or longest * (len(batch) + 1) > most
            if full or longest > _SPREAD * shortest:
                break
            batch.append(each)
        few = first.model.device.type == "cpu" and len(batch) < _LEAST
        return [first] if few else batch


def _run(batch: list[_Waveform]) -> None:
    """Run a batch; if it fails, each alone, so that whichever it was harms no other."""
    try:
        lengths = torch.tensor([len(each.samples) for each in batch])
        padded = torch.nn.utils.rnn.pad_sequence([each.samples for each in batch], batch_first=True)
        log_probs, frames = batch[0].model.log_probs(padded, lengths)
        for each, row, length in zip(batch, log_probs, frames.tolist(), strict=True):
            each.log_probs.set_result(row[:length].clone())  # keeps nothing of the others
    except Exception as error:
        if len(batch) == 1:
            batch[0].log_probs.set_exception(error)
            return
        for each in batch:
            _run([each])


class SharedModel:
    """A model whose callers in all threads share batches: a `SpeechModel`.

    Args:
        model: computes.
        batcher: makes the batches.
    """

    def __init__(self, model: SpeechModel, batcher: Batcher) -> None:
        self._model, self._batcher = model, batcher

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def tokenizer(self) -> Tokenizer:
        """Whose ids the columns of the log-probabilities are."""
        return self._model.tokenizer

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms."""
        return self._model.sample_rate

    @property
    def frame_shift(self) -> float:
        """Seconds from one frame of log-probabilities to the next."""
        return self._model.frame_shift

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._model.device

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, samples)` and lengths to `(batch, frames, vocab)` and lengths."""
        rows = zip(waveforms, lengths.tolist(), strict=True)
        found = [self._batcher.submit(self._model, row[:length]) for row, length in rows]
        made = [each.result() for each in found]
        padded = torch.nn.utils.rnn.pad_sequence(made, batch_first=True)
        return padded, torch.tensor([len(each) for each in made])

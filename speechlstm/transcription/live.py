"""Live transcription: final words stay, the rest is shown as partial text.

Encoders that read in both directions have no state to carry on, so they recognize the last seconds again and again,
each time with more audio; a decoder works on the last words again with any encoder. A word is final once two
recognitions in a row agree on it and on all before it (Liu et al., Interspeech 2020: local agreement), a second later,
or at a pause. If the decoder has a second pass, what becomes final is what that makes of it. Final words are never
taken back: of each recognition only what comes after them counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.data.audio import too_loud
from speechlstm.decoders import Decoder
from speechlstm.model.settings import Within, check_argument
from speechlstm.transcription.batches import SpeechModel
from speechlstm.transcription.boundaries import find_pauses
from speechlstm.transcription.transcript import Word, to_transcript
from speechlstm.types import UsageError

CONTEXT = 3.0  # seconds before the first word that is not final which are recognized again
AGAIN = 3  # final words before the others that are decoded again, for the language model
LONGEST = 20.0  # seconds that are recognized at once: where two recognitions never agree, the first half becomes final
EDGE = 0.06  # seconds after a frame that convolutions and windows need, so that a chunk is not missed by so little
LAG = 0.2  # seconds after its end before which a word is not final
LIMIT = (
    1.1  # seconds after its end at which it is final by the next step, whether or not two recognitions agree
)
SETTLED = 0.4  # the least seconds after its end from which that is so, with long steps

_Seconds = Annotated[float, Within(0, 3600, (False, True))]


# Maps the last seconds of live speech, `(samples,)`, the number of their first sample, and whether the speech ends
# with them, to the log-probabilities from there on, `(frames, vocab)`, as far as they can be told.
Live = Callable[[Tensor, int, bool], Tensor]


class LiveSpeechModel(SpeechModel, Protocol):
    """What can recognize live speech: a `Recognizer`."""

    def live(self) -> Live:
        """Begin the speech of one speaker."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a stretch of live speech has brought.

    Attributes:
        time: seconds of audio so far.
        words: those that have become final, with times from the beginning.
        partial: text after them that may still change.
        endpoint: whether the speaker has paused, so that a new line may begin.
    """

    time: float
    words: list[Word] = field(default_factory=list)
    partial: str = ""
    endpoint: bool = False


class Stream:
    """Recognizes live speech: `accept` blocks of it, and `finish`.

    Args:
        model: gives the log-probabilities.
        decoder: turns them into hypotheses.
        step: seconds of audio between two recognitions.
        pause: seconds without a word that make an endpoint.

    Raises:
        UsageError: `step` or `pause` is not a number above 0.
    """

    def __init__(
        self, model: LiveSpeechModel, decoder: Decoder, step: float = 0.32, pause: float = 0.8
    ) -> None:
        for name, value in (("step", step), ("pause", pause)):
            check_argument(name, value, _Seconds)
        self.model, self.decoder, self.pause = model, decoder, pause
        self._step = max(1, round(step * model.sample_rate))
        self._settled = max(SETTLED, LIMIT - step)
        self._frame = round(model.frame_shift * model.sample_rate)
        self._model = model.live()
        self._held = np.zeros(0, np.float32)
        self._start = self._end = 0  # samples of what is held
        self._line = (
            0  # sample in the last pause, or at one of the last final words, from which the decoder begins
        )
        self._next = self._step + round(EDGE * model.sample_rate)  # sample at which to ask the model again
        self._at = 0  # sample up to which words were recognized
        self._before: list[str] = []  # words not final in the recognition before
        self._last = Word("", 0.0, 0.0, 1.0)  # the last final one
        self._heard = ""  # what the first pass took it for
        self._begins: list[float] = []  # of the last final words of the line
        self._spoken = False  # since the last endpoint
        self._finished = False

    def accept(self, samples: NDArray[np.float32]) -> Iterator[Update]:
        """Take `(samples,)` at the model's rate, full scale 1, and yield what each step brings.

        Raises:
            UsageError: it is no such array, or the stream is finished.
        """
        if self._finished:
            raise UsageError("the stream is finished, so it takes no more samples; begin another")
        if not isinstance(samples, np.ndarray) or samples.ndim != 1 or samples.dtype != np.float32:
            kind = getattr(samples, "dtype", type(samples).__name__)
            raise UsageError(
                f"samples of shape {np.shape(samples)} and type {kind}, but must be an array (samples,) of float32"
            )
        if not np.isfinite(samples).all():
            raise UsageError(
                "samples that are not finite (NaN or infinity), but must be numbers with full scale 1"
            )
        if fault := too_loud(samples):
            raise UsageError(f"samples: {fault}")
        while len(samples):
            block, samples = np.split(samples, [self._next - self._end])
            self._held = np.concatenate((self._held, block))
            self._end += len(block)
            if self._end == self._next:
                self._next += self._step
                yield from self._recognize(last=False)

    def finish(self) -> Update:
        """Return the words that were not final, which they are now."""
        self._finished = True
        (update,) = self._recognize(last=True)
        return update

    def _recognize(self, last: bool) -> Iterator[Update]:
        """Yield what is new up to where the model has come, in steps; with look-ahead it comes by several at once."""
        held, start = self._held, self._start
        if last and self._end < 2 * self._frame:
            log_probs = torch.zeros(0, 0)
        else:
            log_probs = self._model(torch.from_numpy(held), start, last)
        ready = self._end if last else min(self._end, start + len(log_probs) * self._frame)
        steps = 1 if last else -(-max(0, ready - self._at) // self._step)
        for left in reversed(range(steps)):
            self._at = ready - left * self._step
            read = (self._at - start) // self._frame + 1 if left else None
            yield self._update(self._words(held[: self._at - start], start, log_probs[:read]), last)

    def _update(self, passes: Iterator[list[Word]], last: bool) -> Update:
        """Decide which of the words that were recognized up to `self._at` are final.

        The decoder's first pass says up to where; further passes, which take long, are for what is final, and say what
        it is.
        """
        rate, begun = self.model.sample_rate, self._last.end
        now = self._at / rate
        words = [word for word in next(passes, []) if self._follows(word)]
        quiet = now - words[-1].end if words else now - self._last.end
        endpoint = last or quiet >= self.pause
        late = now - LONGEST / 2 if now - self._start / rate > LONGEST else 0.0
        final = 0
        for index, word in enumerate(words):
            agreed = self._before[: index + 1] == [each.text for each in words[: index + 1]]
            settled = (agreed and word.end <= now - LAG) or word.end <= now - self._settled
            if endpoint or settled or word.end <= late:
                final = index + 1
        done, heard = words[:final], words[:final]
        until = math.inf if endpoint else done[-1].end if done else 0.0
        for better in passes if done else ():
            done = [word for word in better if self._follows(word) and (word.start + word.end) / 2 <= until]
        if done:
            self._last, self._heard, self._spoken = done[-1], heard[-1].text, True
        rest = [] if endpoint else [word for word in words[final if done else 0 :] if self._follows(word)]
        self._before = [word.text for word in rest]
        ended, self._spoken = endpoint and self._spoken, self._spoken and not endpoint
        self._begins = [] if endpoint else [*self._begins, *(word.start for word in done)][-AGAIN:]
        begin = now - self.pause / 2 if endpoint else min(self._begins, default=0.0)
        self._line = max(self._line, self._whole(begin))
        self._trim(now if endpoint else rest[0].start if rest else self._last.end, late)
        # This recognition may give a word a little of what another has given to the one before it.
        new = [replace(word, start=max(word.start, begun)) for word in done]
        return Update(self._end / rate, new, " ".join(self._before), ended)

    def _words(self, held: NDArray[np.float32], start: int, log_probs: Tensor) -> Iterator[list[Word]]:
        """Decode what is held from a sample on, in the passes of the decoder."""
        rate, before = self.model.sample_rate, max(self._line - start, 0)  # what lies before is context
        seconds, shift = (len(held) - before) / rate, self.model.frame_shift
        if seconds < 2 * shift:
            return
        skipped = before / rate
        pauses = [
            (max(begin - skipped, 0.0), end - skipped)
            for begin, end in find_pauses(held, rate)
            if end > skipped
        ]
        for found in self.decoder.passes(log_probs[before // self._frame :]):
            made = to_transcript(found, self.model.tokenizer, shift, "live", seconds, pauses)
            yield made.shifted((start + before) / rate).words

    def _follows(self, word: Word) -> bool:
        """Whether a word comes after the last final one, whose times may differ a little in another recognition."""
        same = word.text in (self._last.text, self._heard)
        again = same and word.start < (self._last.start + self._last.end) / 2
        return (word.start + word.end) / 2 > self._last.end and not again

    def _trim(self, needed: float, late: float) -> None:
        """Let go of what lies long before a second that is still needed, in whole frames."""
        cut = self._whole(max(needed, late) - CONTEXT) - self._start
        if cut > 0:
            self._held, self._start = self._held[cut:], self._start + cut

    def _whole(self, seconds: float) -> int:
        """Return the sample at which the encoder's frame of a second begins."""
        return int(seconds * self.model.sample_rate) // self._frame * self._frame

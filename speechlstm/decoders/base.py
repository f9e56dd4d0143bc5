"""The base class of decoders: a search over CTC log-probabilities whose input and output are checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.decoders.faults import fault
from speechlstm.decoders.labels import Labels
from speechlstm.model import registry
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.model.tokenizer.base import encodable
from speechlstm.types import DecoderError, Hypothesis, SpeechlstmError, counted

# Of a frame's log total probability: lets bfloat16 pass, but neither logits nor probabilities.
TOLERANCE = 0.05


class Decoder:
    """Searches CTC log-probabilities for the most likely token sequences.

    A decoder of one's own derives from this, takes `tokenizer` and its settings as keywords, and writes `decode`, or
    `decode_batch` if it works on whole batches or on a GPU; one of them is enough. What it raises, and what it
    returns, is looked at by the call: a fault is reported with the name of the decoder and the version of the package
    it came from.

    Args:
        tokenizer: whose ids the columns of the log-probabilities are; column 0 is the blank.
    """

    columns: Sequence[int] | None = None  # of `from_labels`: where each of our ids is in the caller's order

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__call__ is not Decoder.__call__:
            raise TypeError(
                f"{cls.__qualname__} overrides __call__, which checks what comes and goes; override decode_batch"
            )
        if cls.decode is Decoder.decode and cls.decode_batch is Decoder.decode_batch:
            raise TypeError(f"{cls.__qualname__} has neither decode nor decode_batch; write one of them")

    @classmethod
    def from_labels(cls, labels: Sequence[str], blank: int = 0, **params: Any) -> Self:
        """Make a decoder for the log-probabilities of another toolkit.

        Hypotheses then have the ids of that toolkit.

        Args:
            labels: the token of each column. A space or `|` between words, or `▁` where a word begins, is understood.
            blank: column of the blank; `len(labels)` if it comes after the labels.
            **params: the decoder's own settings.

        Raises:
            UsageError: labels that are no labels, or a label that cannot be the blank.

        Examples:
            >>> import torch
            >>> from speechlstm.decoders.greedy import GreedyDecoder
            >>> decoder = GreedyDecoder.from_labels(["a", "b", "|"], blank=3)
            >>> decoder(torch.eye(4)[[0, 2, 1, 3]].log())[0][0].text
            'a b'
        """
        tokenizer = Labels(labels, blank)
        decoder = cls(tokenizer=tokenizer, **params)
        decoder.columns = tokenizer.columns
        return decoder

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance.

        Args:
            log_probs: `(frames, vocab)` normalized natural logs, float32 on the CPU, without padding.

        Returns:
            At least one hypothesis, best first.
        """
        return self.decode_batch(log_probs[None], torch.tensor([len(log_probs)]))[0]

    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch that has been checked; without an override, each utterance by `decode`.

        Args:
            log_probs: `(batch, frames, vocab)` normalized natural logs on any device and of any floating type; what
                lies past a length is anything.
            lengths: `(batch,)` int64 on the CPU, frames of each utterance.

        Returns:
            For each utterance its hypotheses, best first.
        """
        rows = log_probs.to("cpu", torch.float32)
        return [self.decode(row[:length]) for row, length in zip(rows, lengths.tolist(), strict=True)]

    def decode_passes(self, log_probs: Tensor) -> Iterator[list[Hypothesis]]:
        """Decode one utterance in passes, each better and slower than the one before, for live speech.

        Without an override there is one pass.

        Args:
            log_probs: `(frames, vocab)` that have been checked, as in a row of `decode_batch`.

        Yields:
            what each pass finds, best first; the last one what `decode` does. Who does not ask for a pass saves it.
        """
        yield self.decode_batch(log_probs[None], torch.tensor([len(log_probs)]))[0]

    @final
    def __call__(self, log_probs: Any, lengths: Any = None) -> list[list[Hypothesis]]:
        """Decode a padded batch, or one utterance.

        Args:
            log_probs: `(batch, frames, vocab)` normalized natural logs, a tensor on any device or a NumPy array; what
                lies past a length is ignored. `(frames, vocab)` is a batch of one.
            lengths: `(batch,)` frames of each utterance; None: all of them.

        Returns:
            For each utterance its hypotheses with their texts, best first.

        Raises:
            DecoderError: the log-probabilities are not what they should be, or the decoder failed.
        """
        log_probs, lengths = self._taken(log_probs, lengths)
        with self._blamed():
            return self._given(self.decode_batch(log_probs, lengths), lengths)

    @final
    def passes(self, log_probs: Any) -> Iterator[list[Hypothesis]]:
        """Decode one utterance `(frames, vocab)` by `decode_passes`, with the checks of a call.

        Raises:
            DecoderError: the log-probabilities are not what they should be, or the decoder failed.
        """
        log_probs, lengths = self._taken(log_probs, None)
        with self._blamed():
            for found in self.decode_passes(log_probs[0]):
                yield self._given([found], lengths)[0]

    def _taken(self, log_probs: Any, lengths: Any) -> tuple[Tensor, Tensor]:
        """Return the arguments of a call as a checked batch."""
        if not hasattr(self, "tokenizer"):
            raise DecoderError(
                f"{self.origin} has no tokenizer; its __init__ must call super().__init__(tokenizer)"
            )
        log_probs = torch.as_tensor(log_probs).detach()
        if log_probs.ndim == 2:
            log_probs = log_probs[None]
        if self.columns is not None and log_probs.shape[-1] == len(self.columns):
            log_probs = log_probs[..., list(self.columns)]
        full = log_probs.shape[1:2] * len(log_probs) if log_probs.ndim else ()
        lengths = torch.as_tensor(list(full) if lengths is None else lengths, dtype=torch.int64).cpu()
        self.check(log_probs, lengths)
        return log_probs, lengths

    def _given(self, found: Any, lengths: Tensor) -> list[list[Hypothesis]]:
        """Check what has been found, and return it with its texts."""
        self.check_found(found, lengths)
        return [[self._finished(each) for each in hypotheses] for hypotheses in found]

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Report what fails with the name of the decoder."""
        try:
            yield
        except (SpeechlstmError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # whatever foreign code may raise, SystemExit too
            raise DecoderError(f"{self.origin} failed: {type(error).__name__}: {error}") from error

    @property
    def origin(self) -> str:
        """Name, package and version, for messages."""
        return registry.origin_of("decoder", type(self))

    def _finished(self, hypothesis: Hypothesis) -> Hypothesis:
        """Return a hypothesis with its text, and with the ids that the caller knows."""
        if hypothesis.text is None:
            hypothesis = replace(hypothesis, text=self.tokenizer.decode(hypothesis.tokens))
        if not encodable(hypothesis.text or ""):
            raise DecoderError(
                f"{self.origin} returned the text {hypothesis.text!r}, which has half a surrogate pair in it"
            )
        if self.columns is not None:
            hypothesis = replace(hypothesis, tokens=[self.columns[token] for token in hypothesis.tokens])
        return hypothesis

    def check(self, log_probs: Tensor, lengths: Tensor) -> None:
        """Raise a DecoderError unless the batch has normalized log-probabilities of the tokenizer's ids."""
        if log_probs.ndim != 3 or lengths.shape != log_probs.shape[:1]:
            got = f"{tuple(log_probs.shape)} and {tuple(lengths.shape)}"
            raise DecoderError(
                f"decoding takes log_probs (batch, frames, vocab) and lengths (batch,), but got {got}"
            )
        batch, frames, vocab = log_probs.shape
        if vocab != len(self.tokenizer):
            raise DecoderError(
                f"log_probs are of {counted(vocab, 'token')}, but the tokenizer has {len(self.tokenizer)}"
            )
        if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= frames:
            raise DecoderError(
                f"lengths {lengths.tolist()} must lie between 0 and the {frames} frames of log_probs"
            )
        totals = log_probs.detach().float().logsumexp(-1)  # (batch, frames), 0 when normalized
        inside = torch.arange(frames, device=totals.device) < lengths.to(totals.device)[:, None]
        wrong = ~(totals.abs() <= TOLERANCE) & inside  # true for NaN as well
        if bool(wrong.any()):
            row, frame = (int(index) for index in wrong.nonzero()[0])
            unlike = "are not normalized natural logarithms"
            what = "are NaN" if bool(totals[row, frame].isnan()) else unlike
            raise DecoderError(
                f"log_probs {what} at frame {frame} of utterance {row} of the batch"
                f" (logarithm of the total probability is {float(totals[row, frame]):.3g}, not 0;"
                " log_softmax makes it so)"
            )

    def check_found(self, found: Any, lengths: Tensor) -> None:
        """Raise a DecoderError unless each utterance has hypotheses of which the best can be used.

        The others are left to the decoder's own tests, because looking at all of a long list would cost more
        time than some searches.
        """
        if not isinstance(found, list) or len(found) != len(lengths):
            what = f"{len(found)} results" if isinstance(found, list) else f"a {type(found).__name__}"
            raise DecoderError(
                f"{self.origin} returned {what} for a batch of {counted(len(lengths), 'utterance')}"
            )
        for row, (hypotheses, frames) in enumerate(zip(found, lengths.tolist(), strict=True)):
            if not isinstance(hypotheses, list):
                problem = f"a {type(hypotheses).__name__}, but must return a list of hypotheses"
            elif not hypotheses:
                problem = "no hypothesis, but must return at least an empty one"
            else:
                problem = fault(hypotheses[0], frames, len(self.tokenizer))
            if problem:
                raise DecoderError(f"{self.origin} returned for utterance {row} of the batch {problem}")

    def align(self, log_probs: Tensor, tokens: list[int], text: str | None = None) -> Hypothesis:
        """Make the hypothesis of tokens whose frames and probability the search does not tell.

        Each token covers its frames on the most likely alignment. The score is the natural logarithm of the
        probability of all alignments together (Graves et al. 2006, equation 8).

        Args:
            log_probs: `(frames, vocab)` as `decode` gets them.
            tokens: ids without blanks, which fit into the frames.
            text: the text, when the decoder works in words.
        """
        if not tokens:
            score = float(log_probs[:, 0].sum())
            return Hypothesis([], [], [], score, [], text)
        from torchaudio.functional import forced_align  # takes half a second to import

        floored = log_probs.clamp(min=-1e4)  # sums of it are finite, and no real alignment comes close
        targets = torch.tensor([tokens], dtype=torch.int32)
        path, path_scores = forced_align(floored[None], targets)
        lengths = torch.tensor([len(log_probs)]), torch.tensor([len(tokens)])
        loss = torch.nn.functional.ctc_loss(floored[:, None], targets, *lengths, reduction="sum")
        return replace(collapse(path_scores[0].numpy(), path[0].numpy()), score=-float(loss), text=text)


def collapse(scores: NDArray[np.floating[Any]], path: NDArray[np.integer[Any]]) -> Hypothesis:
    """Make the hypothesis of an alignment: repeats are joined, blanks left out.

    Args:
        scores: `(frames,)` natural logarithm of each frame's probability; their sum is the score, and a
            token's confidence the mean probability of its frames.
        path: `(frames,)` token or blank of each frame.
    """
    starts = np.flatnonzero(np.diff(path, prepend=-1))  # of runs of equal tokens, the blank's too
    ends = np.append(starts[1:], len(path))
    sums = np.concatenate([[0.0], np.cumsum(np.exp(scores, dtype=np.float64))])
    kept = path[starts] != 0
    starts, ends = starts[kept], ends[kept]
    return Hypothesis(
        tokens=path[starts].tolist(),
        starts=starts.tolist(),
        ends=ends.tolist(),
        score=float(scores.sum(dtype=np.float64)),
        confidences=np.clip((sums[ends] - sums[starts]) / (ends - starts), 0.0, 1.0).tolist(),
    )

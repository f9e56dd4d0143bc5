"""What every decoder is: a search over CTC log-probabilities, one utterance at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from operator import le, lt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import DecoderError, Hypothesis, SpeechlstmError

TOLERANCE = (
    0.05  # of a frame's log total probability: lets bfloat16 pass, but neither logits nor probabilities
)

_Search = Callable[["Decoder", Tensor, Tensor], list[list[Hypothesis]]]


def _guarded(search: _Search) -> _Search:
    """Make whatever goes wrong inside a search an error that names the decoder and its package."""

    @wraps(search)
    def guarded(decoder: Decoder, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        try:
            found = search(decoder, log_probs, lengths)
            decoder.check_found(found, lengths)
        except SpeechlstmError:
            raise
        except Exception as error:  # whatever foreign code may raise
            raise DecoderError(f"{decoder.origin} failed: {type(error).__name__}: {error}") from error
        return found

    return guarded


class Decoder(ABC):
    """Searches CTC log-probabilities for the most likely token sequences.

    A decoder of one's own derives from this, takes `tokenizer` and its parameters as keywords, and writes
    `decode`. What it raises, and what it returns, is looked at by the call: a fault is reported with the name
    of the decoder and the version of the package it came from.

    Args:
        tokenizer: whose ids the columns of the log-probabilities are; column 0 is the blank.
    """

    origin: str  # name, package and version, for messages; `create` knows them

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.origin = f"decoder {cls.__qualname__} of {cls.__module__}"
        if "__call__" in vars(cls):  # the search of a batch-wise decoder is guarded like the one below
            cls.__call__ = _guarded(cls.__call__)  # type: ignore[method-assign]

    @abstractmethod
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance.

        Args:
            log_probs: `(frames, vocab)` normalised natural logs, float32 on the CPU, without padding.

        Returns:
            At least one hypothesis, best first.
        """

    @_guarded
    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch; a decoder that works on batches overrides this.

        Args:
            log_probs: `(batch, frames, vocab)` normalised natural logs on any device; what lies past a
                length is ignored.
            lengths: `(batch,)` frames of each utterance.

        Returns:
            For each utterance its hypotheses, best first.

        Raises:
            DecoderError: the log-probabilities are not what they should be, or the decoder failed.
        """
        self.check(log_probs, lengths)
        rows = log_probs.detach().to("cpu", torch.float32)
        return [self.decode(row[:length]) for row, length in zip(rows, lengths.tolist(), strict=True)]

    def check(self, log_probs: Tensor, lengths: Tensor) -> None:
        """Raise a DecoderError unless the batch has normalised log-probabilities of the tokenizer's ids."""
        if log_probs.ndim != 3 or lengths.shape != log_probs.shape[:1]:
            got = f"{tuple(log_probs.shape)} and {tuple(lengths.shape)}"
            raise DecoderError(
                f"decoding takes log_probs (batch, frames, vocab) and lengths (batch,), but got {got}"
            )
        batch, frames, vocab = log_probs.shape
        if vocab != len(self.tokenizer):
            raise DecoderError(
                f"log_probs are of {vocab} tokens, but the tokenizer has {len(self.tokenizer)}"
            )
        if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= frames:
            raise DecoderError(
                f"lengths {lengths.tolist()} must lie between 0 and the {frames} frames of log_probs"
            )
        totals = log_probs.detach().float().logsumexp(-1)  # (batch, frames), 0 when normalised
        inside = torch.arange(frames, device=totals.device) < lengths.to(totals.device)[:, None]
        wrong = ~(totals.abs() <= TOLERANCE) & inside  # true for NaN as well
        if bool(wrong.any()):
            row, frame = (int(index) for index in wrong.nonzero()[0])
            what = "are NaN" if bool(totals[row, frame].isnan()) else "are not normalised natural logarithms"
            raise DecoderError(
                f"log_probs {what} at frame {frame} of utterance {row} of the batch"
                f" (logarithm of the total probability is {float(totals[row, frame]):.3g}, not 0)"
            )

    def check_found(self, found: Any, lengths: Tensor) -> None:
        """Raise a DecoderError unless each utterance has hypotheses of which the best can be used.

        The others are left to the decoder's own tests, because looking at all of a long list would cost more
        time than some searches.
        """
        if not isinstance(found, list) or len(found) != len(lengths):
            what = f"{len(found)} results" if isinstance(found, list) else f"a {type(found).__name__}"
            raise DecoderError(f"{self.origin} returned {what} for a batch of {len(lengths)} utterances")
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


def fault(found: Any, frames: int, vocab: int) -> str:
    """Return what makes a hypothesis unusable, or nothing.

    Args:
        found: what a decoder returned as a hypothesis.
        frames: of the utterance.
        vocab: tokens, the blank included.
    """
    if not isinstance(found, Hypothesis):
        return f"a {type(found).__name__}, but must return a Hypothesis"
    tokens, starts, ends, confidences = found.tokens, found.starts, found.ends, found.confidences
    if not len(tokens) == len(starts) == len(ends) == len(confidences):
        each = f"{len(tokens)} tokens, {len(starts)} starts, {len(ends)} ends, {len(confidences)} confidences"
        return f"{each}, but there must be one of each for each token"
    if not isinstance(found.score, float | int) or math.isnan(found.score):
        return f"the score {found.score!r}, but it must be a number"
    text: Any = found.text
    if not (text is None or isinstance(text, str)):
        return f"the text {text!r}, but it must be a string or None"
    if not tokens:
        return ""
    if not 0 < min(tokens) <= max(tokens) < vocab:
        return (
            f"tokens from {min(tokens)} to {max(tokens)}, but they go from 1 to {vocab - 1}; 0 is the blank"
        )
    ordered = all(map(lt, starts, ends)) and all(map(le, ends, starts[1:]))
    if not (ordered and starts[0] >= 0 and ends[-1] <= frames):
        return (
            f"tokens that start at frames {starts[:8]} and end at {ends[:8]} of {frames}, but they must follow"
            " each other, start < end <= next start"
        )
    if not (min(confidences) >= 0 and max(confidences) <= 1 + 1e-4 and not math.isnan(sum(confidences))):
        return f"confidences {confidences[:8]}, but they must lie between 0 and 1"
    return ""

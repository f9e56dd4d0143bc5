"""Whether the search or the model is to blame: the score of the reference against that of the hypothesis.

A search looks for the text with the highest score. If the reference has a higher score than the hypothesis, the
search missed it, and a wider beam or another decoder can help. If the hypothesis has the higher score, the model
prefers the wrong text, and no search can help (Chase, "Blame assignment for errors made by large vocabulary speech
recognizers", Eurospeech 1997).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.decoders.base import Decoder
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.transcription.align import forced_alignment
from speechlstm.transcription.batches import SpeechModel, recognize
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, Hypothesis, SpeechlstmError, Utterance

_CERTAIN = 1e-30  # what is left of each frame's probability for all other tokens, where a search is led
_TOLERANCE = 1e-3  # natural log: decoders add float32


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the hypothesis of an utterance is wrong."""

    # `"search"`: the reference has a higher score than the hypothesis, but the search missed it; `"model"`:
    # the hypothesis has the higher score; `"unreachable"`: no search gives the reference, because it has
    # characters that the recognizer cannot write, more tokens than fit into the frames, or words that the
    # decoder rules out
    kind: Literal["search", "model", "unreachable"]
    # scores of reference and hypothesis by the recognizer alone: the probability of all alignments, natural
    # log; None for a reference that has none
    ctc: tuple[float | None, float]
    total: tuple[float | None, float]  # the same with what the decoder adds, such as a language model


def examine(
    bundle: SpeechModel,
    decoder: Decoder,
    utterances: Sequence[Utterance],
    batch_seconds: float = 120.0,
    threads: int = 1,
    claim: Callable[[], int] | None = None,
    strict_audio: bool = False,
) -> Iterator[tuple[int, Transcript | AudioError, Cause | None]]:
    """Transcribe utterances as `speechlstm.transcription.recognizer.transcribe` does, and find the cause of each error.

    Arguments as in `speechlstm.transcription.batches.recognize`.

    Yields:
        `(index in utterances, transcript or the reason why there is none, cause of its errors if it has any)`.

    Raises:
        UsageError: `batch_seconds` or `threads` is no positive number.
    """
    for batch in recognize(bundle, utterances, batch_seconds, threads, claim, strict_audio):
        for index, failure in batch.failures:
            yield index, failure, None
        decoded = decoder(batch.log_probs, batch.lengths) if batch.recordings else []
        for recording, hypotheses in zip(batch.recordings, decoded, strict=True):
            index, made = recording.index, recording.transcript(hypotheses, bundle)
            reference = bundle.tokenizer.normalize(utterances[index].text)
            cause = None
            if made.text.split() != reference.split():
                log_probs = recording.log_probs.float().cpu()
                cause = find_cause(log_probs, decoder, bundle.tokenizer, reference, hypotheses[0])
            yield index, made, cause


def find_cause(
    log_probs: Tensor, decoder: Decoder, tokenizer: Tokenizer, reference: str, hypothesis: Hypothesis
) -> Cause:
    """Compare the scores of a reference and of a hypothesis that differs from it.

    What the decoder adds to the CTC score of a text is what it says of the text where no frame leaves a doubt: its
    score of log-probabilities that are certain of the text's best alignment. That needs nothing of a decoder but that
    its score is the sum of an acoustic part and of its own knowledge. The reference is normalized, and `log_probs` are
    `(frames, vocab)` natural logs, float32 on the CPU.
    """
    texts = [(hypothesis.tokens, _best_path(log_probs, hypothesis.tokens))]
    with contextlib.suppress(SpeechlstmError):  # what cannot be written, or does not fit into the frames
        tokens = tokenizer.encode(reference) if reference else []
        texts.append((tokens, _best_path(log_probs, tokens)))
    scores = [ctc_score(log_probs, tokens) for tokens, _ in texts]
    certain = torch.stack([_certain(path, log_probs.shape[1]) for _, path in texts])
    led = [best for best, *_ in decoder(certain, torch.tensor([len(log_probs)] * len(texts)))]
    totals = [score + one.score for score, one in zip(scores, led, strict=True)]
    if len(texts) < 2:
        return Cause("unreachable", (None, scores[0]), (None, totals[0]))
    ctc, total = (scores[1], scores[0]), (totals[1], totals[0])
    if not math.isfinite(scores[1]) or (led[1].text != reference and led[1].tokens != texts[1][0]):
        return Cause("unreachable", ctc, (None, totals[0]))
    return Cause("search" if totals[1] > totals[0] + _TOLERANCE else "model", ctc, total)


def ctc_score(log_probs: Tensor, tokens: Sequence[int]) -> float:
    """Return the natural log of the probability of all alignments of some tokens (Graves et al. 2006, equation 8)."""
    if not tokens:
        return float(log_probs[:, 0].double().sum())
    rows, targets = log_probs.double()[:, None], torch.tensor([list(tokens)])
    sizes = torch.tensor([len(log_probs)]), torch.tensor([len(tokens)])
    return -float(torch.nn.functional.ctc_loss(rows, targets, *sizes, reduction="sum"))


def _best_path(log_probs: Tensor, tokens: list[int]) -> NDArray[np.int64]:
    """Return the token or blank of each frame `(frames,)` on the most likely alignment."""
    aligned, _ = forced_alignment(log_probs.numpy(), tokens)
    path = np.zeros(len(log_probs), np.int64)
    for token, start, end in zip(tokens, aligned.starts, aligned.ends, strict=True):
        path[start:end] = token
    return path


def _certain(path: NDArray[np.int64], vocab: int) -> Tensor:
    """Return `(frames, vocab)` log-probabilities that leave no doubt of a path."""
    rows = torch.full((len(path), vocab), math.log(_CERTAIN / max(vocab - 1, 1)))
    rows[torch.arange(len(path)), torch.from_numpy(path)] = math.log1p(-_CERTAIN)
    return rows

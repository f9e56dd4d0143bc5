"""CTC forced alignment: the time of each word and token of a known text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.audio import AudioInput, audio_name
from speechlstm.decoders.compiled import compiled
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.transcription import formats as transcripts
from speechlstm.transcription import subtitles
from speechlstm.transcription.batches import Recognized, SpeechModel, recognize
from speechlstm.transcription.textgrid import textgrid
from speechlstm.transcription.transcript import Transcript, Word
from speechlstm.types import Hypothesis, SpeechlstmError, Utterance, counted

MISSING = 5.0  # natural log that a token without speech costs at least, on average, beside a blank


@dataclass(frozen=True, slots=True)
class Alignment:
    """A known text in its audio.

    Attributes:
        transcript: the text and its words with times in seconds and confidences; the score is that of the best path,
            natural log.
        scores: for each word the mean log-probability of a frame from its first token to its last, natural log.
        tokens: for each word its tokens with times in seconds and mean probabilities.
        missing: words at the end of the text for which there is no speech.
    """

    transcript: Transcript
    scores: list[float]
    tokens: list[list[Word]]
    missing: list[str]


def align(
    model: SpeechModel,
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
    known: list[tuple[int, str, str, list[int]]] = []
    audio: list[AudioInput | Utterance] = []
    for index, given in enumerate(inputs):
        one, text = (given, given.text) if isinstance(given, Utterance) else given
        name = given.id if isinstance(given, Utterance) else audio_name(given[0])
        try:
            tokens = model.tokenizer.encode(text)
            if not tokens:
                raise SpeechlstmError("there is no text to align")
        except SpeechlstmError as error:
            yield index, SpeechlstmError(f"{name}: {error}")
            continue
        known.append((index, name, model.tokenizer.normalize(text), tokens))
        audio.append(one)
    for batch in recognize(model, audio, batch_seconds, threads, None, strict_audio):
        for position, failure in batch.failures:
            yield known[position][0], failure
        for recording in batch.recordings:
            index, name, text, tokens = known[recording.index]
            try:
                yield index, _align(model, recording, text, tokens)
            except SpeechlstmError as error:
                yield index, SpeechlstmError(f"{name}: {error}")


def _align(model: SpeechModel, recording: Recognized, text: str, tokens: list[int]) -> Alignment:
    """Align one recording that went through the model."""
    words = model.tokenizer.words(tokens)
    log_probs = recording.log_probs.float().cpu().numpy()
    best, path = forced_alignment(log_probs, tokens, [0, *(end for _, _, end in words), len(tokens)])
    placed = sum(end <= len(best.tokens) for _, _, end in words)
    if words and not placed:
        raise SpeechlstmError(
            f"no speech for its {counted(len(words), 'word')}; does the text belong to this audio?"
        )
    spelled = text.split()
    if placed < len(words):
        text = " ".join(
            spelled[:placed] if len(spelled) == len(words) else [word for word, _, _ in words[:placed]]
        )
    made = recording.transcript([replace(best, text=text)], model)
    missing = [word for word, _, _ in words[placed:]]
    return _details(made, best, path, missing, model.tokenizer, model.frame_shift)


def forced_alignment(
    log_probs: NDArray[np.float32], tokens: Sequence[int], ends: Sequence[int] = ()
) -> tuple[Hypothesis, NDArray[np.float64]]:
    """Find the most likely CTC path that spells the tokens (Graves et al. 2006, by Viterbi instead of summing).

    Args:
        log_probs: `(frames, vocab)` natural logs; column 0 is the blank.
        tokens: ids without blanks.
        ends: how many tokens may be enough: the text is cut there if the rest costs more than `MISSING` a token.

    Returns:
        the tokens with their frames and the path's log-probability as score; and the log-probability of each frame on
        the path, `(frames,)`.

    Raises:
        SpeechlstmError: a token is not in the vocabulary, or no path spells the tokens.
    """
    frames, vocab = log_probs.shape
    ids = np.asarray(tokens, np.int64)
    if wrong := [token for token in tokens if not 0 < token < vocab]:
        raise SpeechlstmError(
            f"token {wrong[0]} cannot be aligned: ids go from 1 to {vocab - 1}, 0 is the blank"
        )
    repeats = int((ids[1:] == ids[:-1]).sum())  # each needs a blank before it
    if frames < (1 if ends else max(len(ids) + repeats, 1)):
        raise SpeechlstmError(
            f"{counted(frames, 'frame')} cannot hold {counted(len(ids), 'token')}, "
            f"which need {max(len(ids) + repeats, 1)};"
            " does the text belong to this audio?"
        )
    enough = np.asarray(ends or [len(ids)], np.int64)
    states, score = _viterbi(np.ascontiguousarray(log_probs, np.float32), ids, enough, MISSING)
    if not np.isfinite(score):
        raise SpeechlstmError(
            f"no path spells {counted(len(ids), 'token')}: the log-probabilities are infinite or NaN"
        )
    ids = ids[: (int(states[-1]) + 1) // 2]
    places, spoken = states // 2, states % 2 == 1
    path = log_probs[np.arange(frames), np.where(spoken, np.append(ids, 0)[places], 0)].astype(np.float64)
    starts = np.searchsorted(states, 2 * np.arange(len(ids)) + 1)
    stops = np.searchsorted(states, 2 * np.arange(len(ids)) + 1, side="right")
    sums = np.concatenate([[0.0], np.cumsum(np.exp(path))])
    confidences = np.clip((sums[stops] - sums[starts]) / (stops - starts), 0.0, 1.0)
    found = Hypothesis(ids.tolist(), starts.tolist(), stops.tolist(), score, confidences.tolist())
    return found, path


@compiled
def _viterbi(
    log_probs: NDArray[np.float32], tokens: NDArray[np.int64], ends: NDArray[np.int64], missing: float
) -> tuple[NDArray[np.int64], float]:
    """Return the best path `(frames,)` and its log-probability; state 2i + 1 is token i, even ones are blanks.

    It ends after one of the numbers of tokens in `ends`; each token that is left out costs `missing`.
    """
    frames, count = len(log_probs), len(tokens)
    states = 2 * count + 1
    moves = np.empty((frames, states), np.uint8)  # how many states each frame's best path came up
    least = max(2 * ends[0] - 1, 0)  # first state that a path may end in
    best = np.full(states, -np.inf)
    best[0] = log_probs[0, 0]
    if count:
        best[1] = log_probs[0, tokens[0]]
    for frame in range(1, frames):
        # Only states that the first frame reaches and that reach the last one; downwards, so `best` can be overwritten.
        for state in range(min(states, 2 * frame + 2) - 1, max(0, least - 2 * (frames - 1 - frame)) - 1, -1):
            score, move = best[state], 0
            if state > 0 and best[state - 1] > score:
                score, move = best[state - 1], 1
            token = 0
            if state % 2:
                token = tokens[state // 2]
                if state > 1 and token != tokens[state // 2 - 1] and best[state - 2] > score:
                    score, move = best[state - 2], 2
            best[state] = score + log_probs[frame, token]
            moves[frame, state] = move
    last, most = states - 1, -np.inf
    for end in ends[::-1]:
        for state in range(2 * end, max(2 * end - 2, -1), -1):
            value = best[state] - missing * (count - end)
            if value > most or (value == most and state == 2 * end - 1 and end == ends[-1]):
                last, most = state, value
    path = np.empty(frames, np.int64)
    state = last
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        if frame:
            state -= moves[frame, state]
    return path, best[last]


def _details(
    transcript: Transcript,
    found: Hypothesis,
    path: NDArray[np.float64],
    missing: list[str],
    tokenizer: Tokenizer,
    frame_shift: float,
) -> Alignment:
    """Add what a transcript does not hold: scores of words, and tokens, which meet halfway between their frames."""
    scores: list[float] = []
    tokens: list[list[Word]] = []
    spans = [(first, end) for _, first, end in tokenizer.words(found.tokens)]
    for word, (first, end) in zip(transcript.words, spans, strict=True):
        scores.append(float(path[found.starts[first] : found.ends[end - 1]].mean()))
        frames = zip(found.ends[first : end - 1], found.starts[first + 1 : end], strict=True)
        inner = [(last - 1 + following) / 2 * frame_shift for last, following in frames]
        edges = [word.start, *(min(max(edge, word.start), word.end) for edge in inner), word.end]
        tokens.append(
            [
                Word(tokenizer.tokens[found.tokens[index]], start, stop, found.confidences[index])
                for index, (start, stop) in zip(range(first, end), pairwise(edges), strict=True)
            ]
        )
    return Alignment(transcript, scores, tokens, missing)


def to_json(alignment: Alignment) -> str:
    """Return everything as one line of JSON: seconds, scores in natural log."""
    made = alignment.transcript
    words = [
        transcripts.as_entry(word)
        | {"score": transcripts.finite(score), "tokens": [transcripts.as_entry(token) for token in tokens]}
        for word, score, tokens in zip(made.words, alignment.scores, alignment.tokens, strict=True)
    ]
    document = {"audio": made.audio, "duration": round(made.duration, 3), "text": made.text}
    document |= {"score": transcripts.finite(made.score), "words": words}
    document |= {"missing": alignment.missing} if alignment.missing else {}
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def to_textgrid(alignment: Alignment) -> str:
    """Return a Praat TextGrid with two tiers, `words` and `tokens`."""
    tokens = [token for word in alignment.tokens for token in word]
    tiers = {"words": alignment.transcript.words, "tokens": tokens}
    return textgrid(alignment.transcript.duration, tiers)


FORMATS: dict[str, Callable[[Alignment], str]] = {
    "TextGrid": to_textgrid,
    "json": to_json,
    "ctm": lambda alignment: transcripts.to_ctm(alignment.transcript),
    "srt": lambda alignment: subtitles.to_srt(alignment.transcript),
    "vtt": lambda alignment: subtitles.to_vtt(alignment.transcript),
    "ass": lambda alignment: subtitles.to_ass(alignment.transcript),
    "labels": lambda alignment: transcripts.to_labels(alignment.transcript),
}

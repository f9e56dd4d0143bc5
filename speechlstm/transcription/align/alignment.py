"""The words of a text in their audio: from a path to times in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby, pairwise, zip_longest

import numpy as np

from speechlstm.model.tokenizer import Tokenizer, Words
from speechlstm.transcription.align.paths import Path
from speechlstm.transcription.align.texts import WrittenWord
from speechlstm.transcription.boundaries import Span, at_least, spike, word_times
from speechlstm.transcription.transcript import Transcript, Word

_APART = 0.5  # seconds between two stretches of speech that is not in the text; those that are closer are one
_GUESSED = (
    1.0  # seconds of speech that is not in the text which a character may stand for that cannot be spelled
)
_WORDLIKE = 0.6  # share of the tokens of a word of the text that such a stretch has at least


@dataclass(frozen=True, slots=True)
class Missing:
    """Words of a text in a row for which there is no speech, and the second at which it should be."""

    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """A known text in its audio.

    Attributes:
        transcript: the words of the text as they are written, with times in seconds and confidences; those that cannot
            be spelled with the model's tokens have what their neighbors leave, and a confidence of 0. The score is that
            of the best path, natural log.
        scores: for each word the mean log-probability of a frame from its first token to its last, natural log; NaN for
            one that cannot be spelled.
        tokens: for each word its tokens with times in seconds and mean probabilities.
        missing: words of the text for which there is no speech.
        extra: start and end in seconds of speech that is not in the text.
    """

    transcript: Transcript
    scores: list[float]
    tokens: list[list[Word]]
    missing: list[Missing] = field(default_factory=list)
    extra: list[Span] = field(default_factory=list)

    def of(self, origin: float, warnings: list[str]) -> Alignment:
        """Return the alignment as that of a recording that begins at a second, with warnings of what it lacks."""
        return replace(
            self,
            transcript=replace(self.transcript, warnings=warnings).shifted(origin),
            tokens=[
                [replace(each, start=each.start + origin, end=each.end + origin) for each in word]
                for word in self.tokens
            ],
            missing=[replace(each, at=each.at + origin) for each in self.missing],
            extra=[(start + origin, end + origin) for start, end in self.extra],
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A word of a text on a path.

    Attributes:
        word: the word.
        first, after: its first token on the path and the one after its last.
    """

    word: WrittenWord
    first: int
    after: int


def place(words: Sequence[WrittenWord], separator: int | None) -> list[Placed]:
    """Return where the tokens of each word are among those of `paths.word_alignment`."""
    sizes = [max(len(word.ids), 1) for word in words]
    starts = accumulate((size + (separator is not None) for size in sizes), initial=0)
    return [
        Placed(word, start, start + size) for word, size, start in zip(words, sizes, starts, strict=False)
    ]


def assemble(
    placed: Sequence[Placed],
    path: Path,
    tokenizer: Tokenizer,
    frame_shift: float,
    audio: str,
    duration: float,
    pauses: Sequence[Span],
) -> Alignment:
    """Give the words of a text the times of their tokens.

    Args:
        placed: the words.
        path: the path, of the whole recording.
        tokenizer: whose tokens they are.
        frame_shift: seconds from one frame to the next.
        audio: what the recording is called.
        duration: its length in seconds.
        pauses: stretches of it without speech, in seconds.
    """
    path = _guessed(placed, path, frame_shift)
    times = _times(placed, path, isinstance(tokenizer, Words), frame_shift, duration, pauses)
    words, scores, tokens, missing = list[Word](), list[float](), list[list[Word]](), list[Missing]()
    for is_there, group in groupby(zip(placed, times, strict=True), lambda pair: pair[1] is not None):
        if not is_there:
            lost = " ".join(text for each, _ in group for text in each.word.texts)
            missing.append(Missing(lost, words[-1].end if words else 0.0))
            continue
        for each, span in group:
            if span is None:
                continue
            made, details = _word(each, span, path, tokenizer, frame_shift)
            words += made
            scores += [_score(each, path)] * len(made)
            tokens += details
    text = " ".join(word.text for word in words)
    spelled = [tokenizer.tokens[index] for each in placed for index in each.word.ids]
    transcript = Transcript(audio, text, words, path.score, duration, tokens=spelled)
    return Alignment(transcript, scores, tokens, missing, _extra(placed, path, frame_shift, duration))


def longest_guess(word: WrittenWord) -> float:
    """Return the most seconds of speech that a word which cannot be spelled may stand for."""
    return _GUESSED * sum(map(len, word.texts))


def _guessed(placed: Sequence[Placed], path: Path, frame_shift: float) -> Path:
    """Give the words that cannot be spelled the speech beside them that is not in the text, if it is not too long."""
    starts, ends, extra = path.starts.copy(), path.ends.copy(), path.extra.copy()
    for each, following in zip_longest(placed, placed[1:]):
        if each.word.ids:
            continue
        left = ends[each.first - 1] if each.first else 0
        right = starts[following.first] if following else len(extra)
        near = left + np.flatnonzero(extra[left:right])
        if not len(near):
            continue
        is_heard = ends[each.first] > starts[each.first]
        first = min(near[0], starts[each.first]) if is_heard else near[0]
        after = max(near[-1] + 1, ends[each.first]) if is_heard else near[-1] + 1
        if (after - first) * frame_shift <= longest_guess(each.word):
            starts[each.first], ends[each.first] = first, after
            extra[first:after] = False
    return replace(path, starts=starts, ends=ends, extra=extra)


def _times(
    placed: Sequence[Placed],
    path: Path,
    whole: bool,
    frame_shift: float,
    duration: float,
    pauses: Sequence[Span],
) -> list[Span | None]:
    """Return start and end of each word in seconds, None for those without speech, or without room for it."""
    spoken = [index for index, each in enumerate(placed) if path.ends[each.first] > path.starts[each.first]]
    spikes, letters = list[Span](), list[float]()
    for index in spoken:
        each = placed[index]
        spikes.append(spike(int(path.starts[each.first]), int(path.ends[each.after - 1]), frame_shift))
        letters.append(max(len(each.word.spoken), 1) / (each.after - each.first))
    found = dict(zip(spoken, word_times(spikes, letters, whole, duration, pauses), strict=True))
    there = [index for index, each in enumerate(placed) if index in found or not each.word.ids]
    for position, index in enumerate(there):
        if index not in found:  # one that cannot be spelled and is not heard, either: between its neighbors
            start = found[there[position - 1]][1] if position else 0.0
            later = next((found[other][0] for other in there[position + 1 :] if other in found), duration)
            found[index] = (start, later)
    spans = dict(zip(there, at_least([found[index] for index in there], frame_shift, duration), strict=True))
    crowded = {
        index
        for index, (start, end) in spans.items()
        if end - start < len(placed[index].word.texts) * frame_shift / 2  # more words than can have been said
    }
    return [None if index in crowded else spans.get(index) for index in range(len(placed))]


def _word(
    each: Placed, span: Span, path: Path, tokenizer: Tokenizer, frame_shift: float
) -> tuple[list[Word], list[list[Word]]]:
    """Return a word with its tokens, which meet halfway between their frames; or the words that cannot be spelled."""
    start, end = span
    if not each.word.ids:
        shares = np.cumsum([0, *(len(text) for text in each.word.texts)])
        edges: list[float] = (start + shares / shares[-1] * (end - start)).tolist()
        pairs = zip(each.word.texts, pairwise(edges), strict=True)
        guesses = [Word(text, *between, 0.0) for text, between in pairs]
        return guesses, [[] for _ in guesses]
    inside = range(each.first, each.after)
    inner = [(path.ends[index] - 1 + path.starts[index + 1]) / 2 * frame_shift for index in inside[:-1]]
    edges = [start, *(min(max(float(edge), start), end) for edge in inner), end]
    tokens = [
        Word(tokenizer.tokens[token], *between, float(path.confidences[index]))
        for token, index, between in zip(each.word.ids, inside, pairwise(edges), strict=True)
    ]
    (text,) = each.word.texts
    return [Word(text, start, end, min(token.confidence for token in tokens))], [tokens]


def _score(each: Placed, path: Path) -> float:
    if not each.word.ids:
        return float("nan")
    return float(path.log_probs[path.starts[each.first] : path.ends[each.after - 1]].mean())


def _extra(placed: Sequence[Placed], path: Path, frame_shift: float, duration: float) -> list[Span]:
    """Return the stretches of speech that is not in the text, if they are as long as words, within the audio."""
    edges = np.flatnonzero(np.diff(path.extra, prepend=False, append=False)).reshape(-1, 2).tolist()
    groups: list[list[list[int]]] = []
    for first, after in edges:
        near = groups and (first - groups[-1][-1][1]) * frame_shift < _APART
        if near and not ((path.starts >= groups[-1][-1][1]) & (path.starts < first)).any():
            groups[-1].append([first, after])
        else:
            groups.append([[first, after]])
    sizes = [len(each.word.ids) for each in placed if each.word.ids]
    least = max(2.0, _WORDLIKE * sum(sizes) / max(len(sizes), 1))  # a single spike may be noise
    kept = [group for group in groups if len(group) >= least]
    return [(group[0][0] * frame_shift, min(group[-1][1] * frame_shift, duration)) for group in kept]

"""Start and end of words, from the spikes of CTC, which emits a token in a frame or two after its sound has begun.

Two words without a pause between them share a boundary: shortly before the first spike of the second word, but no
nearer to the first word than halfway between their spikes. A piece of a word is emitted after it has been spoken, a
whole word at its onset, so whole words have a shorter lead. The last spike of a word is followed by the time that its
token's letters take. A pause, which is a stretch with little energy, ends the word before it, unless the word would be
far longer, and starts the word after it. The constants were chosen on LibriSpeech's dev-sample, where those chosen on
three speakers do as well on the fourth, and on joined recordings of digits: `benchmarks/word_times.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAD = 0.08  # seconds from the onset of a word to its first spike, if tokens are pieces of words
WHOLE_LEAD = 0.02  # the same, if tokens are whole words
REACH = 0.12  # seconds that a token may go on after its spike, for each of its letters
WHOLE_LETTERS = 3  # letters that a whole word counts for at least: also a spelled letter is a syllable
MAX_LEAD = 0.25  # seconds of sound between a pause and a spike that belong to the word
MIN_PAUSE = 0.1  # seconds; the closure of a plosive is shorter
INSIDE = 0.05  # seconds: a spike this far into a pause came before its word

_ROUNDING = 1e-6  # seconds: times that differ by less are the same
_STEP = 0.01  # seconds of a level
_QUIET = 0.2  # how far up from the background to the loud levels, in decibels, a pause may reach
_BACKGROUND, _LOUD = 5, 95  # percentiles of the levels of a recording
_AUDIBLE = 80.0  # decibels below the loud levels; what lies lower is digital silence, not the background

Span = tuple[float, float]  # start and end in seconds


def find_pauses(waveform: NDArray[np.float32], sample_rate: int) -> list[Span]:
    """Return the stretches without speech: those with little energy, measured by the recording's own levels.

    Args:
        waveform: `(samples,)`.
        sample_rate: Hz.

    Returns:
        start and end in seconds of each, in order; none is shorter than `MIN_PAUSE`.
    """
    step = max(round(_STEP * sample_rate), 1)
    count = len(waveform) // step
    if not count:
        return []
    power = np.square(waveform[: count * step], dtype=np.float64).reshape(count, step).mean(axis=1)
    power = np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    levels = 10 * np.log10(power + 1e-15)
    loud = np.percentile(levels, _LOUD)
    background = np.percentile(levels[levels > loud - _AUDIBLE], _BACKGROUND)
    quiet = levels < background + _QUIET * (loud - background)
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False)).reshape(-1, 2)
    seconds = np.minimum(edges, count) * step / sample_rate
    if len(edges) and edges[-1, 1] == count:
        seconds[-1, 1] = len(waveform) / sample_rate  # the samples after the last whole step
    return [(start, end) for start, end in seconds.tolist() if end - start >= MIN_PAUSE]


def spike(start: int, end: int, frame_shift: float) -> Span:
    """Return when the first frame of a word begins and its last one ends, the middle of a frame each, in seconds.

    Args:
        start: its first frame.
        end: the frame after its last.
        frame_shift: seconds from one frame to the next; frame t is centered at t times as much.
    """
    return start * frame_shift, (end - 1) * frame_shift


def at_least(spans: Sequence[Span], least: float, duration: float) -> list[Span]:
    """Give words that are shorter than `least` seconds that length, from their neighbors where need be.

    Args:
        spans: start and end of each word, in order, without overlap.
        least: seconds; less if the audio cannot hold so many words.
        duration: seconds of audio.
    """
    least = min(least, duration / max(len(spans), 1))
    made: list[Span] = []
    for start, end in spans:
        start = max(start, made[-1][1] if made else 0.0)
        made.append((start, max(end, start + least)))
    limit = duration
    for index in range(len(made) - 1, -1, -1):
        start, end = made[index]
        if end <= limit:
            break
        made[index] = (max(min(start, limit - least), 0.0), limit)  # which rounding may leave a little below
        limit = made[index][0]
    return made


def word_times(
    spikes: Sequence[Span],
    letters: Sequence[float],
    whole: bool,
    duration: float,
    pauses: Sequence[Span] = (),
) -> list[Span]:
    """Widen the spikes of words to when they begin and end.

    Args:
        spikes: for each word when its first spike begins and its last one ends, the middle of a frame each, in
            seconds; in order.
        letters: for each word the letters of one of its tokens, on average.
        whole: each token is a word, not a piece of one.
        duration: seconds of audio.
        pauses: stretches without speech, in seconds, in order; see `find_pauses`.

    Returns:
        start and end of each word in seconds: in order, without overlap, within the audio.
    """
    begins, ends = [start for start, _ in pauses], [end for _, end in pauses]
    lead = WHOLE_LEAD if whole else LEAD
    found: list[Span] = []
    start = 0.0  # of the word before the gap
    for index in range(len(spikes) + 1):  # the gap before each word, and after the last one
        left = max(spikes[index - 1][1], start) if index else 0.0
        right = min(spikes[index][0], duration) if index < len(spikes) else duration
        boundary = right
        if index < len(spikes):
            boundary = max(right - lead, (left + right) / 2 if index else 0.0)
        # Pauses that end after the spike on the left and begin well before the one on the right.
        near = pauses[bisect_right(ends, left) : bisect_left(begins, max(right - INSIDE, _ROUNDING))]
        begin = boundary
        if near and index < len(spikes):
            resumed = near[-1][1]
            following = spikes[index + 1][0] if index + 1 < len(spikes) else duration
            if resumed <= right:
                begin = max(resumed, right - MAX_LEAD)
            elif resumed < min(following, duration) - _ROUNDING:
                begin = resumed
        if index:
            reach = REACH * max(letters[index - 1], WHOLE_LETTERS if whole else 1)
            stop = min(boundary, left + reach)
            if near and left < near[0][0] < left + 2 * reach:
                stop = near[0][0]
            found.append((start, min(stop, begin)))
        start = begin
    return found

"""Silence before, after, and within the speech."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from speechlstm.training.augment.noise import colored
from speechlstm.training.augment.waveform import Change, Samples, Span, rms

_BLOCK = 0.02  # seconds over which a level is measured
_SHORTEST = 0.15  # seconds; what is shorter may be the closure of a plosive within a word
_BELOW = 25.0  # dB below the loudest block that a pause lies at least
_ABOVE_NOISE = 10.0  # dB that it lies at most above the quietest tenth of the blocks
_SHORT = 2.0  # seconds of an utterance whose pauses may be as long as those of one of this length
_EDGE = 0.1  # seconds of speech that a pause at any quiet moment leaves on either side
_KINDS = ("zeros", "zeros", "zeros", "own", "own", "own", "hum", "tone")  # of a pause, equally likely


class Silence(Change):
    """Puts pauses before, after and into an utterance: digital zeros, the recording's own noise, hum, or a tone.

    A recognizer that has never been given a pause spells something in it, or loses the words around it. A pause within
    the utterance makes one longer that is there, so that no word is split; where there is none, as in spelled letters
    that run into one another, one of the quietest moments may be taken for it with a probability of `tight`. One that
    has never been given a recording without speech spells something in noise: `alone` takes the speech away. Pauses
    come on top of `data.batch_seconds`, which counts the recordings without them: `most` bounds what that can be.
    """

    def __init__(
        self,
        sample_rate: int,
        seconds: Span = (0.1, 1.0),
        most: float = 0.3,
        inside: float = 0.3,
        probability: float = 0.2,
        alone: float = 0.01,
        tight: float = 0.0,
    ) -> None:
        super().__init__(probability)
        self.sample_rate, self.seconds, self.most, self.inside = sample_rate, seconds, most, inside
        self.alone, self.tight = alone, tight

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform with its pauses, longer than before."""
        wanted = [rng.random() < chance for chance in (2 / 3, self.inside, 2 / 3)]  # before, within, after
        cut = self._pause(waveform, rng) if wanted[1] else None
        lengths = np.where(wanted, rng.uniform(*self.seconds, 3), 0.0) * self.sample_rate
        if cut is None:
            lengths[1], cut = 0.0, len(waveform)
        bound = self.most * max(len(waveform), _SHORT * self.sample_rate)
        lengths *= min(1.0, bound / max(lengths.sum(), 1.0))
        before, within, after = (self._sound(waveform, int(length), rng) for length in lengths)
        return np.concatenate([before, waveform[:cut], within, waveform[cut:], after])

    def instead(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return a sound as long as the waveform: as in its pauses, or noise, hum, or a tone of any level."""
        count, kind = len(waveform), rng.random()
        if kind < 0.5:
            return self._sound(waveform, count, rng)
        if kind < 0.75:
            sound = colored(count, rng)
            return sound * np.float32(10 ** rng.uniform(-3, -1) / max(rms(sound), 1e-9))
        sound = (hum if kind < 0.875 else tone)(self.sample_rate, count, rng)
        return sound * np.float32(10 ** rng.uniform(-2.5, -0.4))

    def _sound(self, waveform: Samples, count: int, rng: np.random.Generator) -> Samples:
        """Return `(count,)` of what a pause of this recording may sound like."""
        kind = rng.choice(_KINDS)
        if not count or kind == "zeros":
            return np.zeros(count, np.float32)
        blocks = self._blocks(waveform)
        levels = np.sqrt(np.square(blocks).mean(axis=1))
        sound = noise_like(blocks[levels <= np.quantile(levels, 0.1)], count, rng)
        if kind != "own":
            loud = levels.max() * 10 ** -rng.uniform(1.0 if kind == "hum" else 0.25, 2.5)
            sound = sound + (hum if kind == "hum" else tone)(self.sample_rate, count, rng) * np.float32(loud)
        return sound

    def _blocks(self, waveform: Samples) -> Samples:
        """Return a waveform cut into `(blocks, samples)`."""
        block = min(round(_BLOCK * self.sample_rate), len(waveform))
        blocks: Samples = waveform[: len(waveform) // block * block].reshape(-1, block)
        return blocks

    def _pause(self, waveform: Samples, rng: np.random.Generator) -> int | None:
        """Return the middle of a pause between two stretches of speech, or a quiet moment, or None."""
        blocks = self._blocks(waveform)
        levels = 10 * np.log10(np.square(blocks).mean(axis=1).clip(1e-10))
        quiet = levels < min(float(np.quantile(levels, 0.1)) + _ABOVE_NOISE, levels.max() - _BELOW)
        edges = np.flatnonzero(np.diff(quiet)) + 1  # blocks with which speech begins or ends
        pauses = [
            (end + start) // 2 * blocks.shape[1]
            for end, start in pairwise(edges)
            if quiet[end] and (start - end) * _BLOCK >= _SHORTEST
        ]
        if pauses:
            return int(rng.choice(pauses))
        return self._quiet_moment(blocks, levels, rng) if self.tight and rng.random() < self.tight else None

    def _quiet_moment(self, blocks: Samples, levels: Samples, rng: np.random.Generator) -> int | None:
        """Return the middle of one of the quietest tenth of the blocks between the first and the last speech."""
        spoken, edge = np.flatnonzero(levels > levels.max() - _BELOW), round(_EDGE / _BLOCK)
        inside = np.arange(spoken[0] + edge, spoken[-1] + 1 - edge)
        if len(inside) == 0:
            return None
        quietest = inside[levels[inside] <= np.quantile(levels[inside], 0.1)]
        return int((rng.choice(quietest) + 0.5) * blocks.shape[1])


def noise_like(blocks: Samples, count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of noise with the mean spectrum of blocks `(blocks, samples)` of a recording, and its level."""
    window = np.hanning(blocks.shape[1] + 2)[1:-1]
    power = np.square(np.abs(np.fft.rfft(blocks * window))).mean(axis=0) / np.square(window).sum()
    size = 1 << max(count - 1, 1).bit_length()
    white = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    places = np.linspace(0, 1, len(white))
    color = np.interp(places, np.linspace(0, 1, len(power)), np.sqrt(power))
    return np.fft.irfft(white * color, size)[:count].astype(np.float32)


def hum(sample_rate: int, count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of what the mains leave in a recording: 50 or 60 Hz and overtones, root mean square 1."""
    overtones = np.arange(1, 9)
    phases = 2 * np.pi * rng.choice((50, 60)) / sample_rate * np.outer(overtones, np.arange(count))
    strengths = rng.random(len(overtones)) / overtones
    strengths *= np.sqrt(2 / np.square(strengths).sum())
    tones = np.sin(phases + rng.uniform(0, 2 * np.pi, (len(overtones), 1)))
    sound: Samples = (strengths @ tones).astype(np.float32)
    return sound


def tone(sample_rate: int, count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of one or two steady tones, as of telephones and test signals, root mean square 1."""
    high = 0.45 * sample_rate
    frequencies = np.exp(rng.uniform(np.log(100), np.log(high), rng.integers(1, 3)))
    phases = 2 * np.pi / sample_rate * np.outer(frequencies, np.arange(count))
    tones = np.sin(phases + rng.uniform(0, 2 * np.pi, (len(frequencies), 1)))
    sound: Samples = (tones.sum(axis=0) * np.sqrt(2 / len(frequencies))).astype(np.float32)
    return sound

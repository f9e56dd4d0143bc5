"""Reverberation of a room."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlstm.data.audio import load_audio
from speechlstm.training.augment.noise import recordings
from speechlstm.training.augment.waveform import Change, Samples, Span, rms


class Reverb(Change):
    """Convolves a waveform with the impulse response of a room, without a delay and at the level it had.

    Raises:
        UsageError: there are no recordings.
        AudioError: recordings that cannot be read.
    """

    def __init__(
        self,
        sample_rate: int,
        folder: str | None = None,
        rt60: Span = (0.1, 0.6),
        drr: Span = (-3.0, 12.0),
        probability: float = 0.3,
    ) -> None:
        super().__init__(probability)
        self.sample_rate, self.rt60, self.drr = sample_rate, rt60, drr
        self.files = None if folder is None else recordings("reverb.folder", folder)

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform as it sounds in a room.

        Raises:
            AudioError: a recorded response cannot be read.
        """
        if self.files is None:
            response = simulated(self.sample_rate, rng.uniform(*self.rt60), rng.uniform(*self.drr), rng)
        else:
            response = recorded(self.files[int(rng.integers(len(self.files)))][0], self.sample_rate)
        return in_room(waveform, response)


def in_room(waveform: Samples, response: Samples) -> Samples:
    """Return `(samples,)`, the waveform convolved with an impulse response, cut off at its end, at the level it had."""
    size = 1 << (len(waveform) + len(response) - 1).bit_length()
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(response, size)
    echoed = np.fft.irfft(spectrum, size)[: len(waveform)].astype(np.float32)
    level = rms(echoed)
    return echoed * np.float32(rms(waveform) / level) if level else waveform


def simulated(sample_rate: int, rt60: float, drr: float, rng: np.random.Generator) -> Samples:
    """Return an impulse response after the statistical model: the direct sound, then noise that dies away.

    Polack: La transmission de l'énergie sonore dans les salles, thesis, 1988. The image method would place the first
    echoes as a shoebox room does; here they begin at random, 1 to 10 ms after the direct sound. Its echoes fall by 60
    dB in `rt60` seconds, and the direct sound has `drr` dB more energy than all of them.
    """
    time = np.arange(max(2, round(1.2 * rt60 * sample_rate))) / sample_rate  # until 72 dB below the first
    echoes = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60)
    delay = max(1, min(round(rng.uniform(0.001, 0.01) * sample_rate), len(time) - 1))
    echoes[:delay] = 0
    echoes *= 10 ** (-drr / 20) / np.sqrt(np.square(echoes).sum())
    echoes[0] = 1
    return echoes.astype(np.float32)


def recorded(path: Path, sample_rate: int) -> Samples:
    """Return a response from a file's first channel, from its direct sound, the largest sample, on."""
    # The mean of several microphones would be a comb filter.
    response = load_audio(path, sample_rate, channel=0)
    return response[int(np.abs(response).argmax()) :]

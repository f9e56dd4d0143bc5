"""Background noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlstm.data import progress
from speechlstm.data.audio import audio_info, load_audio, search
from speechlstm.data.names import expanded
from speechlstm.training.augment.waveform import Change, Samples, Span, rms
from speechlstm.types import AudioError, UsageError

Recording = tuple[Path, float]  # and its length in seconds


class Noise(Change):
    """Adds a recording from a folder, or noise of a random color, at a random distance below the speech.

    The mean power of the waveform counts with its pauses. Without a folder the power of the noise falls with frequency
    as 1 / f^c, c drawn evenly from 0 (white) to 2 (brown).

    Raises:
        UsageError: there are no recordings.
        AudioError: recordings that cannot be read.
    """

    def __init__(
        self,
        sample_rate: int,
        folder: str | None = None,
        snr: Span = (0.0, 20.0),
        probability: float = 0.5,
    ) -> None:
        super().__init__(probability)
        self.sample_rate, self.snr = sample_rate, snr
        self.files = None if folder is None else recordings("noise.folder", folder)

    def apply(self, waveform: Samples, rng: np.random.Generator) -> Samples:
        """Return the waveform with noise.

        Raises:
            AudioError: a recording cannot be read.
        """
        snr = rng.uniform(*self.snr)
        count = len(waveform)
        noise = colored(count, rng) if self.files is None else self._excerpt(self.files, count, rng)
        loud, level = rms(waveform), rms(noise)
        if loud == 0 or level == 0:
            return waveform
        return waveform + noise * np.float32(loud / level * 10 ** (-snr / 20))

    def _excerpt(self, files: list[Recording], count: int, rng: np.random.Generator) -> Samples:
        path, there = files[int(rng.integers(len(files)))]
        seconds = count / self.sample_rate
        if there > seconds:
            noise = load_audio(path, self.sample_rate, rng.uniform(0, there - seconds), seconds)
            return np.resize(noise, count)  # resampling may give one sample more or less
        return np.resize(np.roll(load_audio(path, self.sample_rate), rng.integers(2**31)), count)


def recordings(name: str, folder: str) -> list[Recording]:
    """Return the audio files in a folder and below, sorted, each with its length in seconds.

    Raises:
        UsageError: there is none.
        AudioError: some cannot be read; better now than in the middle of a training.
    """
    place = expanded(folder)
    paths = search(place).files
    if not paths:
        raise UsageError(f"augment: {name} is {folder}, where there is no audio file")
    readable: list[Recording] = []
    problems: list[AudioError] = []
    for path in progress.track(paths, f"looking through {name}", unit="file"):
        try:
            readable.append((path, audio_info(path).duration))
        except AudioError as error:
            problems.append(error)
    if problems:
        raise AudioError(
            f"{problems[0]} ({len(problems)} of {len(paths)} audio files of augment: {name}={folder} cannot be read)"
        )
    return readable


def colored(count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of noise whose power falls with frequency as 1 / f^c, c from 0 to 2."""
    size = 1 << (count - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    frequency = np.arange(len(spectrum), dtype=np.float32).clip(1)
    noise = np.fft.irfft(spectrum * frequency ** np.float32(-rng.uniform(0, 2) / 2), size)
    return noise[:count].astype(np.float32)

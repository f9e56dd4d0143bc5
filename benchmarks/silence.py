r"""What silence and noise around and inside utterances cost, and how many words are inserted where nobody speaks.

    python benchmarks/silence.py an4=data/an4/dev.jsonl fsdd=data/fsdd/dev.jsonl [bundle=FOLDER] \
        [seconds=1,10] [every=3]

Each utterance gets digital zeros, or noise with the level and spectrum of the recording's quietest moments: before it,
after it, on both sides, and 3 s of it between two words. A cell is the greedy word error rate in percent; `every` takes
only so much of each manifest. The last lines count the words that the model writes for ten minutes of digital zeros,
white and brown noise, hum, and the recordings' own noise, 30 s at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation.metrics import corpus
from speechlstm.transcription.recognizer import Recognizer

Samples = NDArray[np.float32]
BATCH_SECONDS = 120.0
PLACES = {"before": (1, 0), "after": (0, 1), "both": (1, 1)}
WINDOW = 0.02  # seconds of the moments that noise is made of
BETWEEN = 3.0  # seconds of a pause between words


def own_noise(waveform: Samples, rate: int, count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of noise with the mean spectrum of the quietest tenth of the recording's moments."""
    size = round(WINDOW * rate)
    moments = np.lib.stride_tricks.sliding_window_view(waveform, size)[:: size // 4]
    levels = np.square(moments).mean(axis=1)
    quietest = moments[np.argsort(levels)[: max(4, len(moments) // 10)]]
    window = np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(quietest * window, axis=1))).mean(axis=0)
    response = np.fft.irfft(np.sqrt(power / np.square(window).sum()))  # without phase: centered at sample 0
    noise = np.convolve(rng.standard_normal(count + size), np.roll(response, size // 2), mode="same")
    return noise[size // 2 :][:count].astype(np.float32)


def zeros(waveform: Samples, rate: int, count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` zeros."""
    return np.zeros(count, np.float32)


def between(recognizer: Recognizer, waveform: Samples, text: str) -> int:
    """Return the quietest moment between the two words of a text that a forced alignment has furthest apart."""
    rate = recognizer.sample_rate
    words = recognizer.align((waveform, rate), text).transcript.words
    _, end, start = max((right.start - left.end, left.end, right.start) for left, right in pairwise(words))
    first, last = round((min(end, start) - 0.05) * rate), round((max(end, start) + 0.05) * rate)
    levels = np.convolve(np.square(waveform[first:last]), np.ones(round(WINDOW * rate)), mode="same")
    return first + int(levels.argmin())


def texts(recognizer: Recognizer, waveforms: list[Samples]) -> list[str]:
    """Return the greedy transcript of each waveform, recognized in batches of like length."""
    order = sorted(range(len(waveforms)), key=lambda index: len(waveforms[index]))
    longest = max(len(each) for each in waveforms) / recognizer.sample_rate
    size = max(1, int(BATCH_SECONDS / longest))
    decoder = recognizer.create_decoder("greedy")
    found = [""] * len(waveforms)
    for first in range(0, len(order), size):
        indices = order[first : first + size]
        lengths = torch.tensor([len(waveforms[index]) for index in indices])
        padded = torch.zeros(len(indices), int(lengths.max()))
        for row, index in enumerate(indices):
            padded[row, : len(waveforms[index])] = torch.from_numpy(waveforms[index])
        for index, hypotheses in zip(indices, decoder(*recognizer.log_probs(padded, lengths)), strict=True):
            found[index] = str(hypotheses[0].text)
    return found


def table(recognizer: Recognizer, manifest: str, every: int, lengths: list[float]) -> Iterator[str]:
    """Yield the error rates of a manifest, a line for each kind and length of pause."""
    rate, rng = recognizer.sample_rate, np.random.default_rng(0)
    utterances = read_manifest(manifest)[::every]
    waveforms = [load_audio(u.audio_filepath, rate, u.offset, u.duration or None) for u in utterances]
    references = [recognizer.tokenizer.normalize(utterance.text) for utterance in utterances]

    def errors(changed: list[Samples], of: list[str]) -> float:
        return 100 * corpus(zip(of, texts(recognizer, changed), strict=True)).wer

    clean = errors(waveforms, references)
    yield f"{manifest}: {len(utterances)} utterances, clean {clean:.2f} %"
    yield f"{'':<12}{'seconds':>8}" + "".join(f"{place:>9}" for place in PLACES) + f"{'between':>9}"
    several = [index for index, text in enumerate(references) if " " in text]
    cuts = [between(recognizer, waveforms[index], references[index]) for index in several]
    for name, make in (("zeros", zeros), ("own noise", own_noise)):
        for seconds in lengths:
            count = round(seconds * rate)
            cells = []
            for place in PLACES.values():
                padded = [
                    np.concatenate(
                        [make(w, rate, count * place[0], rng), w, make(w, rate, count * place[1], rng)]
                    )
                    for w in waveforms
                ]
                cells.append(f"{errors(padded, references):9.2f}")
            if seconds == BETWEEN and several:
                split = []
                for waveform, cut in zip((waveforms[index] for index in several), cuts, strict=True):
                    split.append(
                        np.concatenate([waveform[:cut], make(waveform, rate, count, rng), waveform[cut:]])
                    )
                cells.append(f"{errors(split, [references[index] for index in several]):9.2f}")
            yield f"{name:<12}{seconds:>8g}" + "".join(cells)


def brown(count: int, rng: np.random.Generator) -> Samples:
    """Return `(count,)` of noise whose power falls by 6 dB an octave, above 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    return np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), count / 800), count).astype(
        np.float32
    )


def insertions(recognizer: Recognizer, manifest: str) -> Iterator[str]:
    """Yield how many words a minute are written for what is no speech."""
    rate, rng, count = recognizer.sample_rate, np.random.default_rng(1), 30 * recognizer.sample_rate
    recordings = read_manifest(manifest)
    step = max(1, len(recordings) // 20)
    time = np.arange(count) / rate

    def own(number: int) -> Samples:
        u = recordings[number * step % len(recordings)]
        waveform = load_audio(u.audio_filepath, rate, u.offset, u.duration or None)
        return own_noise(waveform, rate, count, rng)

    def level(noise: Samples) -> Samples:
        return (noise * 10 ** (rng.uniform(-60, -20) / 20) / noise.std()).astype(np.float32)

    def hum() -> Samples:
        tones = [
            rng.random() * np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 7)) / k for k in range(1, 9)
        ]
        return level(np.sum(tones, axis=0) + 1e-3 * rng.standard_normal(count))

    kinds: dict[str, Callable[[int], Samples]] = {
        "zeros": lambda _: np.zeros(count, np.float32),
        "white noise": lambda _: level(rng.standard_normal(count)),
        "brown noise": lambda _: level(brown(count, rng)),
        "hum": lambda _: hum(),
        "own noise": own,
    }
    for name, make in kinds.items():
        written = texts(recognizer, [make(number) for number in range(20)])
        words = [word for text in written for word in text.split()]
        yield f"{name}: {len(words) / 10:.1f} words a minute ({' '.join(words[:8])})"


def main() -> None:
    """Print the tables."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    recognizer = speechlstm.load(options.pop("bundle", None))
    every = int(options.pop("every", 1))
    lengths = [float(each) for each in options.pop("seconds", "1,3,10,30,60").split(",")]
    print(f"{recognizer.name}, {recognizer.path}")
    for manifest in options.values():
        for line in table(recognizer, manifest, every, lengths):
            print(line, flush=True)
    for line in insertions(recognizer, next(iter(options.values()))):
        print(line, flush=True)


if __name__ == "__main__":
    main()

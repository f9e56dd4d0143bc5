"""What background noise, and silence after the speech, cost a bundle with its own decoder.

    python benchmarks/noise.py MANIFEST noise=FOLDER [bundle=english] [snr=20,15,10] [every=4]

Each utterance is mixed with an excerpt of a recording of the folder, drawn with seed 0, at a signal-to-noise ratio in
dB over the whole utterance; the last line has 10 s of digital zeros after each utterance. Use recordings that were not
in the training. `every` takes only so much of the manifest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation.metrics import corpus
from speechlstm.training.augment import Noise

Samples = NDArray[np.float32]
SILENCE = 10.0  # seconds


def main() -> None:
    """Print an error rate for each condition."""
    manifest, *rest = sys.argv[1:]
    options = dict(argument.split("=", 1) for argument in rest)
    recognizer = speechlstm.load(options.get("bundle"))
    rate, every = recognizer.sample_rate, int(options.get("every", 1))
    utterances = read_manifest(manifest)[::every]
    waveforms = [load_audio(u.audio_filepath, rate, u.offset, u.duration or None) for u in utterances]
    references = [recognizer.tokenizer.normalize(utterance.text) for utterance in utterances]

    def show(name: str, change: Callable[[Samples], Samples]) -> None:
        found = recognizer.transcribe([(change(waveform), rate) for waveform in waveforms])
        score = corpus(zip(references, (each.text for each in found), strict=True))
        low, high = score.interval()
        print(f"{name:<18} {score.wer:7.2%} ({low:.2%} to {high:.2%})", flush=True)

    print(f"{manifest}: {len(utterances)} utterances, {recognizer.name}")
    show("clean", lambda waveform: waveform)
    for snr in map(float, options.get("snr", "20,15,10").split(",")):
        rng, noise = np.random.default_rng(0), Noise(rate, options["noise"], (snr, snr), probability=1.0)
        show(f"noise, {snr:g} dB", lambda waveform, noise=noise, rng=rng: noise.apply(waveform, rng))
    zeros = np.zeros(round(SILENCE * rate), np.float32)
    show(f"{SILENCE:g} s of zeros", lambda waveform: np.concatenate([waveform, zeros]))


if __name__ == "__main__":
    main()

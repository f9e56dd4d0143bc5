"""How fast a folder of recordings becomes text: `speechlstm transcribe` on an hour of speech.

    python benchmarks/transcription.py data/an4/train.jsonl data/an4/dev.jsonl [bundle=...]

Joins the utterances of the manifests into files of 5 to 60 s (16-bit flac) until an hour is full, then runs the command
as a user would, start-up, decoding of the audio and writing of the transcripts included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest

RATE = 16000


def main() -> None:
    """Print the real-time factor."""
    manifests = [argument for argument in sys.argv[1:] if "=" not in argument]
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    rng = np.random.default_rng(0)
    utterances = [utterance for path in manifests for utterance in read_manifest(path)]
    waveforms = [load_audio(u.audio_filepath, RATE, u.offset, u.duration or None) for u in utterances]
    with tempfile.TemporaryDirectory() as folder:
        total, number = 0.0, 0
        while total < 3600:
            target, parts = rng.uniform(5, 57) * RATE, []
            while sum(map(len, parts)) < target:
                parts.append(waveforms[rng.integers(len(waveforms))])
            joined = np.concatenate(parts)[: 60 * RATE]
            soundfile.write(f"{folder}/{number:04d}.flac", joined, RATE)
            total, number = total + len(joined) / RATE, number + 1
        out = Path(folder) / "out"
        command = [
            sys.executable,
            "-m",
            "speechlstm",
            "transcribe",
            folder,
            f"out={out}",
            "format=json",
            *overrides,
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elapsed = time.perf_counter() - started
        written = len(list(out.rglob("*.json")))
    factor = total / elapsed
    print(
        f"{total:.0f} s of audio in {number} files, {written} transcripts, {elapsed:.1f} s: {factor:.0f} x real time"
    )


if __name__ == "__main__":
    main()

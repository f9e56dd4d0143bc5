"""Measure what cutting long recordings costs: word error rates whole and cut, for several windows and overlaps.

    python benchmarks/windows.py MANIFEST [BUNDLE]

Utterances of the manifest whose ids differ in the last `-` part only, such as those of a chapter of LibriSpeech, are
joined to one recording each.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation import metrics
from speechlstm.transcription import long
from speechlstm.transcription.recognizer import Recognizer

WINDOWS = (
    (10.0, 0.0),
    (10.0, 2.0),
    (20.0, 2.0),
    (30.0, 0.0),
    (30.0, 4.0),
    (60.0, 4.0),
)  # seconds: longest, overlap


def chapters(
    manifest: str, sample_rate: int, normalize: Callable[[str], str]
) -> list[tuple[str, np.ndarray]]:
    """Return the text and the waveform of each joined recording."""
    groups = defaultdict(list)
    for utterance in read_manifest(manifest):
        groups[utterance.id.rpartition("-")[0]].append(utterance)
    joined = []
    for utterances in groups.values():
        waveforms = [
            load_audio(each.audio_filepath, sample_rate, each.offset, each.duration) for each in utterances
        ]
        joined.append((normalize(" ".join(each.text for each in utterances)), np.concatenate(waveforms)))
    return joined


def cut(recognizer: Recognizer, waveform: np.ndarray) -> str:
    """Transcribe a recording in windows."""
    texts = []
    for group in long.stretches(recognizer, [waveform]):
        for best, *_ in long.decode(recognizer.decoder, group):
            texts.append(recognizer.tokenizer.decode(best.tokens) if best.text is None else best.text)
    return " ".join(filter(None, texts))


def main() -> None:
    """Print a row for each way to cut."""
    torch.set_num_threads(1)
    recognizer = speechlstm.load(sys.argv[2] if len(sys.argv) > 2 else None)
    recordings = chapters(sys.argv[1], recognizer.sample_rate, recognizer.tokenizer.normalize)
    lengths = [len(waveform) / recognizer.sample_rate for _, waveform in recordings]
    print(
        f"{len(recordings)} recordings of {min(lengths):.0f} to {max(lengths):.0f} s, {sum(lengths):.0f} s in all"
    )
    for longest, overlap in ((max(lengths) + 1, 0.0), *WINDOWS):
        long.LONGEST, long.OVERLAP, long.EARLIEST = longest, overlap, longest / 3
        began = time.process_time()
        score = metrics.corpus((text, cut(recognizer, waveform)) for text, waveform in recordings)
        name = "whole" if longest > max(lengths) else f"{longest:.0f} s, overlap {overlap:.0f} s"
        spent = time.process_time() - began
        print(
            f"{name:<20} {score.words.rate:7.2%}  {spent / sum(lengths):.4f} s of processor time a second",
            flush=True,
        )


if __name__ == "__main__":
    main()

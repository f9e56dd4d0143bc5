"""Measure live recognition: latency, error rate against that of the whole recordings, and share of a processor.

    python benchmarks/live.py MANIFEST [BUNDLE [STEP [RECORDINGS]]]

Recordings are joined as in `benchmarks/windows.py`. Latencies are seconds after the end of a word at which it is first
shown, final or not, and at which it is final; the time that the recognition takes is counted.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from windows import chapters

import speechlstm
from speechlstm.evaluation import metrics
from speechlstm.transcription.recognizer import Recognizer


def run(
    recognizer: Recognizer, waveform: np.ndarray, step: float
) -> tuple[str, list[float], list[float], float]:
    """Return the final text, latencies of words when first shown and when final, and seconds of processor time."""
    stream = recognizer.stream(step)
    words, shown, first, final, spent = [], [], [], [], 0.0
    for start in range(0, len(waveform) + 1600, 1600):
        began = time.process_time()
        block = waveform[start : start + 1600]
        updates = list(stream.accept(block)) if len(block) else [stream.finish()]
        took = time.process_time() - began
        spent += took
        for update in updates:
            now = update.time + took
            words += update.words
            shown += [now] * (len(words) + len(update.partial.split()) - len(shown))
            final += [now - word.end for word in update.words]
    first = [at - word.end for at, word in zip(shown, words, strict=False)]
    return " ".join(word.text for word in words), first, final, spent


def main() -> None:
    """Print one line of figures."""
    torch.set_num_threads(1)
    recognizer = speechlstm.load(sys.argv[2] if len(sys.argv) > 2 else None)
    step, most = (
        float(sys.argv[3] if len(sys.argv) > 3 else 0.32),
        int(sys.argv[4] if len(sys.argv) > 4 else 10**9),
    )
    recordings = chapters(sys.argv[1], recognizer.sample_rate, recognizer.tokenizer.normalize)[:most]
    results = [run(recognizer, waveform, step) for _, waveform in recordings]
    seconds = sum(len(waveform) for _, waveform in recordings) / recognizer.sample_rate
    rates = [
        metrics.corpus(zip((text for text, _ in recordings), texts, strict=True)).words.rate
        for texts in (
            [text for text, *_ in results],
            [recognizer.transcribe((waveform, recognizer.sample_rate)).text for _, waveform in recordings],
        )
    ]
    shown, final = (np.array([latency for each in results for latency in each[index]]) for index in (1, 2))
    print(f"{len(recordings)} recordings, {seconds:.0f} s, {len(final)} words; a step every {step} s")
    print(f"word error rate: live {rates[0]:.2%}, whole {rates[1]:.2%}")
    for name, values in (("first shown", shown), ("final", final)):
        print(
            f"{name}: median {np.median(values):.2f} s, 95 % {np.quantile(values, 0.95):.2f} s after the word's end"
        )
    print(f"processor: {sum(spent for *_, spent in results) / seconds:.1%} of one core")


if __name__ == "__main__":
    main()

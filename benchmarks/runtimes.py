"""What a model costs on one core by PyTorch and by ONNX Runtime: time, memory, disk, and start-up.

    python benchmarks/runtimes.py [BUNDLE]

Times are of the processor, and of the model alone, features included: the least of several rounds, in which the
runtimes take turns. Memory is the most that a process holds that loads the model and runs it. Start-up is the
processor's time of a whole `speechlstm transcribe` of a clip of one second with the greedy decoder, and, to compare,
that of a program of a few lines that imports neither PyTorch nor speechlstm and runs the export.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
import torch

import speechlstm
from speechlstm.model.selftest import synthesize
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.transcription.runtimes import RUNTIMES

SECONDS, BATCHES, ROUNDS = 10.0, (1, 8), 7
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
ALONE = """
import sys, numpy, onnxruntime, soundfile
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
session = onnxruntime.InferenceSession(sys.argv[1], options)
samples, _ = soundfile.read(sys.argv[3], dtype="float32")
(log_probs, _) = session.run(None, {"waveforms": samples[None]})
tokens = [line.split(" ")[0] for line in open(sys.argv[2], encoding="utf-8")]
best = log_probs[0].argmax(-1)
kept = [index for index, before in zip(best, [0, *best]) if index not in (0, before)]
print("".join(tokens[index] for index in kept).replace("\u2581", " "))
"""


def main() -> None:
    """Print a table with a row for each runtime."""
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--memory"]:
        _, _, bundle, runtime = sys.argv
        once(speechlstm.load(bundle, runtime=runtime), 1)
        (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        print(most)
        return
    bundle = sys.argv[1] if len(sys.argv) > 1 else "small"
    times = model_times(bundle)
    with tempfile.TemporaryDirectory() as folder:
        clip = f"{folder}/clip.wav"
        rate = speechlstm.load(bundle).sample_rate
        soundfile.write(clip, synthesize(rate, 1.0).numpy(), rate)
        print(f"{bundle}: ms of the processor for a second of audio; {SECONDS:g} s an utterance")
        print("runtime     batch 1  batch 8   MB of disk  MB of memory  s of start-up")
        for runtime in RUNTIMES:
            size = on_disk(bundle, runtime, folder)
            command = ["-m", "speechlstm", "transcribe", clip, f"bundle={bundle}", "decoder=greedy"]
            startup = processor_time(*command, "threads=1", "trainer=cpu", f"runtime={runtime}")
            row = (*(times[runtime, batch] for batch in BATCHES), size, memory(bundle, runtime), startup)
            print("{:10} {:8.2f} {:8.2f} {:12.1f} {:13.0f} {:14.2f}".format(runtime, *row))
        for kind in ("model.onnx", "model.int8.onnx"):
            alone = processor_time("-c", ALONE, f"{folder}/{kind}", f"{folder}/tokens.txt", clip)
            print(f"{kind} by onnxruntime alone: {alone:.2f} s of start-up")


def model_times(bundle: str) -> dict[tuple[str, int], float]:
    """Return milliseconds for a second of audio, by runtime and batch size."""
    recognizers = {runtime: speechlstm.load(bundle, runtime=runtime) for runtime in RUNTIMES}
    best: dict[tuple[str, int], float] = {}
    for _ in range(ROUNDS):
        for runtime, recognizer in recognizers.items():
            for batch in BATCHES:
                spent = once(recognizer, batch) * 1000 / (batch * SECONDS)
                best[runtime, batch] = min(best.get((runtime, batch), spent), spent)
    return best


def once(recognizer: Recognizer, batch: int) -> float:
    """Return the processor's time for one batch, in seconds."""
    waveforms = synthesize(recognizer.sample_rate, SECONDS).expand(batch, -1).contiguous()
    begin = time.process_time()
    recognizer.log_probs(waveforms, torch.full((batch,), waveforms.shape[1]))
    return time.process_time() - begin


def on_disk(bundle: str, runtime: str, folder: str) -> float:
    """Return the megabytes of the model's file."""
    if runtime == "torch":
        return (speechlstm.load(bundle).path / "model.safetensors").stat().st_size / 1e6
    name = {"onnx": "model.onnx", "onnx-int8": "model.int8.onnx"}[runtime]
    command = ["export", f"bundle={bundle}", f"out={folder}", f"quantize={RUNTIMES[runtime]}"]
    subprocess.run([sys.executable, "-m", "speechlstm", *command], check=True, stdout=subprocess.DEVNULL)
    return (Path(folder) / name).stat().st_size / 1e6


def memory(bundle: str, runtime: str) -> float:
    """Return the most megabytes that a process holds."""
    command = [sys.executable, __file__, "--memory", bundle, runtime]
    return int(subprocess.check_output(command, env=ENVIRONMENT)) / 1e3


def processor_time(*arguments: str) -> float:
    """Return the least time of the processor of three runs of Python, in seconds."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


if __name__ == "__main__":
    main()

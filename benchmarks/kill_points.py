"""Is a training that is killed again and again the same, bit for bit, as one that is left alone?

    python benchmarks/kill_points.py [kills] [seed]

Trains a tiny network on synthesized tones with everything that is random in a training (order, speed, masks, dropout,
a loader process) and everything that has a state (optimizer, schedule, averaged weights, best score): once in peace,
then again and again with `kill -9` after a random time and the same command again, until that many kills have hit.
Each training that was killed must end with the same checkpoint and the same bundle. Exit status 1 if one does not.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from speechlstm.cli import train
from speechlstm.training.checkpoints import find_last

RATE = 8000  # Hz
SETTINGS = [
    "experiment=overfit", "trainer=cpu", "data.train=train.jsonl", "data.dev=dev.jsonl", f"sample_rate={RATE}",
    "features.num_mels=20", "encoder.hidden_size=8", "encoder.num_layers=1", "encoder.conv_channels=2",
    "encoder.dropout=0.2", "augment=specaugment", "scheduler=one_cycle",
    "~scheduler.start_factor", "~scheduler.total_iters",
    "data.batch_seconds=1.5", "data.num_workers=1", "trainer.max_epochs=12", "trainer.check_val_every_n_epoch=1",
    "~logger.tensorboard", "callbacks.last.every_minutes=0.002",
]  # fmt: skip


def tone(letter: str) -> np.ndarray:
    """Return 0.2 s of the pitch that stands for a letter."""
    time_ = np.arange(RATE // 5) / RATE
    return 0.3 * np.sin(2 * np.pi * 150 * 2 ** (ord(letter) - ord("a")) * time_) * np.hanning(len(time_))


def write(name: str, texts: list[str]) -> None:
    """Write a manifest and its audio into the working folder."""
    lines = []
    for index, text in enumerate(texts):
        audio = np.concatenate([tone(letter) for letter in text.replace(" ", "")])
        soundfile.write(f"{name}{index}.wav", audio, RATE)
        line = {"audio_filepath": f"{name}{index}.wav", "duration": len(audio) / RATE, "text": text}
        lines.append(json.dumps(line) + "\n")
    Path(f"{name}.jsonl").write_text("".join(lines))


def start(out: str) -> int:
    """Start the training in a process of its own, which need not load PyTorch again, and return its id."""
    if child := os.fork():
        return child
    log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = [train.__file__, *SETTINGS, f"out={out}"]
    status = 1
    try:
        train.main()
        status = 0
    finally:
        os._exit(status)


def killed(process: int, seconds: float) -> bool:
    """Kill a training after so many seconds; return false if it had ended well by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            if status:
                sys.exit(f"the training failed; its log is in {Path.cwd()}")
            return False
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return True


def updates(out: str) -> int:
    """Return after how many updates the last checkpoint was written."""
    path = find_last(Path(out) / "checkpoints")
    return int(torch.load(path, weights_only=True)["global_step"]) if path else 0


def outcome(out: str) -> dict[str, object]:
    """Return all that a training ends with, but for how long it took."""
    checkpoint = torch.load(f"{out}/checkpoints/last.ckpt", weights_only=True)
    names = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers")
    found: dict[str, object] = {name: checkpoint[name] for name in names}
    return found | {"bundle": Path(out, "bundle/model.safetensors").read_bytes()}


def same(one: object, other: object) -> bool:
    """Return whether two outcomes are equal in every bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return bool(one == other)


def main() -> None:
    """Kill, compare, print."""
    kills, seed = (int(value) for value in [*sys.argv[1:], *("20", "1")[len(sys.argv) - 1 :]])
    rng = random.Random(seed)
    torch.set_num_threads(1)  # threads would not survive the fork
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write("train", ["a b", "b", "c a b", "a", "b c", "c", "b b a", "a c c a"])
        write("dev", ["a c", "b"])
        began = time.monotonic()
        if killed(start("whole"), 3600):
            sys.exit("the training takes an hour")
        whole, seconds, total = outcome("whole"), time.monotonic() - began, updates("whole")
        print(f"uninterrupted: {total} updates in {seconds:.1f} s")
        hit = trainings = differing = 0
        with tqdm(total=kills, unit="kill", disable=None) as bar:
            while hit < kills:
                out, places, trainings = f"killed{trainings}", [], trainings + 1
                while hit < kills and killed(start(out), rng.uniform(0.2, 0.8) * seconds):
                    places.append(updates(out))
                    hit += 1
                    bar.update()
                killed(start(out), 3600)  # to its end; one that has ended already only exports again
                good = same(outcome(out), whole)
                differing += not good
                resumed = f", resumed from updates {', '.join(map(str, places))}" if places else ""
                times = "time" if len(places) == 1 else "times"
                result = "identical" if good else "DIFFERENT"
                tqdm.write(f"training {trainings}: killed {len(places)} {times}{resumed}: {result}")
        os.chdir("/")
    print(f"{hit} kills in {trainings} trainings, {differing} of which ended differently")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()

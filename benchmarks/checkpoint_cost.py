"""What does it cost that nothing is lost: the writing of a checkpoint, and going on from one?

    python benchmarks/checkpoint_cost.py experiment=an4

Starts a training, writes its checkpoint several times after the first update (on the disk itself, read back, moved),
stops it with SIGTERM, and starts it again from there. The cost of going on is how much later its first batch
begins than that of a training from nothing. Shares are of five minutes, which is how far checkpoints are apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from speechlstm import configs, training

ROUNDS, WRITINGS = 3, 5
BETWEEN = 300.0  # seconds


def start(overrides: list[str], out: Path, act: Callable[[pl.Trainer], None]) -> float:
    """Train two batches, doing something between them, and return after how many seconds the first began."""
    cfg = configs.load("train", [*overrides, f"out={out}"])
    pl.seed_everything(cfg.seed, verbose=False)
    model, data = training.prepare(cfg)
    begun, reached = time.perf_counter(), 0.0

    def look(batch: Any, batch_idx: int) -> None:
        nonlocal reached
        if reached:
            act(model.trainer)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            reached = time.perf_counter()

    model.on_train_batch_start = look  # type: ignore[method-assign]
    with contextlib.suppress(SystemExit):
        training.fit(cfg, model, data, out)
    assert (out / "checkpoints/last.ckpt").exists()
    return reached - begun


def main() -> None:
    """Print both costs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    writings: list[float] = []
    fresh: list[float] = []
    resumed: list[float] = []
    sizes: set[int] = set()
    with tempfile.TemporaryDirectory(dir=".") as folder:  # a disk like that of runs/, not one in memory

        def write(trainer: pl.Trainer) -> None:
            path = Path(folder) / "timed.ckpt"
            for _ in range(WRITINGS):
                begun = time.perf_counter()
                trainer.save_checkpoint(path)
                writings.append(time.perf_counter() - begun)
            sizes.add(path.stat().st_size)

        for number in range(ROUNDS):
            out = Path(folder) / str(number)
            fresh.append(start(sys.argv[1:], out, write))
            resumed.append(start(sys.argv[1:], out, lambda _: None))
    writing = statistics.median(writings)
    begin, again = statistics.median(fresh), statistics.median(resumed)
    print(
        f"checkpoint of {max(sizes) / 1e6:.0f} MB: {writing:.2f} s, {writing / BETWEEN:.2%} of {BETWEEN:.0f} s\n"
        f"first batch after {begin:.2f} s, of a resumed training after {again:.2f} s: "
        f"{again - begin:.2f} s more, {(again - begin) / BETWEEN:.2%}"
    )


if __name__ == "__main__":
    main()

"""What does it cost that nothing is lost: the writing of a checkpoint, and going on from one?

    python benchmarks/checkpoint_cost.py experiment=an4

Starts a training, writes its checkpoint several times after the first update (on the disk itself, read back, moved),
stops it with SIGTERM, and starts it again from there. The cost of going on is how much later its first batch
begins than that of a training from nothing. Shares are of five minutes, which is how far checkpoints are apart. On a
machine with other work look at the time of the processor; it does not count waiting for the disk.
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

from speechlstm import configs
from speechlstm.training import parts
from speechlstm.training.fit import fit

ROUNDS, WRITINGS = 3, 5
BETWEEN = 300.0  # seconds


Clocks = tuple[float, float]  # seconds on the wall and of the processor


def clocks() -> Clocks:
    """Return what both clocks show."""
    return time.perf_counter(), time.process_time()


def since(begun: Clocks) -> Clocks:
    """Return how much time has passed."""
    wall, processor = clocks()
    return wall - begun[0], processor - begun[1]


def middle(times: list[Clocks]) -> Clocks:
    """Return the median of each clock."""
    return statistics.median(wall for wall, _ in times), statistics.median(
        processor for _, processor in times
    )


def start(overrides: list[str], out: Path, act: Callable[[pl.Trainer], None]) -> Clocks:
    """Train two batches, doing something between them, and return after how much time the first began."""
    cfg = configs.load("train", [*overrides, f"out={out}"])
    pl.seed_everything(cfg.seed, verbose=False)
    trainer, model, data, last = parts.assemble(cfg, out, overrides)
    begun = clocks()
    reached: Clocks | None = None

    def look(batch: Any, batch_idx: int) -> None:
        nonlocal reached
        if reached:
            act(model.trainer)
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            reached = since(begun)

    model.on_train_batch_start = look  # type: ignore[method-assign]
    with contextlib.suppress(SystemExit):
        fit(trainer, model, data, out / "checkpoints", last)
    assert reached and (out / "checkpoints/last.ckpt").exists()
    return reached


def main() -> None:
    """Print both costs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    writings: list[Clocks] = []
    fresh: list[Clocks] = []
    resumed: list[Clocks] = []
    sizes: set[int] = set()
    with tempfile.TemporaryDirectory(dir=".") as folder:  # a disk like that of runs/, not one in memory

        def write(trainer: pl.Trainer) -> None:
            path = Path(folder) / "timed.ckpt"
            for _ in range(WRITINGS):
                begun = clocks()
                trainer.save_checkpoint(path)
                writings.append(since(begun))
            sizes.add(path.stat().st_size)

        for number in range(ROUNDS):
            out = Path(folder) / str(number)
            fresh.append(start(sys.argv[1:], out, write))
            resumed.append(start(sys.argv[1:], out, lambda _: None))
    print(f"{'':<44}    wall   share  processor   share")
    begin, again = middle(fresh), middle(resumed)
    for name, both in (
        (f"write a checkpoint of {max(sizes) / 1e6:.0f} MB and read it back", middle(writings)),
        ("first batch of a training", begin),
        ("first batch of a resumed training", again),
        ("what resuming costs", (again[0] - begin[0], again[1] - begin[1])),
    ):
        figures = "".join(f"{seconds:9.2f} s{seconds / BETWEEN:8.2%}" for seconds in both)
        print(f"{name:<44}{figures}")


if __name__ == "__main__":
    main()

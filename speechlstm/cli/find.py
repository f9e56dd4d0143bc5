"""Find the peak learning rate or the largest batch for a training."""

from __future__ import annotations

import logging
import math

import pytorch_lightning as pl
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.training import finding
from speechlstm.training import fit as training
from speechlstm.types import UsageError


@configs.main("find")
def main(cfg: DictConfig) -> None:
    """Measure on the training's own data and print the setting to use."""
    if cfg.what not in ("lr", "batch"):
        raise UsageError(f"what is {cfg.what!r}, but must be lr or batch")
    if not 0 < cfg.lowest < cfg.highest or cfg.steps < 10:
        raise UsageError(
            f"lowest is {cfg.lowest}, highest {cfg.highest} and steps {cfg.steps}, "
            "but must be 0 < lowest < highest and at least 10 steps"
        )
    if not 0 <= cfg.margin < 1:
        raise UsageError(f"margin is {cfg.margin}, but must be at least 0 and below 1")
    if cfg.memory is not None and not cfg.memory > 0:
        raise UsageError(f"memory is {cfg.memory}, but must be a number of GB above 0")
    pl.seed_everything(cfg.seed, verbose=False)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # a line about each trainer is noise
    if cfg.what == "lr":
        rate(cfg)
    else:
        batch(cfg)


def rate(cfg: DictConfig) -> None:
    """Print the loss over the learning rate, and the suggested peak."""
    model, data = training.prepare(cfg)
    points = finding.range_test(cfg, model, data, cfg.lowest, cfg.highest, cfg.steps)
    print(f"{'lr':>9}  loss per token, smoothed")
    for number, (each, loss) in enumerate(points):
        if number % max(len(points) // 20, 1) == 0 or number == len(points) - 1:
            print(f"{each:9.2e}  {loss:.3f}")
    best = min(points, key=lambda point: point[1])
    grew = "grew fourfold" if len(points) < cfg.steps else "ended"
    print(f"\nlowest loss {best[1]:.3f} at {best[0]:.1e}; the test {grew} at {points[-1][0]:.1e}")
    print(f"suggested peak, a tenth of it:\n\n  optimizer.lr={finding.suggestion(points):.1e}")


def batch(cfg: DictConfig) -> None:
    """Print what batches take, and the largest that fits."""
    model, data = training.prepare(cfg)
    largest = 0.0
    for found in finding.batch_sizes(cfg, model, data, cfg.memory):
        fits = "" if found.fits else "  too much"
        memory = "out of memory" if math.isinf(found.memory) else f"{found.memory:6.2f} GB"
        print(f"{found.seconds:8.1f} s in a batch: {memory}{fits}")
        if found.fits:
            largest = found.seconds
    if not largest:
        raise UsageError("not even the longest utterance fits; lower data.max_seconds, or give more memory")
    suggested = max(largest * (1 - cfg.margin), finding.smallest(data))
    print(f"\n  data.batch_seconds={math.floor(10 * suggested) / 10:g}")


if __name__ == "__main__":
    main()

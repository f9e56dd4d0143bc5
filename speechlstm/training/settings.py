"""What is wrong with a training's settings, said before anything is read, made or written."""

from __future__ import annotations

import math
from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from speechlstm.types import UsageError

_NUMBERS: dict[str, tuple[float, float, bool]] = {  # least, greatest, whether whole
    "seed": (0, 2**32 - 1, True),
    "sample_rate": (1_000, 768_000, True),
    "data.batch_seconds": (1e-3, math.inf, False),
    "data.min_seconds": (0, math.inf, False),
    "data.max_seconds": (0, math.inf, False),
    "data.num_workers": (0, 1_000, True),
    "data.timeout": (0, math.inf, False),
}
_KINDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "data.cache": ((bool,), "true or false"),
    "verbose": ((bool,), "true or false"),
    "freeze": ((ListConfig,), "a list of parts of the encoder"),
    "data.train": ((str, ListConfig), "a manifest, or a list of them"),
    "data.dev": ((str, ListConfig), "a manifest, or a list of them"),
    "name": ((str,), "a text"),
    "bundle.path": ((str,), "a folder"),
}


def check(cfg: DictConfig) -> None:
    """See whether the settings of a training that belong to none of its parts can be used, and those of the trainer.

    The parts check their own; what is wrong with a trainer is said here where Lightning has words of its own for it.

    Raises:
        UsageError: one cannot.
    """
    for key, (low, high, whole) in _NUMBERS.items():
        value = OmegaConf.select(cfg, key)
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not fits or not low <= value <= high:
            limits = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more"
            raise UsageError(f"{key} is {value!r}, but must be a {'whole ' * whole}number {limits}")
    for key, (kinds, wanted) in _KINDS.items():
        if OmegaConf.is_missing(cfg, key) or (
            key.startswith("data.") and OmegaConf.is_missing(cfg.data, key[5:])
        ):
            continue
        value = OmegaConf.select(cfg, key)
        if not isinstance(value, kinds) or (kinds[0] is str and not value):
            raise UsageError(f"{key} is {value!r}, but must be {wanted}")
    if cfg.bundle.dtype not in ("float32", "float16"):
        raise UsageError(f"bundle.dtype is {cfg.bundle.dtype!r}, but must be float32 or float16")
    _check_trainer(cfg.trainer)


def _check_trainer(trainer: DictConfig) -> None:
    epochs, devices = trainer.get("max_epochs"), trainer.get("devices")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or (epochs < 1 and epochs != -1):
        raise UsageError(f"trainer.max_epochs is {epochs!r}, but must be 1 or more, or -1 for no limit")
    if isinstance(devices, int) and not isinstance(devices, bool) and devices != -1 and devices < 1:
        raise UsageError(f"trainer.devices is {devices!r}, but must be 1 or more, or auto")
    if trainer.get("accelerator") in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"trainer.accelerator={trainer.accelerator}: PyTorch sees no GPU on this machine; use trainer=cpu"
        )

"""What is wrong with a training's settings, said before anything is read, made or written."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from speechlstm.types import UsageError

_KINDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "data.train": ((str, ListConfig), "a manifest, or a list of them"),
    "data.dev": ((str, ListConfig), "a manifest, or a list of them"),
    "name": ((str,), "a text"),
    "bundle.path": ((str,), "a folder"),
}


def check(cfg: DictConfig) -> None:
    """See whether the settings of a training that belong to none of its parts can be used, and those of the trainer.

    Ranges of numbers stand in `conf/train.yaml`, and the parts check their own settings. What is wrong with a trainer
    is said here where Lightning has words of its own for it.

    Raises:
        UsageError: one cannot.
    """
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

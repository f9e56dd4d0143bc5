"""Which files a command reads, as its settings name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

_WRITTEN = ("out", "report", "plot", "cache", "trainer")  # settings that name what a command writes


def reads(cfg: DictConfig) -> list[str]:
    """Return every text in a command's settings that may name a file which it reads, and the files of a bundle."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    found = _texts([value for key, value in container.items() if key not in _WRITTEN])
    if (bundle := container.get("bundle")) and Path(str(bundle)).is_dir():
        found += map(str, Path(str(bundle)).iterdir())
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in values for text in _texts(each)]

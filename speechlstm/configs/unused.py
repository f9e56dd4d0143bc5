"""Takes back what Hydra has made for a run that ends before it has written anything."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from speechlstm.data.files import absent, remove

HYDRAS = {".hydra", "train.log"}  # what Hydra itself writes

_before: dict[Path, tuple[list[Path], set[Path]]] = {}  # folders that were not there; what was in the run's


class Folders(Callback):
    """Notes what there is before Hydra makes the folder of a run."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Note the folders that are absent, and what is in the run's folder."""
        with contextlib.suppress(OmegaConfBaseException):  # which Hydra reports
            out = Path(config.hydra.run.dir).absolute()
            _before[out] = absent(out), set(out.glob("*"))


def take_back() -> None:
    """Remove Hydra's own files and folders of this run, if nothing else was written beside them."""
    for out, (folders, before) in _before.items():
        new = set(out.glob("*")) - before
        if {path.name for path in new} <= HYDRAS:
            for path in new:
                remove(path)
            for folder in folders:
                with contextlib.suppress(OSError):  # something is in it
                    folder.rmdir()
    _before.clear()

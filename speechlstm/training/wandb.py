"""Curves, samples and pictures in Weights & Biases: `logger=wandb`, an extra."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import WandbLogger

from speechlstm.data.files import write_atomically
from speechlstm.training import ranks
from speechlstm.types import UsageError


class WandbRun(WandbLogger):
    """A run of Weights & Biases that belongs to a folder, so that the same command goes on with it.

    Args:
        save_dir: the training's folder; the run's files lie in `wandb` in it, with the run's id.
        project: what the run is shown under.
        name: of the run.
        offline: keep all on this machine; `wandb sync` sends it later.

    Raises:
        UsageError: wandb is not installed, or refuses to start.
    """

    def __init__(self, save_dir: str, project: str, name: str, offline: bool = False) -> None:
        place = Path(save_dir) / "wandb" / "id"
        if ranks.is_first() and not place.exists():
            write_atomically(place, secrets.token_hex(8))
        run = place.read_text() if place.exists() else None  # only the first rank has a run
        try:
            super().__init__(name=name, save_dir=save_dir, project=project, offline=offline, id=run)
        except ModuleNotFoundError:
            raise UsageError(
                "logger=wandb needs the package wandb: pip install 'speechlstm[wandb]'"
            ) from None

    @property
    def experiment(self) -> Any:
        """The run, started when it is first asked for; something that does nothing on all ranks but the first."""
        import wandb

        try:
            return super().experiment
        except wandb.Error as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise UsageError(
                f"Weights & Biases refuses: {reason}; logger.wandb.offline=true needs no network and no account"
            ) from error

    def finalize(self, status: str) -> None:
        """End the run, or another training of this process would write into it."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None

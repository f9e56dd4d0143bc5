"""The door by which Hydra finds the sweeper: it looks into packages of this name, and imports all of them at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """Searches settings by Optuna: `speechlstm train --multirun hydra/sweeper=optuna`.

    Args:
        settings: those of `speechlstm.configs.sweeper.Search`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, which runs the trials."""
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that the study lacks."""
        from speechlstm.configs.sweeper import Search  # only a sweep needs it

        self.folder.mkdir(parents=True, exist_ok=True)  # the study's file lies in it
        Search(**self.settings).run(self.launcher, arguments)

"""Gates and memory in TensorBoard while a network trains."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger

from speechlstm.study.inspect.gates import listen
from speechlstm.training.module import TrainingModule
from speechlstm.types import Batch


class WatchGates(pl.Callback):
    """Logs after each epoch how saturated the gates of each layer are, and how long its units remember.

    It is measured on the longest utterance of the first validation batch, which is the same each time. The scalars are
    the median half-life (ms, at most the length of the utterance) and the share of each gate's values below 0.1 (shut)
    and above 0.9 (open). TensorBoard also gets the distributions of both.
    """

    def __init__(self, every_epochs: int = 1) -> None:
        self.every_epochs = every_epochs

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Measure on the first batch of a validation, on the first rank alone."""
        due = (trainer.current_epoch + 1) % self.every_epochs == 0
        if trainer.sanity_checking or batch_idx or not due or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, TrainingModule)
        model, (_, stages) = pl_module.acoustic, pl_module.trace_longest(batch)
        scalars: dict[str, float] = {}
        curves: dict[str, torch.Tensor] = {}
        features = stages.features[:, : int(stages.feature_lengths)]
        for each in listen(model.encoder, features, model.frame_shift):
            place = f"gates/layer{each.layer}_{each.name}"
            life = each.half_life()
            if life is not None:
                life = 1000 * life.clamp(max=len(each.memory) * model.frame_shift)
                scalars[f"{place}/half_life_ms"] = float(life.median())
                curves[f"{place}/log10_half_life_ms"] = life.log10()
            for gate, (shut, opened) in each.saturation().items():
                scalars[f"{place}/{gate}_shut"] = float(shut.mean())
                scalars[f"{place}/{gate}_open"] = float(opened.mean())
                curves[f"{place}/{gate}"] = each.openings[gate]
        for logger in trainer.loggers:
            logger.log_metrics(scalars, trainer.global_step)
            if isinstance(logger, TensorBoardLogger):
                for name, values in curves.items():
                    logger.experiment.add_histogram(name, values, trainer.global_step)

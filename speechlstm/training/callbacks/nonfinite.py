"""Updates whose loss or gradient is not finite are skipped on all ranks and recorded; too many end the training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from speechlstm.training import ranks
from speechlstm.training.messages import say
from speechlstm.types import SpeechlstmError


class SkippedUpdates(Callback):
    """Writes the utterances of each skipped update into a file, and ends a training that only skips.

    The model skips: where its gradient, of all ranks together, is not finite, it drops it, and the weights and
    the optimizer stay as they are. A line of the file is one batch: `{"epoch", "step", "rank", "loss",
    "utterances"}`, the loss null if that itself was not finite; such a batch is where to look first.
    """

    def __init__(self, path: str, patience: int = 10) -> None:
        self.path, self.patience = Path(path), patience
        self.batches: list[dict[str, Any]] = []  # of the update that is being made

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch; at the end of an update that was skipped, write down all of its batches.

        Raises:
            SpeechlstmError: so many updates in a row were skipped.
        """
        loss = float(outputs["per_token"])
        self.batches.append(
            {
                "epoch": trainer.current_epoch,
                "step": trainer.global_step,
                "rank": trainer.global_rank,
                "loss": loss if math.isfinite(loss) else None,
                "utterances": [utterance.id for utterance in batch.utterances],
            }
        )
        if (batch_idx + 1) % trainer.accumulate_grad_batches and not trainer.is_last_batch:
            return
        batches, self.batches = self.batches, []
        in_a_row = int(pl_module.skipped)  # type: ignore[arg-type]
        if not in_a_row:
            return
        everywhere = [line for lines in ranks.gather(batches) for line in lines]
        if trainer.is_global_zero:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in everywhere)
        say(f"step {trainer.global_step}: loss or gradient not finite; skipped, and named in {self.path}")
        if not all(bool(weights.isfinite().all()) for weights in pl_module.parameters()):
            raise SpeechlstmError(
                f"weights are not finite, whatever the utterances: an update before this one broke them "
                f"({pl_module.learning_rate()}: lower it), or those of init_from were not; begin again "  # type: ignore[operator]
                "from a checkpoint or bundle that is whole"
            )
        if in_a_row >= self.patience:
            raise SpeechlstmError(
                f"the loss or gradient was not finite in {in_a_row} updates in a row; their utterances are in "
                f"{self.path}, and the last checkpoint is from before them. {pl_module.learning_rate()}: "  # type: ignore[operator]
                "lower it or trainer.gradient_clip_val, or leave out utterances that are broken"
            )

"""The model in training: the stages in order, the loss, the update, validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from speechlstm.decoders import Decoder
from speechlstm.model.acoustic import AcousticModel, Stages
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.training import ranks
from speechlstm.training.data import SpeechData
from speechlstm.training.loggers import log_transcripts
from speechlstm.training.loss import CtcLoss
from speechlstm.training.messages import say
from speechlstm.training.optimization import LENGTHS, make_optimizer, make_schedule, retrace
from speechlstm.training.validation import Validation
from speechlstm.types import Batch, SpeechlstmError, UsageError, counted

_SHOWN = 3  # transcripts of each validation that are logged
ACOUSTIC = "acoustic."  # what the names of the acoustic model's weights begin with in a checkpoint


class TrainingModule(pl.LightningModule):
    """An acoustic model in training, by CTC (Graves 2006) or another loss.

    An update is the gradient of the loss per token of all its batches, on however many devices and however many of them
    accumulated: two devices make the same update as one with both their batches. Dropout and augmentation are seeded by
    `seed` and the batch's number, so that a resumed training goes on as it would have.
    """

    def __init__(
        self,
        acoustic: AcousticModel,
        tokenizer: Tokenizer,
        decoder: Decoder,
        loss: CtcLoss,
        augment: nn.Module | None = None,
        optimizer: Callable[[Any], Optimizer] = torch.optim.AdamW,
        scheduler: Callable[..., LRScheduler] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.acoustic, self.augment = acoustic, augment
        self.tokenizer, self.decoder, self.loss = tokenizer, decoder, loss
        self.optimizer, self.scheduler, self.seed = optimizer, scheduler, seed
        self.validation = Validation()  # the running one
        self.tokens = 0  # of the batches of the running update
        self.lost = False  # whether the loss of one of them was not finite
        self.skipped = 0  # updates in a row that were skipped, because their gradient was not finite
        self.planned = 0  # updates of the whole training, as last planned
        self.replanned = False  # whether a resumed training has had another number of them
        # Before it was resumed; the batches are those of the epoch that it goes on with.
        self.done = {"updates": 0, "epochs": 0, "batches": 0}

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths.

        In training the outputs of lower layers of the encoder may follow, each as the log-probabilities.
        """
        augment = self.augment if self.training else None
        outputs: tuple[Tensor, ...] = self.acoustic(waveforms, lengths, augment)
        return outputs

    def on_train_start(self) -> None:
        """Give a training that was resumed in another length the learning rate of that length."""
        if self.replanned:
            for config in self.trainer.lr_scheduler_configs:
                retrace(config.scheduler)

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Return the batch's loss, summed over its tokens, and log the loss per token."""
        torch.manual_seed(self.seed * 1_000_003 + self._batch_number())
        log_probs, lengths, *middle = self(batch.waveforms, batch.lengths)
        loss, parts = self.loss(log_probs, batch.targets, lengths, batch.target_lengths, middle)
        self.log("train/loss", loss, batch_size=len(batch))
        for name, value in parts.items():
            self.log(f"train/{name}", value, batch_size=len(batch))
        tokens = int(batch.target_lengths.sum())
        self.tokens += tokens
        accumulated = self._trainer.accumulate_grad_batches if self._trainer else 1  # Lightning divides by it
        summed = loss * (max(tokens, 1) * accumulated)  # the loss of a batch without speech is its sum
        if not math.isfinite(float(loss.detach())):
            self.lost = True
            # Reaches every rank with the gradients, which an infinite loss may leave finite.
            summed = summed * math.nan
        return {"loss": summed, "per_token": loss.detach()}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Divide the gradients by the update's tokens on all ranks, and clip them; drop them if they are not finite.

        All ranks have the same gradients here, so they decide the same without a word. Without gradients the
        optimizer changes neither weights nor its own state. In fp16 the scaler of the loss skips overflows, which
        are part of its search; only a loss that itself is not finite counts as skipped then.
        """
        tokens, lost = ranks.total(self.tokens), ranks.largest(int(self.lost))
        self.tokens, self.lost = 0, False
        parameters = [each for each in self.parameters() if each.grad is not None]
        gradients = [each.grad for each in parameters if each.grad is not None]
        world = self.trainer.world_size  # DDP has averaged over the ranks
        torch._foreach_mul_(gradients, world / max(tokens, 1))
        norm = torch.nn.utils.get_total_norm(gradients)
        self.log("train/gradient_norm", norm)
        if not norm.isfinite():
            self.skipped += int(not self._scaled() or bool(lost))
            for each in parameters:
                each.grad = None
            return
        self.skipped = 0
        if gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        elif gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def _scaled(self) -> bool:
        """Return whether the loss is scaled, as in fp16."""
        plugin = getattr(self._trainer, "precision_plugin", None)
        return getattr(plugin, "scaler", None) is not None

    def _batch_number(self) -> int:
        """Return which batch of the training this is, counting those of all ranks."""
        if self._trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.total_batch_idx * self.trainer.world_size + self.global_rank

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Decode the batch and keep what the end of the epoch reports."""
        self.add(self.validation, batch)

    def learning_rate(self) -> str:
        """Return the setting of the learning rate, for messages on a training that has diverged."""
        optimizers = self._trainer.optimizers if self._trainer else ()
        rates = [f"optimizer.lr is {each.defaults['lr']:g}" for each in optimizers if "lr" in each.defaults]
        return rates[0] if rates else "optimizer.lr may be too high"

    def add(self, validation: Validation, batch: Batch) -> None:
        """Decode a batch into a validation.

        Raises:
            SpeechlstmError: the outputs are NaN.
        """
        log_probs, lengths, *_ = self(batch.waveforms, batch.lengths)
        within = torch.arange(log_probs.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        if bool(log_probs[within].isnan().any()):
            raise SpeechlstmError(
                f"the training has diverged: the model's outputs are NaN, as for {batch.utterances[0].id}; "
                f"{self.learning_rate()}: lower it, and begin again"
            )
        validation.pairs += self.transcripts(batch, log_probs, lengths)
        validation.blanks += int((log_probs.argmax(-1) == 0)[within].sum())
        validation.frames += int(lengths.sum())
        if tokens := int(batch.target_lengths.sum()):
            known = batch.target_lengths > 0  # a text that the tokenizer cannot spell has no loss
            targets, target_lengths = batch.targets[known], batch.target_lengths[known]
            loss = self.loss.measure(log_probs[known], targets, lengths[known], target_lengths)
            validation.loss += float(loss) * tokens
            validation.tokens += tokens

    def trace_longest(self, batch: Batch) -> tuple[int, Stages]:
        """Return which utterance of a batch is the longest, and what the acoustic model computes of it alone."""
        index = int(batch.lengths.argmax())
        length = batch.lengths[index : index + 1]
        return index, self.acoustic.trace(batch.waveforms[index : index + 1, : int(length)], length)

    def transcripts(self, batch: Batch, log_probs: Tensor, lengths: Tensor) -> list[tuple[str, str, str]]:
        """Decode a batch into `(utterance id, reference, hypothesis)`."""
        pairs = []
        for utterance, hypotheses in zip(batch.utterances, self.decoder(log_probs, lengths), strict=True):
            pairs.append((utterance.id, self.tokenizer.normalize(utterance.text), str(hypotheses[0].text)))
        return pairs

    def on_validation_epoch_end(self) -> None:
        """Log error rates, loss and share of blanks of all ranks, and three transcripts."""
        validation, self.validation = Validation.merged(ranks.gather(self.validation)), Validation()
        score = validation.score()
        self.log("val/wer", score.wer)
        self.log("val/cer", score.cer)
        self.log("val/blank_rate", validation.blank_rate)
        if validation.tokens:
            self.log("val/loss", validation.loss / validation.tokens)
        if not self.trainer.is_global_zero:
            return
        rows = [pair[1:] for pair in validation.pairs[-_SHOWN:]]
        for logger in self.loggers:
            log_transcripts(logger, "val/transcripts", rows, self.current_epoch, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the tokenizer with the weights, and how many updates are planned."""
        checkpoint["tokenizer"] = self.tokenizer.to_dict()
        checkpoint["planned"] = self.planned

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that were trained for other tokens; the length of the schedule is this training's."""
        self.check_tokens(checkpoint)
        self.planned = checkpoint.get("planned", 0)
        place = checkpoint.get(SpeechData.__name__, {})
        self.done = {
            "updates": checkpoint.get("global_step", 0),
            "epochs": place.get("epoch", 0),
            "batches": place.get("batches", 0),
        }
        for state in checkpoint.get("lr_schedulers", []):
            for name in (*LENGTHS, "_schedule_phases"):
                state.pop(name, None)

    def check_tokens(self, checkpoint: Mapping[str, Any]) -> None:
        """See whether a checkpoint was trained for the tokens of this training.

        Raises:
            UsageError: the tokens differ.
        """
        there = checkpoint.get("tokenizer", {}).get("tokens", [])
        here = list(self.tokenizer.tokens)
        if there == here:
            return
        gone, new = sorted(set(there) - set(here)), sorted(set(here) - set(there))
        difference = "; ".join(
            f"{what}: {' '.join(map(repr, tokens[:10]))}{' ...' if len(tokens) > 10 else ''}"
            for what, tokens in (("only there", gone), ("only here", new))
            if tokens
        )
        raise UsageError(
            f"the checkpoint was trained for {len(there)} tokens, but this training text has {len(here)} "
            f"({difference or 'in another order'}); use the old training text, or another out=, "
            "with init_from= to begin with its weights"
        )

    def updates(self) -> float:
        """Return how many updates the training has in all, infinity if it has no end.

        In a resumed training, those that are done and those of the epochs that are left, which may have more batches or
        fewer than the epochs before, as with other data.
        """
        trainer = self.trainer
        steps = trainer.estimated_stepping_batches  # which also sets `num_training_batches`
        done, epochs = self.done["updates"], trainer.max_epochs or 0
        if not done or epochs < 0:
            return steps
        of_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        left = (epochs - self.done["epochs"]) * of_epoch
        left -= self.done["batches"] // trainer.accumulate_grad_batches
        if trainer.max_steps >= 0:
            left = min(left, trainer.max_steps - done)
        return done + max(left, 0)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule.

        Raises:
            UsageError: their settings are of the wrong kind, or out of range.
        """
        # All weights: a frozen one has no gradient, so that nothing is done.
        optimizer = make_optimizer(self.optimizer, list(self.parameters()))
        if self._scaled():
            # A fused optimizer would take the scale of fp16 off the gradients itself, after they are clipped.
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        if self.scheduler is None:
            return optimizer
        steps = self.updates()
        schedule = make_schedule(self.scheduler, optimizer, steps)
        planned = 0 if steps == math.inf else int(steps)
        self.replanned = 0 not in (self.planned, planned) and self.planned != planned
        if self.replanned:
            say(
                f"the training was planned with {counted(self.planned, 'update')} and now has {steps}; "
                f"from here on the learning rate is that of a training of {steps}"
            )
        self.planned = planned
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

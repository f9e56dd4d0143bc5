"""The recogniser in training: the stages in order, CTC loss, validation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from speechlstm.decoders import Decoder
from speechlstm.evaluation import metrics
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.training import ranks
from speechlstm.training.loss import CtcLoss, ctc_loss
from speechlstm.types import Batch, UsageError

_LENGTHS = ("total_steps", "T_max")  # what PyTorch's schedules call the updates of a training
ACOUSTIC = "acoustic."  # what the names of the acoustic model's weights begin with in a checkpoint


@dataclass
class Heard:
    """What a validation has gathered so far, on one device.

    Attributes:
        pairs: `(utterance id, reference, hypothesis)`.
        loss: CTC loss, summed over tokens.
        tokens: target tokens.
        blanks: frames in which the blank is likeliest.
        frames: encoder frames.
    """

    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    loss: float = 0.0
    tokens: int = 0
    blanks: int = 0
    frames: int = 0

    def score(self) -> metrics.Score:
        """Return word and character errors of the pairs."""
        return metrics.corpus((said, heard) for _, said, heard in self.pairs)

    @classmethod
    def merged(cls, parts: list[Heard]) -> Heard:
        """Return what all devices have heard, in an order that does not depend on how they shared it."""
        return cls(
            sorted(pair for part in parts for pair in part.pairs),
            math.fsum(part.loss for part in parts),
            sum(part.tokens for part in parts),
            sum(part.blanks for part in parts),
            sum(part.frames for part in parts),
        )


class TrainingModule(pl.LightningModule):
    """Features, augmentation and encoder as one function, trained by CTC (Graves 2006).

    An update is the gradient of the loss per token of all its batches, on however many devices and however many of
    them accumulated: two devices make the same update as one with both their batches.

    Args:
        acoustic: waveforms -> log-probabilities.
        tokenizer: ids -> text, for validation.
        decoder: searches the log-probabilities in validation.
        loss: what training makes small.
        augment: features -> features in training, or null.
        optimizer: parameters -> optimizer.
        scheduler: optimizer -> learning-rate schedule, stepped after each update; see `scheduled`.
        seed: with the batch's number it seeds dropout and augmentation, so that a resumed training goes on as it
            would have.
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
        self.heard = Heard()  # in the running validation
        self.tokens = 0  # of the batches of the running update
        self.lost = False  # whether the loss of one of them was not finite
        self.skipped = 0  # updates in a row that were skipped, because their gradient was not finite

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths.

        In training what lower layers of the encoder say may follow, each as the log-probabilities.
        """
        outputs: tuple[Tensor, ...] = self.acoustic(
            waveforms, lengths, self.augment if self.training else None
        )
        return outputs

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Return the batch's loss, summed over its tokens, and log the loss per token."""
        torch.manual_seed(self.seed * 1_000_003 + self._batch_number())
        views = self.loss.views  # each with masks and dropout of its own
        log_probs, lengths, *middle = self(batch.waveforms.repeat(views, 1), batch.lengths.repeat(views))
        loss, parts = self.loss(log_probs, batch.targets, lengths, batch.target_lengths, middle)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        for name, value in parts.items():
            self.log(f"train/{name}", value, batch_size=len(batch))
        tokens = int(batch.target_lengths.sum())
        self.tokens += tokens
        accumulated = (
            self._trainer.accumulate_grad_batches if self._trainer else 1
        )  # Lightning divides by that
        summed = loss * (tokens * accumulated)
        if not math.isfinite(float(loss.detach())):
            self.lost = True
            summed = (
                summed * math.nan
            )  # reaches every rank with the gradients, which an infinite loss may leave finite
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
            scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
            self.skipped += int(not scaled or bool(lost))
            for each in parameters:
                each.grad = None
            return
        self.skipped = 0
        if gradient_clip_val and gradient_clip_algorithm == "value":
            torch.nn.utils.clip_grad_value_(parameters, gradient_clip_val)
        elif gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, norm)

    def _batch_number(self) -> int:
        """Return which batch of the training this is, counting those of all ranks."""
        if self._trainer is None:
            return 0
        return self.trainer.fit_loop.epoch_loop.total_batch_idx * self.trainer.world_size + self.global_rank

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Decode the batch and keep what the end of the epoch reports."""
        log_probs, lengths, *_ = self(batch.waveforms, batch.lengths)
        heard = self.heard
        heard.pairs += self.transcripts(batch, log_probs, lengths)
        within = torch.arange(log_probs.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        heard.blanks += int((log_probs.argmax(-1) == 0)[within].sum())
        heard.frames += int(lengths.sum())
        if tokens := int(batch.target_lengths.sum()):
            known = batch.target_lengths > 0  # a text that the tokenizer cannot spell has no loss
            targets, target_lengths = batch.targets[known], batch.target_lengths[known]
            loss, _ = ctc_loss(log_probs[known], targets, lengths[known], target_lengths)
            heard.loss += float(loss) * tokens
            heard.tokens += tokens

    def transcripts(self, batch: Batch, log_probs: Tensor, lengths: Tensor) -> list[tuple[str, str, str]]:
        """Decode a batch into `(utterance id, reference, hypothesis)`."""
        pairs = []
        for utterance, found in zip(batch.utterances, self.decoder(log_probs, lengths), strict=True):
            pairs.append((utterance.id, self.tokenizer.normalize(utterance.text), str(found[0].text)))
        return pairs

    def on_validation_epoch_end(self) -> None:
        """Log error rates, loss and share of blanks of all ranks, and show three transcripts."""
        heard, self.heard = Heard.merged(ranks.gather(self.heard)), Heard()
        score = heard.score()
        self.log("val/wer", score.wer, prog_bar=True)
        self.log("val/cer", score.cer)
        figures = {"val/blank_rate": heard.blanks / max(heard.frames, 1)}
        if heard.tokens:
            figures = {"val/loss": heard.loss / heard.tokens} | figures
        for name, value in figures.items():
            self.log(name, value)
        samples = "\n".join(f"    said  {said}\n    heard {text}" for _, said, text in heard.pairs[-3:])
        shown = " ".join(f"{name[4:]} {value:.3f}" for name, value in figures.items())
        self.print(
            f"\nepoch {self.current_epoch}: wer {score.wer:.2%} cer {score.cer:.2%} {shown}\n{samples}"
        )
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("val/samples", samples, self.global_step)
            elif isinstance(logger, WandbLogger):
                rows = [[said, text] for _, said, text in heard.pairs[-3:]]
                logger.log_text("val/samples", ["said", "heard"], rows, step=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the tokenizer with the weights."""
        checkpoint["tokenizer"] = self.tokenizer.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that were trained for other tokens; the length of the schedule is this training's.

        Raises:
            UsageError: the tokens differ.
        """
        for state in checkpoint.get("lr_schedulers", []):
            for name in (*_LENGTHS, "_schedule_phases"):
                state.pop(name, None)
        there = checkpoint.get("tokenizer", {}).get("tokens", [])
        here = list(self.tokenizer.tokens)
        if there != here:
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

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule.

        Raises:
            UsageError: their settings are of the wrong kind, or out of range.
        """
        part = "optimizer"
        try:  # all weights: a frozen one has no gradient, so that nothing is done
            optimizer = self.optimizer(list(self.parameters()))
            if getattr(getattr(self._trainer, "precision_plugin", None), "scaler", None) is not None:
                # A fused optimizer would take the scale of fp16 off the gradients itself, after they are clipped.
                optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
            if self.scheduler is None:
                return optimizer
            part = "scheduler"
            schedule = scheduled(self.scheduler, optimizer, int(self.trainer.estimated_stepping_batches))
        except (TypeError, ValueError, ZeroDivisionError) as error:  # the last: a rise of exactly one update
            raise UsageError(f"a setting under {part}. does not fit: {error}") from error
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def scheduled(make: Callable[..., LRScheduler], optimizer: Optimizer, steps: int) -> LRScheduler:
    """Return the learning-rate schedule of a training of so many updates.

    Args:
        make: optimizer -> schedule, with a parameter for the updates of the whole training if it has need of them:
            `total_steps` or `T_max`, as PyTorch's schedules call it.
        optimizer: whose rate is scheduled.
        steps: updates of the whole training.
    """
    try:
        parameters = inspect.signature(make).parameters
    except ValueError:  # there is a setting that it lacks; the call tells which
        parameters = MappingProxyType({})
    return make(optimizer, **{name: steps for name in _LENGTHS if name in parameters})

"""The recogniser in training: the stages in order, CTC loss, validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from speechlstm import metrics
from speechlstm.decoders import Decoder
from speechlstm.errors import SpeechlstmError
from speechlstm.tokenizer import Tokenizer
from speechlstm.types import Batch


class Recognizer(pl.LightningModule):
    """Features, augmentation and encoder as one function, trained by CTC (Graves 2006).

    Args:
        features: waveforms -> features.
        encoder: features -> log-probabilities.
        tokenizer: ids -> text, for validation.
        decoder: searches the log-probabilities in validation.
        augment: features -> features in training, or null.
        optimizer: parameters -> optimizer.
        scheduler: (optimizer, total_steps) -> learning-rate schedule.
        seed: with the step it seeds dropout and augmentation, so that a resumed training goes on as it would have.
    """

    def __init__(
        self,
        features: nn.Module,
        encoder: nn.Module,
        tokenizer: Tokenizer,
        decoder: Decoder,
        augment: nn.Module | None = None,
        optimizer: Callable[[Any], Optimizer] = torch.optim.AdamW,
        scheduler: Callable[..., Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.features, self.encoder, self.augment = features, encoder, augment
        self.tokenizer, self.decoder = tokenizer, decoder
        self.optimizer, self.scheduler, self.seed = optimizer, scheduler, seed
        self.pairs: list[tuple[str, str]] = []  # (reference, hypothesis) of the running validation

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(batch, samples)` and lengths to log-probabilities `(batch, frames, vocab)` and lengths."""
        features, lengths = self.features(waveforms, lengths)
        if self.training and self.augment is not None:
            features = self.augment(features, lengths)
        log_probs, lengths = self.encoder(features, lengths)
        return log_probs, lengths

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the batch's loss and log it."""
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)
        log_probs, lengths = self(batch.waveforms, batch.lengths)
        loss, unalignable = ctc_loss(log_probs, batch.targets, lengths, batch.target_lengths)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log("train/unalignable", float(unalignable), reduce_fx="sum", on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Decode the batch and keep references and hypotheses for the end of the epoch."""
        log_probs, lengths = self.validation_pairs(batch, batch_index)
        within = torch.arange(log_probs.shape[1], device=lengths.device) < lengths.unsqueeze(1)
        blanks = (log_probs.argmax(-1) == 0)[within].float().mean()
        if tokens := int(batch.target_lengths.sum()):
            known = batch.target_lengths > 0  # a text that the tokenizer cannot spell has no loss
            targets, target_lengths = batch.targets[known], batch.target_lengths[known]
            loss, _ = ctc_loss(log_probs[known], targets, lengths[known], target_lengths)
            self.log("val/loss", loss, batch_size=tokens)
        self.log("val/blank_rate", blanks, batch_size=int(lengths.sum()))

    def validation_pairs(self, batch: Batch, batch_index: int) -> tuple[Tensor, Tensor]:
        """Decode a batch into `pairs`; return its log-probabilities and lengths."""
        log_probs, lengths = self(batch.waveforms, batch.lengths)
        for utterance, found in zip(batch.utterances, self.decoder(log_probs, lengths), strict=True):
            text = ""
            if found:
                text = self.tokenizer.decode(found[0].tokens) if found[0].text is None else found[0].text
            self.pairs.append((self.tokenizer.normalize(utterance.text), text))
        return log_probs, lengths

    def on_validation_epoch_end(self) -> None:
        """Log word and character error rates and show three transcripts."""
        score = metrics.corpus(self.pairs)
        self.log("val/wer", score.wer, prog_bar=True)
        self.log("val/cer", score.cer)
        samples = "\n".join(f"    said  {said}\n    heard {heard}" for said, heard in self.pairs[-3:])
        seen = {key: float(value) for key, value in self.trainer.callback_metrics.items()}
        figures = " ".join(
            f"{key[4:]} {seen[key]:.3f}" for key in ("val/loss", "val/blank_rate") if key in seen
        )
        self.print(
            f"\nepoch {self.current_epoch}: wer {score.wer:.2%} cer {score.cer:.2%} {figures}\n{samples}"
        )
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("val/samples", samples, self.global_step)
        self.pairs = []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the tokens with the weights."""
        checkpoint["tokens"] = list(self.tokenizer.tokens)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights that were trained for other tokens."""
        if checkpoint.get("tokens") != self.tokenizer.tokens:
            raise SpeechlstmError(
                "the checkpoint was trained for other tokens than this training text has; use another out="
            )

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its schedule."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        if self.scheduler is None:
            return optimizer
        schedule = self.scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def ctc_loss(
    log_probs: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor
) -> tuple[Tensor, int]:
    """Return the CTC loss per target token and how many utterances have no alignment.

    Each utterance's negative log-likelihood is summed and divided by the number of target tokens of the batch: a
    token counts the same in a short utterance and a long one, and the size of the step does not depend on how many
    utterances fill a batch. An utterance with too few frames for its tokens adds nothing and is counted.

    Args:
        log_probs: `(batch, frames, vocab)` natural logs; computed with in float32 whatever they come in.
        targets: `(batch, tokens)` ids without blanks.
        lengths: `(batch,)` frames.
        target_lengths: `(batch,)` tokens.

    Raises:
        SpeechlstmError: a target is blank or not in the vocabulary. The CPU kernel would read outside its memory.
    """
    within = torch.arange(targets.shape[1], device=targets.device) < target_lengths.unsqueeze(1)
    labels = targets[within]
    if labels.numel() and not 1 <= int(labels.min()) <= int(labels.max()) < log_probs.shape[-1]:
        raise SpeechlstmError(
            f"CTC targets lie in {int(labels.min())}..{int(labels.max())}, but must be in "
            f"1..{log_probs.shape[-1] - 1}; the tokenizer does not belong to this encoder"
        )
    each = F.ctc_loss(
        log_probs.float().transpose(0, 1),
        targets,
        lengths,
        target_lengths,
        reduction="none",
        zero_infinity=True,
    )
    repeats = ((targets[:, 1:] == targets[:, :-1]) & within[:, 1:]).sum(1)
    unalignable = int((target_lengths + repeats > lengths).sum())
    return each.sum() / target_lengths.sum().clamp(min=1), unalignable

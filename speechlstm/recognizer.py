"""The recogniser in training: the stages in order, CTC loss, validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.optim import Optimizer

from speechlstm import metrics
from speechlstm.decoders import Decoder
from speechlstm.errors import SpeechlstmError
from speechlstm.loss import CtcLoss, ctc_loss
from speechlstm.tokenizer import Tokenizer
from speechlstm.types import Batch


class Recognizer(pl.LightningModule):
    """Features, augmentation and encoder as one function, trained by CTC (Graves 2006).

    Args:
        features: waveforms -> features.
        encoder: features -> log-probabilities.
        tokenizer: ids -> text, for validation.
        decoder: searches the log-probabilities in validation.
        loss: what training makes small.
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
        loss: CtcLoss,
        augment: nn.Module | None = None,
        optimizer: Callable[[Any], Optimizer] = torch.optim.AdamW,
        scheduler: Callable[..., Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.features, self.encoder, self.augment = features, encoder, augment
        self.tokenizer, self.decoder, self.loss = tokenizer, decoder, loss
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
        views = self.loss.views  # each with masks and dropout of its own
        log_probs, lengths = self(batch.waveforms.repeat(views, 1), batch.lengths.repeat(views))
        loss, parts = self.loss(log_probs, batch.targets, lengths, batch.target_lengths)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        for name, value in parts.items():
            self.log(f"train/{name}", value, batch_size=len(batch))
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

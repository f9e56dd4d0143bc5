"""CTC, optionally also on lower layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlstm.types import SpeechlstmError


class CtcLoss:
    """Connectionist temporal classification (Graves 2006).

    An encoder with outputs after lower layers (`encoder.intermediate`) is trained on those as well: Lee and Watanabe,
    Intermediate loss regularization for CTC-based speech recognition, ICASSP 2021.
    """

    needs_lm = False

    def __init__(self, intermediate: float = 0.3) -> None:
        self.intermediate = intermediate

    def prepare(self, targets: Sequence[Sequence[int]], vocab_size: int) -> None:
        """Learn what a loss has to know of the token ids of the training texts; CTC has to know nothing."""

    def measure(self, log_probs: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
        """Return what a validation reports, per target token: the loss of the last layer's output.

        Arguments as in `ctc_loss`.
        """
        return ctc_loss(log_probs, targets, lengths, target_lengths)[0]

    def __call__(
        self,
        log_probs: Tensor,
        targets: Tensor,
        lengths: Tensor,
        target_lengths: Tensor,
        middle: Sequence[Tensor] = (),
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and its parts for the log.

        Arguments as in `ctc_loss`; `middle` are outputs of lower layers, each as `log_probs`.
        """
        loss, unalignable = ctc_loss(log_probs, targets, lengths, target_lengths)
        parts = {"unalignable": float(unalignable)}
        if middle:
            parts["ctc"] = float(loss.detach())
            lower = [ctc_loss(each, targets, lengths, target_lengths)[0] for each in middle]
            mean = torch.stack(lower).mean()
            parts["intermediate"] = float(mean.detach())
            loss = (1 - self.intermediate) * loss + self.intermediate * mean
        return loss, parts


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

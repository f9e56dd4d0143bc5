"""CTC, also of lower layers, and the agreement of two views of each utterance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlstm.types import SpeechlstmError


class CtcLoss:
    """Connectionist temporal classification (Graves 2006), optionally with consistency regularization.

    With `consistency` above 0 the encoder gets each utterance twice, under other masks and other dropout, and
    besides spelling the text from both it must agree with itself frame by frame: Yao et al., CR-CTC: Consistency
    regularization on CTC for improved speech recognition, ICLR 2025. It costs a second forward and backward pass.

    An encoder with outputs after lower layers (`encoder.intermediate`) is trained on those as well: Lee and Watanabe,
    Intermediate loss regularization for CTC-based speech recognition, ICASSP 2021.
    """

    needs_lm = False

    def __init__(self, consistency: float = 0.0, intermediate: float = 0.3) -> None:
        self.consistency, self.intermediate = consistency, intermediate
        self.views = 2 if consistency else 1  # how often the encoder gets each utterance

    def prepare(self, targets: Sequence[Sequence[int]], vocab_size: int) -> None:
        """Learn what a loss has to know of the training texts before the first batch; CTC has to know nothing.

        Args:
            targets: token ids of each training text.
            vocab_size: number of tokens, the blank included.
        """

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

        Args:
            log_probs: `(views * batch, frames, vocab)` natural logs, the views one after the other.
            targets: `(batch, tokens)` ids without blanks.
            lengths: `(views * batch,)` frames.
            target_lengths: `(batch,)` tokens.
            middle: outputs of lower layers, each as `log_probs`.
        """
        targets, repeated = targets.repeat(self.views, 1), target_lengths.repeat(self.views)
        loss, unalignable = ctc_loss(log_probs, targets, lengths, repeated)
        parts = {"unalignable": float(unalignable)}
        if middle or self.consistency:
            parts["ctc"] = float(loss.detach())
        if middle:
            lower = torch.stack([ctc_loss(each, targets, lengths, repeated)[0] for each in middle]).mean()
            parts["intermediate"] = float(lower.detach())
            loss = (1 - self.intermediate) * loss + self.intermediate * lower
        if self.consistency:
            first, second = log_probs.chunk(2)
            apart = disagreement(first, second, lengths.chunk(2)[0]) / target_lengths.sum().clamp(min=1)
            parts["disagreement"] = float(apart.detach())
            loss = loss + self.consistency * apart
        return loss, parts


def disagreement(first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    """Return half the Kullback-Leibler divergence of each view from the other, summed over all frames.

    The view that is diverged from is a teacher: no gradient flows into it. Views are `(batch, frames, vocab)` natural
    logs, lengths `(batch,)` frames.
    """
    first, second = first.float(), second.float()
    frames = torch.arange(first.shape[1], device=lengths.device) < lengths.unsqueeze(1)
    both = F.kl_div(first, second.detach(), reduction="none", log_target=True)
    both = both + F.kl_div(second, first.detach(), reduction="none", log_target=True)
    return both.sum(-1)[frames].sum() / 2


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

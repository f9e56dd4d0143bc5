"""CTC-CRF: the probability of the text among all texts, a language model included."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from speechlstm.training.loss.ctc import CtcLoss, ctc_loss
from speechlstm.training.loss.denominator import Denominator
from speechlstm.training.loss.ngram import TokenNgram, estimate
from speechlstm.types import SpeechlstmError


class CrfLoss(CtcLoss):
    """Conditional random field with CTC's topology: Xiang and Ou, ICASSP 2019; CAT, An et al., Interspeech 2020.

    CTC takes the tokens of a text for independent of each other, so the network has to learn spelling as well as
    sounds. Here a text's score is its CTC probability times its probability by an n-gram of the training texts, and
    what is made large is the score's share in the scores of all texts: what the n-gram knows need not be learned, and
    data go further. It is lattice-free MMI (Povey et al., Interspeech 2016) with one state a token.

    The network then counts on the language model of a decoder; alone, or read greedily, its output means little.
    """

    needs_lm = True

    def __init__(self, ctc_weight: float = 0.1, order: int = 3, intermediate: float = 0.3) -> None:
        super().__init__(intermediate)
        self.ctc_weight, self.order = ctc_weight, order
        self.ngram: TokenNgram | None = None
        self.denominator: Denominator | None = None

    def prepare(self, targets: Sequence[Sequence[int]], vocab_size: int) -> None:
        """Estimate the n-gram from the token ids of the training texts.

        Raises:
            UsageError: there are too many tokens for `order`.
        """
        self.ngram = estimate(targets, vocab_size, self.order)
        self.denominator = Denominator(self.ngram)

    def __call__(
        self,
        log_probs: Tensor,
        targets: Tensor,
        lengths: Tensor,
        target_lengths: Tensor,
        middle: Sequence[Tensor] = (),
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and its parts for the log; arguments as in `CtcLoss`."""
        plain, parts = super().__call__(log_probs, targets, lengths, target_lengths, middle)
        crf = self.measure(log_probs, targets, lengths, target_lengths)
        return crf + self.ctc_weight * plain, {
            "ctc": float(plain.detach()),
            "crf": float(crf.detach()),
        } | parts

    def measure(self, log_probs: Tensor, targets: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
        """Return the negative log-probability of the texts among all texts, per target token.

        As with CTC, an utterance with too few frames for its tokens adds nothing. Arguments as in `ctc_loss`.

        Raises:
            SpeechlstmError: `prepare` has not been called, or a target is blank or not in the vocabulary.
        """
        if self.ngram is None or self.denominator is None:
            raise SpeechlstmError(
                "the CRF loss has no n-gram yet: call its prepare(targets, vocab_size) first"
            )
        likelihood, _ = ctc_loss(log_probs, targets, lengths, target_lengths)
        totals = self.denominator(log_probs, lengths)
        sequences = [
            row[:length] for row, length in zip(targets.tolist(), target_lengths.tolist(), strict=True)
        ]
        prior = torch.tensor([self.ngram.log_prob(each) for each in sequences], dtype=totals.dtype)
        repeats = [sum(a == b for a, b in pairwise(each)) for each in sequences]
        needed = target_lengths + torch.tensor(repeats, device=target_lengths.device)
        alignable = needed <= lengths
        rest = (totals - prior.to(totals)).where(alignable, 0.0).sum()
        return likelihood + rest / target_lengths.sum().clamp(min=1)

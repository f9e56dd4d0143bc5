"""Results of a validation, on each device and over all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from speechlstm.evaluation import metrics


@dataclass
class Validation:
    """What a validation has gathered so far, on one device."""

    pairs: list[tuple[str, str, str]] = field(default_factory=list)  # `(utterance id, reference, hypothesis)`
    loss: float = 0.0  # what the loss measures, summed over tokens
    tokens: int = 0  # target tokens
    blanks: int = 0  # frames in which the blank is likeliest
    frames: int = 0  # encoder frames

    def score(self) -> metrics.Score:
        """Return word and character errors of the pairs."""
        return metrics.corpus((reference, hypothesis) for _, reference, hypothesis in self.pairs)

    @property
    def blank_rate(self) -> float:
        """The share of frames in which the blank is likeliest."""
        return self.blanks / max(self.frames, 1)

    @classmethod
    def merged(cls, parts: list[Validation]) -> Validation:
        """Return what all devices have gathered, in an order that does not depend on how they shared it."""
        return cls(
            sorted(pair for part in parts for pair in part.pairs),
            math.fsum(part.loss for part in parts),
            sum(part.tokens for part in parts),
            sum(part.blanks for part in parts),
            sum(part.frames for part in parts),
        )

"""All that a search may find, by brute force over every alignment."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

from torch import Tensor

from speechlstm.model.tokenizer import Characters

CHARACTERS = Characters.from_texts(["ab"])  # <blank> <space> a b
WIDE = {"beam_size": 3000, "token_threshold": 0.0, "beam_threshold": math.inf}


def readings(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """Return the probability of every token sequence, all its alignments added up."""
    totals: dict[tuple[int, ...], float] = defaultdict(float)
    probs = log_probs.double().exp().tolist()
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        tokens = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[tokens] += math.prod(row[token] for row, token in zip(probs, path, strict=True))
    return totals


def best(scores: dict[tuple[int, ...], float]) -> tuple[tuple[int, ...], float]:
    return max(scores.items(), key=lambda item: item[1])

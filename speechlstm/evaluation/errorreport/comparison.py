"""Two recognizers on the same utterances: whether the difference of their error rates is more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlstm.data.manifest import read_entries
from speechlstm.evaluation.metrics import Counts
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import ManifestError, Utterance, counted

_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The word error rate of one recognizer less that of another, on the utterances that both have recognized."""

    utterances: int  # how many both have recognized
    rates: tuple[float, float]  # word error rates of the first and of the other
    difference: float  # the first less the second; negative if the first is better
    interval: tuple[float, float]  # 95 % bootstrap percentile interval of the difference
    p: float  # two-sided: twice the share of draws in which the difference is none or has the other sign
    better: int  # utterances in which the first has fewer word errors
    worse: int  # utterances in which it has more
    changed: int  # utterances whose hypotheses differ


def read_hypotheses(
    path: str | Path, utterances: Sequence[Utterance], tokenizer: Tokenizer
) -> dict[str, str]:
    """Read what another run of `evaluate` has written.

    Returns:
        normalized hypotheses by the ids of `utterances`, for those that are in the file.

    Raises:
        ManifestError: it cannot be read, a line has no `pred_text`, an id has another text or stands there twice, or
            none of the utterances are there.
    """
    texts = {u.id: tokenizer.normalize(u.text) for u in utterances}
    hypotheses: dict[str, str] = {}
    entries, bad = read_entries(path)
    if bad:
        raise bad[0][1]
    for number, other in entries:
        where = f"{path}:{number}"
        hypothesis = other.extra.get("pred_text")
        if not isinstance(hypothesis, str):
            raise ManifestError(
                f"{where}: no pred_text; compare_with takes what `evaluate ... out=FILE` has written"
            )
        if other.id not in texts:
            continue
        if (text := tokenizer.normalize(other.text)) != texts[other.id]:
            raise ManifestError(
                f"{where}: the text of {other.id} is {text!r}, but here it is {texts[other.id]!r};"
                " compare hypotheses of the same manifest"
            )
        if other.id in hypotheses:
            raise ManifestError(f"{where}: id {other.id!r} stands there already")
        hypotheses[other.id] = tokenizer.normalize(hypothesis)
    if not hypotheses:
        raise ManifestError(
            f"{path}: none of its ids are among {counted(len(texts), 'utterance')} of the manifest"
        )
    return hypotheses


def compare(ours: Mapping[str, Counts], theirs: Mapping[str, Counts], changed: int) -> Comparison | None:
    """Test a difference of word error rates by a paired bootstrap over utterances (Bisani and Ney 2004).

    Both recognizers are scored on the same draws, so that what makes an utterance hard for both cancels out. Word
    errors are given by utterance; those that only one recognizer has are left out.

    Returns:
        the comparison; None if the utterances of both have no reference words.
    """
    pairs = [(ours[name], theirs[name]) for name in ours if name in theirs]
    table = np.array([(a.errors, b.errors, a.length) for a, b in pairs], np.int64).reshape(-1, 3)
    # Drawing utterances is drawing how often each kind of them occurs, and there are few kinds.
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    first, second, words = (int(total) for total in table.sum(axis=0))
    if not words:
        return None
    generator = np.random.default_rng(0)
    draws = generator.multinomial(len(table), counts / len(table), _RESAMPLES) @ kinds
    draws = draws[draws[:, 2] > 0]  # a draw without any reference word has no rate
    differences = (draws[:, 0] - draws[:, 1]) / draws[:, 2]
    low, high = (float(end) for end in np.quantile(differences, [0.025, 0.975]))
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(differences) + 1))
    gains = table[:, 1] - table[:, 0]
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    rates, difference = (first / words, second / words), (first - second) / words
    return Comparison(len(pairs), rates, difference, (low, high), p, better, worse, changed)

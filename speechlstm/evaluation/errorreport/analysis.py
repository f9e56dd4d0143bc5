"""The figures of the error report, as plain JSON: rates with their intervals, by what they may depend on.

Rates are fractions, null where there is no reference word; intervals hold 95 %: of error rates by bootstrap over
utterances (`speechlstm.evaluation.metrics.Score.interval`), of shares after Wilson (`share_interval` there).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from speechlstm.evaluation.errorreport.causes import Cause
from speechlstm.evaluation.errorreport.comparison import Comparison, compare
from speechlstm.evaluation.metrics import Counts, Score, character_errors, corpus, share_interval
from speechlstm.evaluation.metrics import errors as word_errors
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import Utterance

_BINS = 6  # of durations, noise and speaking rates, with as many utterances each
_CONFIDENCE_BINS = 10
_LISTED = 100  # confusions, and words left out or put in
_ALTERNATIVES = 10  # of an utterance


def analyze(
    utterances: Sequence[Utterance],
    transcripts: Sequence[Transcript],
    causes: Sequence[Cause | None],
    snrs: Sequence[float | None],
    others: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return all that the page shows, but the sound.

    References are normalized, `snrs` decibels, and `others` the hypotheses of another recognizer by id.
    """
    score = corpus((u.text, t.text) for u, t in zip(utterances, transcripts, strict=True))
    counts = score.utterances
    characters = [character_errors(u.text, t.text) for u, t in zip(utterances, transcripts, strict=True)]
    seconds = [t.duration for t in transcripts]
    speeds = [c.length / s if c.length and s else None for c, s in zip(counts, seconds, strict=True)]
    table = [
        _entry(*each)
        for each in zip(utterances, transcripts, counts, causes, snrs, speeds, strict=True)
    ]  # fmt: skip
    wrong = score.wrong_sentences
    result: dict[str, Any] = {
        "seconds": sum(seconds),
        "words": rate(counts),
        "characters": rate(characters),
        "sentences": {"wrong": wrong, "count": len(counts)} | share(wrong, len(counts)),
        "groups": {
            "speaker": by_label([u.speaker for u in utterances], counts),
            "seconds": by_quantile(seconds, counts),
            "snr": by_quantile(snrs, counts),
            "speed": by_quantile(speeds, counts),
        },
        "causes": by_cause(causes, counts),
        "calibration": calibration(judged_words(utterances, transcripts)),
        "oracle": oracle(utterances, transcripts),
        "utterances": table,
        "comparison": None,
    } | confused(utterances, score.confusions)
    if others is not None:
        difference = compared(utterances, transcripts, others)
        result["comparison"] = asdict(difference) if difference else None
        for entry, u in zip(table, utterances, strict=True):
            if u.id in others:
                entry["other"] = {"text": _spaced(others[u.id]), "steps": alignment(u.text, others[u.id])}
    return result


def alignment(reference: str, hypothesis: str) -> str:
    """Return a shortest alignment of words as letters: `=` hit, `s` substitution, `d` deletion, `i` insertion."""
    letters = {"equal": "=", "replace": "s", "delete": "d", "insert": "i"}
    return "".join(
        letters[step.tag] * max(step.src_end - step.src_start, step.dest_end - step.dest_start)
        for step in Levenshtein.opcodes(reference.split(), hypothesis.split())
    )


def rate(counts: Sequence[Counts]) -> dict[str, Any]:
    """Return the error rate of some utterances with its interval and what it is made of."""
    total = sum(counts, Counts())
    result: dict[str, Any] = {"utterances": len(counts), "errors": total.errors, "length": total.length}
    result |= {name: getattr(total, name) for name in ("substitutions", "deletions", "insertions")}
    if not total.length:
        return result | {"rate": None, "interval": None}
    # A single utterance says nothing of how much utterances differ.
    interval = list(Score(list(counts), total, Counts(), 0, []).interval()) if len(counts) > 1 else None
    return result | {"rate": total.rate, "interval": interval}


def by_label(labels: Sequence[str | None], counts: Sequence[Counts]) -> list[dict[str, Any]]:
    """Return the error rate of each label, highest first; utterances without one are left out."""
    groups: dict[str, list[Counts]] = defaultdict(list)
    for label, count in zip(labels, counts, strict=True):
        if label is not None:
            groups[label].append(count)
    result = [{"label": label} | rate(group) for label, group in groups.items()]
    return sorted(result, key=lambda group: (-(group["rate"] or 0), group["label"]))


def by_quantile(values: Sequence[float | None], counts: Sequence[Counts]) -> list[dict[str, Any]]:
    """Return the error rate in ranges of a quantity that hold about as many utterances each.

    A range begins with its `low` and ends before its `high`, the last one with it; equal values are never divided.
    """
    known = [(value, count) for value, count in zip(values, counts, strict=True) if value is not None]
    if not known:
        return []
    numbers = np.array([value for value, _ in known])
    bins = max(1, min(_BINS, len(known) // 5))  # fewer utterances than that tell nothing
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1), method="higher"))
    places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    groups = []
    for place in range(max(len(edges) - 1, 1)):
        inside = [count for (_, count), at in zip(known, places, strict=True) if at == place]
        ends = {"low": float(edges[place]), "high": float(edges[min(place + 1, len(edges) - 1)])}
        groups.append(ends | {"middle": float(np.median(numbers[places == place]))} | rate(inside))
    return groups


def by_cause(causes: Sequence[Cause | None], counts: Sequence[Counts]) -> dict[str, dict[str, int]]:
    """Return for each cause how many utterances have it, and their word errors."""
    result = {kind: {"utterances": 0, "errors": 0} for kind in ("search", "model", "unreachable")}
    for cause, count in zip(causes, counts, strict=True):
        if cause is not None:
            result[cause.kind]["utterances"] += 1
            result[cause.kind]["errors"] += count.errors
    return result


def confused(utterances: Sequence[Utterance], confusions: Sequence[tuple[str, str, int]]) -> dict[str, Any]:
    """Return the words most often confused, left out and put in, each with how often the reference has it."""
    spoken = Counter(word for u in utterances for word in u.text.split())
    pairs = [[was, became, spoken[was], count] for was, became, count in confusions if was and became]
    return {
        "confusions": pairs[:_LISTED],
        "deleted": [[was, spoken[was], count] for was, became, count in confusions if not became][:_LISTED],
        "inserted": [[new, spoken[new], count] for was, new, count in confusions if not was][:_LISTED],
    }


def judged_words(
    utterances: Sequence[Utterance], transcripts: Sequence[Transcript]
) -> list[tuple[float, bool]]:
    """Return `(confidence, whether it is right)` of each recognized word."""
    judged: list[tuple[float, bool]] = []
    for u, t in zip(utterances, transcripts, strict=True):
        right = [step == "=" for step in alignment(u.text, t.text) if step != "d"]
        if len(right) == len(t.words):  # a decoder may write words that its tokens do not have
            judged += zip((word.confidence for word in t.words), right, strict=True)
    return judged


def calibration(judged: Sequence[tuple[float, bool]]) -> dict[str, Any] | None:
    """Return how often words of a confidence are right, or None without words.

    The expected calibration error is the mean distance of confidence and share of right words over bins of equal
    width, weighted by their words (Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3).
    """
    if not judged:
        return None
    confidences, right = np.array([c for c, _ in judged]), np.array([r for _, r in judged])
    places = np.minimum((confidences * _CONFIDENCE_BINS).astype(int), _CONFIDENCE_BINS - 1)
    bins, error = [], 0.0
    for place in range(_CONFIDENCE_BINS):
        inside = places == place
        count, hits = int(inside.sum()), int(right[inside].sum())
        entry: dict[str, Any] = {"low": place / _CONFIDENCE_BINS, "high": (place + 1) / _CONFIDENCE_BINS}
        entry |= {"count": count, "confidence": float(confidences[inside].mean()) if count else None}
        bins.append(entry | share(hits, count))
        if count:
            error += count / len(judged) * abs(hits / count - float(confidences[inside].mean()))
    return {"words": len(judged), "error": error, "bins": bins}


def oracle(utterances: Sequence[Utterance], transcripts: Sequence[Transcript]) -> list[dict[str, Any]]:
    """Return the error rate if the best of the first n hypotheses were chosen, for each n; empty without lists."""
    longest = max((len(t.alternatives) + 1 for t in transcripts), default=1)
    if longest < 2:
        return []
    best: list[list[Counts]] = []  # of each utterance, for each n
    for u, t in zip(utterances, transcripts, strict=True):
        line = [word_errors(u.text, t.text)]
        for other in t.alternatives:
            line.append(min(line[-1], word_errors(u.text, other.text), key=lambda count: count.errors))
        best.append(line + line[-1:] * (longest - len(line)))
    lengths = sorted({1, 2, 3, 5, 10, 20, 30, 50, 100, longest})
    return [{"n": n} | rate([line[n - 1] for line in best]) for n in lengths if n <= longest]


def compared(
    utterances: Sequence[Utterance], transcripts: Sequence[Transcript], others: Mapping[str, str]
) -> Comparison | None:
    """Compare with the hypotheses of another recognizer by id; see `comparison.compare`."""
    both = [(u, t.text, others[u.id]) for u, t in zip(utterances, transcripts, strict=True) if u.id in others]
    ours = {u.id: word_errors(u.text, text) for u, text, _ in both}
    theirs = {u.id: word_errors(u.text, other) for u, _, other in both}
    return compare(ours, theirs, sum(text.split() != other.split() for _, text, other in both))


def by_interest(table: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return indices of the page's utterances: those with two different hypotheses first, then by errors."""

    def key(index: int) -> tuple[bool, int, int]:
        entry = table[index]
        same = entry.get("other", {}).get("text", entry["hypothesis"]) == entry["hypothesis"]
        return same, -entry["errors"], index

    return sorted(range(len(table)), key=key)


def _entry(
    u: Utterance, t: Transcript, count: Counts, cause: Cause | None, snr: float | None, speed: float | None
) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": u.id, "file": u.audio_filepath, "offset": u.offset, "speaker": u.speaker}
    entry |= {"seconds": _rounded(t.duration), "snr": _rounded(snr), "speed": _rounded(speed)}
    entry |= {"reference": _spaced(u.text), "hypothesis": _spaced(t.text), "steps": alignment(u.text, t.text)}
    entry |= {"errors": count.errors, "length": count.length}
    entry["words"] = [[_rounded(w.start), _rounded(w.end), _rounded(w.confidence)] for w in t.words]
    entry["alternatives"] = [
        [other.text, _rounded(other.score), word_errors(u.text, other.text).errors]
        for other in t.alternatives[:_ALTERNATIVES]
    ]
    if cause is not None:
        entry |= {"cause": cause.kind, "ctc": [_rounded(score) for score in cause.ctc]}
        entry["total"] = [_rounded(score) for score in cause.total]
    return entry


def share(part: int, whole: int) -> dict[str, Any]:
    """Return a share with Wilson's interval."""
    if not whole:
        return {"rate": None, "interval": None}
    return {"rate": part / whole, "interval": list(share_interval(part, whole))}


def _spaced(text: str) -> str:
    """Return a text with one plain space between words, for a program that knows no other."""
    return " ".join(text.split())


def _rounded(number: float | None) -> float | None:
    return round(number, 3) if number is not None and math.isfinite(number) else None

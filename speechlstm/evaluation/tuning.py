"""Choosing a decoder's numbers on a development set, with Optuna."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.data.files import write_atomically
from speechlstm.decoders.base import Decoder
from speechlstm.decoders.posteriors import padded
from speechlstm.evaluation.benchmark import measure
from speechlstm.evaluation.errorreport.analysis import judged_words
from speechlstm.evaluation.logprobs import LogProbs
from speechlstm.evaluation.metrics import Score
from speechlstm.evaluation.pages.palette import light
from speechlstm.evaluation.plots import check_plots, figure, to_png
from speechlstm.model.settings import flat
from speechlstm.transcription.transcript import to_transcript
from speechlstm.types import SpeechlstmError, UsageError

# What is worth searching for, if a decoder has it, and where: weights and prices, not sizes, which cost time.
RANGES: Mapping[str, tuple[float, float]] = {
    "lm_weight": (0.0, 2.5),
    "word_bonus": (-2.0, 4.0),
    "unk_score": (-15.0, 0.0),
    "acoustic_scale": (0.2, 2.0),
    "blank_penalty": (0.0, 5.0),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """Numbers that were tried: parameters by name, and the errors they gave."""

    params: dict[str, float]  # empty: the decoder's own
    score: Score

    @property
    def rank(self) -> tuple[float, float]:
        """Word errors, and between equals character errors."""
        return self.score.wer, self.score.cer


def ranges(settings: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Return the parameters to search with their least and greatest values.

    Without a choice of the user, those of `RANGES` that the decoder has.

    Raises:
        UsageError: a parameter that the decoder has not, a range that is none, or nothing to search.
    """
    known = flat(settings)
    if wanted is None:
        chosen = {name: RANGES[last] for name in known if (last := name.rpartition(".")[2]) in RANGES}
        if settings.get("lm") is None:
            chosen = {name: span for name, span in chosen.items() if name not in ("lm_weight", "unk_score")}
        if not chosen:
            raise UsageError(
                f"this decoder has none of {', '.join(RANGES)}; name its own: +search.NAME=[low,high]"
            )
        return chosen
    if not isinstance(wanted, Mapping):
        raise UsageError(f"search is {wanted!r}, but must be a mapping, as in search={{lm_weight:[0,2]}}")
    chosen = flat(wanted)
    for name, span in chosen.items():
        if name not in known:
            there = ", ".join(key for key in known if key != "name")
            raise UsageError(f"search.{name}: the decoder has no such parameter; it has: {there}")
        if not _is_range(span):
            raise UsageError(f"search.{name} is {span}, but must be [low, high], two numbers")
    return {name: (float(low), float(high)) for name, (low, high) in chosen.items()}


def _is_range(span: Any) -> bool:
    numbers = isinstance(span, Sequence) and all(isinstance(end, int | float) for end in span)
    return numbers and len(span) == 2 and -math.inf < span[0] < span[1] < math.inf


def with_values(settings: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    """Return nested settings in which some, by their dotted names, have other values."""
    changed = dict(settings)
    for name, value in values.items():
        first, dot, rest = name.partition(".")
        changed[first] = with_values(changed[first], {rest: value}) if dot else value
    return changed


def tune(
    make: Callable[[dict[str, float]], Decoder],
    dev: LogProbs,
    spans: Mapping[str, tuple[float, float]],
    start: Mapping[str, float],
    trials: int,
    seed: int,
) -> Iterator[Trial]:
    """Try numbers in their ranges, at last where Optuna's tree of Parzen estimators expects the best.

    Bergstra et al., "Algorithms for hyper-parameter optimization", 2011. Each of `spans` is the least and greatest
    value of a parameter. The first trial has the values of `start`, those outside a range at its nearer end, and
    random ones for what `start` lacks; so it need not be what the decoder has. Numbers are tried as `rounded`.

    Yields:
        each trial, as it is done.

    Raises:
        SpeechlstmError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SpeechlstmError("tuning needs Optuna: pip install 'speechlstm[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), direction="minimize")
    first = {name: min(max(start[name], low), high) for name, (low, high) in spans.items() if name in start}
    study.enqueue_trial(first)
    for _ in range(trials):
        asked = study.ask()
        params = {
            name: min(max(rounded(asked.suggest_float(name, low, high)), low), high)
            for name, (low, high) in spans.items()
        }
        trial = Trial(params, score(make(params), dev))
        # A character is a small part of a word, so this only decides between equal numbers of word errors.
        study.tell(asked, trial.score.wer + 1e-3 * trial.score.cer)
        yield trial


def rounded(number: float) -> float:
    """Return a number with three digits, as it is written: more would only seem exact."""
    return float(f"{number:.3g}")


def score(decoder: Decoder, dev: LogProbs) -> Score:
    """Return the errors of a decoder on a development set."""
    references = [decoder.tokenizer.normalize(utterance.text) for utterance in dev.utterances]
    return measure(decoder, dev.rows, references).score


def calibrate(decoder: Decoder, dev: LogProbs) -> tuple[float, float, float]:
    """Return the power that makes a decoder's word confidences most like the probabilities of being right.

    With one number it can make them smaller or greater, but never change which of two is greater.

    Returns:
        the power, and the cross-entropy of right and wrong words before and after, natural log per word.
    """
    normalized = [replace(each, text=decoder.tokenizer.normalize(each.text)) for each in dev.utterances]
    transcripts = [
        to_transcript(decoder(*padded([row]))[0], decoder.tokenizer, 1.0, each.id, float(len(row)))
        for each, row in zip(dev.utterances, dev.rows, strict=True)
    ]
    judged = judged_words(normalized, transcripts)
    if not judged:
        return 1.0, 0.0, 0.0
    sure, good = np.array(judged, np.float64).T
    logs = np.log(np.clip(sure, 1e-9, 1 - 1e-6))
    powers = np.geomspace(0.05, 20.0, 241)
    powers = np.append(powers, 1.0)
    scaled = powers[:, None] * logs
    losses = -np.where(good > 0, scaled, np.log(-np.expm1(scaled))).mean(axis=1)
    best = int(losses.argmin())
    return float(powers[best]), float(losses[-1]), float(losses[best])


def plot(trials: Sequence[Trial], title: str, path: str | Path) -> None:
    """Draw word error rate against each parameter as a PNG, later trials darker, the best one marked.

    Raises:
        SpeechlstmError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check_plots()
    best = min(trials, key=lambda trial: trial.rank)
    shades = np.linspace(0.15, 1.0, len(trials))
    rates = [100 * trial.score.wer for trial in trials]
    with figure(3.6 * len(best.params) + 0.6, 3.6) as drawn:
        for axes, name in zip(
            drawn.subplots(1, len(best.params), squeeze=False)[0], best.params, strict=True
        ):
            axes.scatter([trial.params[name] for trial in trials], rates, c=shades, cmap="cividis_r", s=22)
            marked = {"ms": 12, "mfc": "none", "mec": light("orange"), "mew": 2}
            axes.plot(best.params[name], 100 * best.score.wer, "o", **marked)
            axes.set(xlabel=name, ylabel="word error rate (%)")
            axes.label_outer()
            axes.grid(True, linewidth=0.6)
        drawn.suptitle(title, fontsize=10)
        write_atomically(Path(path), to_png(drawn))

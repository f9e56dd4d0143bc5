"""Error rate against speed: every decoder on the same log-probabilities."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from speechlstm import configs
from speechlstm.data.files import write_atomically
from speechlstm.decoders.base import Decoder
from speechlstm.decoders.posteriors import padded
from speechlstm.evaluation.metrics import Score, corpus
from speechlstm.evaluation.pages.palette import SERIES, light
from speechlstm.evaluation.plots import check_plots, figure, to_png
from speechlstm.model.tokenizer import Tokenizer

WIDTHS = ("beam_size", "beam")  # parameters that widen a search: prefixes kept, or how far below the best

_MARKERS = "os^DvPX*"  # a shape each, for print without colors
_BATCH = 16  # utterances


@dataclass(frozen=True, slots=True)
class Trial:
    """A decoder with one width of its beam, measured."""

    decoder: str  # its name
    setting: str  # the width, as in `beam_size=32`; empty without one
    score: Score  # word and character errors
    cpu_seconds: float  # processor time of all threads
    utterances: int  # how many were decoded
    audio_seconds: float  # how long they are


def widths(
    name: str, own: Mapping[str, Any], beam_sizes: Sequence[int], beams: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the settings to try with a decoder: values of the width that its config has, or one empty setting.

    A width among the decoder's own parameters is the only one.

    Raises:
        UsageError: the decoder has no config.
    """
    settings = configs.load(f"decoder/{name}").decoder
    for key, values in zip(WIDTHS, (beam_sizes, beams), strict=True):
        if key in settings:
            return [{key: value} for value in ([own[key]] if key in own else values)]
    return [{}]


def make(name: str, tokenizer: Tokenizer, lm: str | None, params: Mapping[str, Any]) -> Decoder:
    """Make a decoder by its config, with a language model if it takes one, and parameters of its own.

    Raises:
        SpeechlstmError: there is no such decoder, or it cannot be imported or made.
    """
    settings = configs.load(f"decoder/{name}").decoder
    given = {"lm": lm} if "lm" in settings and lm is not None else {}
    made: Decoder = configs.build_part("decoder", settings, tokenizer=tokenizer, **(given | dict(params)))
    return made


def measure(
    decoder: Decoder,
    rows: Sequence[Tensor],
    references: Sequence[str],
    audio_seconds: float = 0.0,
    name: str = "",
    setting: str = "",
) -> Trial:
    """Decode utterances and count the errors; the first is decoded once before the clock starts, to warm up.

    Each of `rows` is `(frames, vocab)`, the references are normalized.
    """
    decoder(*padded(list(rows[:1])))
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    texts = [""] * len(rows)
    spent = 0.0
    for first in range(0, len(order), _BATCH):
        indices = order[first : first + _BATCH]
        batch = padded([rows[index] for index in indices])
        begin = time.process_time()
        decoded = decoder(*batch)
        spent += time.process_time() - begin
        for index, (best, *_) in zip(indices, decoded, strict=True):
            texts[index] = str(best.text)
    score = corpus(zip(references, texts, strict=True))
    return Trial(name, setting, score, max(spent, 1e-9), len(rows), audio_seconds)


def as_table(trials: Sequence[Trial]) -> Iterator[str]:
    """Yield the results as lines for people."""
    width = max(len("decoder"), *(len(trial.decoder) for trial in trials))
    each = "utterances/CPU s"
    yield f"{'decoder':<{width}}  {'setting':<14} {'WER':>8}  {'95 % interval':<18} {each:>17} {'audio s/CPU s':>14}"
    for trial in trials:
        low, high = trial.score.interval()
        speed, rate = trial.utterances / trial.cpu_seconds, trial.audio_seconds / trial.cpu_seconds
        interval = f"{low:.2%} to {high:.2%}"
        yield (
            f"{trial.decoder:<{width}}  {trial.setting:<14} {trial.score.wer:>8.2%}  {interval:<18}"
            f" {speed:>17,.1f} {rate:>14,.0f}"
        )


def as_json(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the results as plain JSON; rates are fractions."""
    return [
        {
            "decoder": trial.decoder,
            "setting": trial.setting,
            "wer": trial.score.wer,
            "wer_interval": list(trial.score.interval()),
            "cer": trial.score.cer,
            "cpu_seconds": trial.cpu_seconds,
            "utterances_per_cpu_second": trial.utterances / trial.cpu_seconds,
            "audio_seconds_per_cpu_second": trial.audio_seconds / trial.cpu_seconds,
        }
        for trial in trials
    ]


def plot(trials: Sequence[Trial], title: str, path: str | Path) -> None:
    """Draw error rate against speed as a PNG: a line for each decoder, a point with its interval for each width.

    Raises:
        SpeechlstmError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    check_plots()
    with figure(8, 5.5) as drawn:
        axes = drawn.subplots()
        for number, name in enumerate(dict.fromkeys(trial.decoder for trial in trials)):
            color = light(SERIES[number % len(SERIES)])
            own = [trial for trial in trials if trial.decoder == name]
            speeds = [trial.audio_seconds / trial.cpu_seconds for trial in own]
            rates = np.array([100 * trial.score.wer for trial in own])
            ends = 100 * np.array([trial.score.interval() for trial in own]).T
            errors = np.maximum(0.0, [rates - ends[0], ends[1] - rates])
            marker = _MARKERS[number % len(_MARKERS)]
            axes.errorbar(
                speeds, rates, errors, label=name, color=color, marker=marker, capsize=3, elinewidth=0.8
            )
            for trial, speed, rate in zip(own, speeds, rates, strict=True):
                label = trial.setting.rpartition("=")[2]
                axes.annotate(
                    label, (speed, rate), (6, 5), textcoords="offset points", fontsize=8, color=color
                )
        axes.set(xscale="log", xlabel="speed (seconds of audio per second of processor time)", title=title)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("word error rate (%), with 95 % interval")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(True, which="both", linewidth=0.6)
        axes.legend(title="decoder, width of the beam at the points", title_fontsize=8, alignment="left")
        write_atomically(path, to_png(drawn))

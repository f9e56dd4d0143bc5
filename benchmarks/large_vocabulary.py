"""Decoders with a large lexicon and a word 3-gram on log-probabilities of a trained model: error rate against speed.

    python benchmarks/large_vocabulary.py manifest=dev.jsonl lm=words.arpa lexicon=words.dic [bundle=english]
        [only=beam,flashlight,wfst] [tune=60] [utterances=120] [best=20] [cache=FOLDER]

All decoders get the same log-probabilities (computed once and kept), the same language model, and the words of the
lexicon that the language model has. Of each four utterances one is for tuning, the others for measuring. Each decoder
is tuned alike: `lm_weight` and `word_bonus` by coordinate descent at a wide beam. The graph has no word bonus; here it
gets one, in a copy whose arcs that write a word cost more. Then each is measured with every width in `WIDTHS`; printed
are those that no other setting of the same decoder beats in both error rate and speed, and, for each of the others'
settings, how many times as fast `beam` is at no higher error rate. Last is the error rate if the best of the first
`best` hypotheses were chosen. Utterances per second of processor time, one thread.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import functools
import itertools
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decoders import search
from torch import Tensor

import speechlstm
from speechlstm.data.manifest import read_usable
from speechlstm.decoders import create
from speechlstm.decoders.lm import load
from speechlstm.evaluation import logprobs
from speechlstm.evaluation.metrics import corpus
from speechlstm.model.tokenizer import Tokenizer

# What makes each search wider; all combinations are measured.
WIDTHS: dict[str, dict[str, Sequence[float]]] = {
    "beam": {"beam_size": (50, 100, 200, 400, 1000), "beam_threshold": (7.0, 8.0, 9.0, 10.0, 12.0, 14.0)},
    "flashlight": {"beam_size": (50, 100, 200, 500), "max_tokens": (5, 10), "beam_threshold": (10.0, 14.0)},
    "wfst": {"beam": (7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0), "max_active": (1000, 7000)},
}
TUNING: dict[str, dict[str, float]] = {
    "beam": {"beam_size": 200, "beam_threshold": 12.0},
    "flashlight": {"beam_size": 200, "max_tokens": 10, "beam_threshold": 14.0},
    "wfst": {"beam": 11.0},
}
GRID = {
    "lm_weight": (0.6, 0.8, 1.0, 1.2, 1.5, 1.8),
    "word_bonus": (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0),
}  # natural logs
ARC = np.dtype(
    [("reads", "<i4"), ("writes", "<i4"), ("cost", "<f4"), ("target", "<i4")]
)  # of OpenFst's files


@dataclass(frozen=True)
class Task:
    """Utterances, and what all decoders know of them."""

    tokenizer: Tokenizer
    rows: Sequence[Tensor]
    references: Sequence[str]
    lm: Path
    lexicon: Path
    cache: Path  # folder for graphs

    def part(self, indices: Iterable[int]) -> Task:
        """Return the same with some of the utterances."""
        some = list(indices)
        rows, references = [self.rows[i] for i in some], [self.references[i] for i in some]
        return Task(self.tokenizer, rows, references, self.lm, self.lexicon, self.cache)


@dataclass(frozen=True)
class Point:
    """A decoder with one setting, measured."""

    setting: str
    rate: float  # utterances per second of processor time
    wer: float


def main() -> None:
    """Tune and measure each decoder, and print what came out."""
    options = dict(each.split("=", 1) for each in sys.argv[1:])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        task = prepare(options, Path(folder))
        every = range(len(task.rows))
        tuning = task.part(spread(every[::4], int(options.get("tune", 60))))
        measured = task.part(spread([i for i in every if i % 4], int(options.get("utterances", 120))))
        points, oracles = {}, {}
        for name in options.get("only", "beam,flashlight,wfst").split(","):
            weights = tune(name, tuning)
            points[name] = front(measure(name, measured, weights))
            show(name, weights, points[name])
            oracles[name] = oracle(name, measured, weights, int(options.get("best", 20)))
    print("\noracle error rate: " + ", ".join(f"{name} {rate:.2%}" for name, rate in oracles.items()))
    for name in points if "beam" in points else ():
        if name != "beam":
            compare(name, points["beam"], points[name])


def spread(items: Sequence[int], count: int) -> list[int]:
    """Return so many of the items, from all over."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def prepare(options: dict[str, str], folder: Path) -> Task:
    """Return the utterances of the manifest with their log-probabilities, and the lexicon all decoders share."""
    bundle = speechlstm.load(options.get("bundle", "english"))
    cache = Path(options["cache"]) if "cache" in options else None
    computed = logprobs.compute(bundle, read_usable(options["manifest"])[0], cache)
    references = [bundle.tokenizer.normalize(each.text) for each in computed.utterances]
    known = {bundle.tokenizer.normalize(word) for word in load(options["lm"]).words}
    lines = Path(options["lexicon"]).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and bundle.tokenizer.normalize(line.split()[0]) in known]
    lexicon = folder / "lexicon.txt"
    lexicon.write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = {line.split()[0] for line in lines}
    every = torch.cat(computed.rows).exp()
    print(
        f"{len(computed.rows)} utterances of {len(every) / len(computed.rows):.0f} frames, {every.shape[1]} tokens, "
        f"of which {(every[:, 1:] > 1e-3).sum(1).float().mean():.1f} a frame above 1e-3; {len(words):,} words with "
        f"{len(lines):,} pronunciations"
    )
    graphs = (cache or folder) / "wfst"
    return Task(bundle.tokenizer, computed.rows, references, Path(options["lm"]), lexicon, graphs)


def make(name: str, task: Task, **params: Any) -> Any:
    """Return a decoder with the task's language model and lexicon."""
    if name == "beam":
        common = {"lm": loaded(task.lm), "words": task.lexicon, "lexicon": "strict", "threads": 1}
        return create(name, tokenizer=task.tokenizer, **common, **params)
    if name == "flashlight":
        return create(name, tokenizer=task.tokenizer, lm=task.lm, lexicon=task.lexicon, **params)
    bonus = params.pop("word_bonus", 0.0)
    common = {"lm": task.lm, "lexicon": task.lexicon, "cache": task.cache}
    decoder = create(name, tokenizer=task.tokenizer, **common, **params)
    if bonus:
        decoder.graph = with_bonus(decoder.graph, bonus / decoder.lm_weight)
    return decoder


loaded = functools.cache(load)  # once, as it is asked for in each setting


def with_bonus(graph: Any, bonus: float) -> Any:
    """Return a copy of a graph in which each word is so much cheaper: a file of arcs ends with these, 16 bytes each."""
    from kaldifst import StdConstFst

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.fst"
        graph.fst.write(str(file))
        with file.open("rb") as opened:
            # magic number, two names, version, flags, properties, start, states, arcs
            header = opened.read(65)
        count = int.from_bytes(header[57:65], "little")
        arcs = np.memmap(file, ARC, "r+", offset=file.stat().st_size - ARC.itemsize * count)
        arcs["cost"][arcs["writes"] > 0] -= bonus
        arcs.flush()
        return type(graph)(StdConstFst.read(str(file)), graph.words)


def tune(name: str, task: Task) -> dict[str, float]:
    """Return the weights with the fewest errors: one after the other, until none gets better."""
    weights, tried = {"lm_weight": 1.0, "word_bonus": 0.0}, {}
    best = -1.0
    while best < 0 or tried[tuple(weights.values())] < best:
        best = tried.get(tuple(weights.values()), 2.0)
        for key, values in GRID.items():
            for value in values:
                setting = weights | {key: value}
                if (at := tuple(setting.values())) not in tried:
                    tried[at] = word_errors(make(name, task, **TUNING[name], **setting), task)
            weights = min(
                (weights | {key: value} for value in values), key=lambda each: tried[tuple(each.values())]
            )
    return weights


def word_errors(decoder: Any, task: Task) -> float:
    """Return the word error rate of the best hypotheses."""
    texts = [str(found[0].text) for found in decode(decoder, task)]
    return corpus(zip(task.references, texts, strict=True)).wer


def decode(decoder: Any, task: Task) -> list[Any]:
    """Return the hypotheses of each utterance with their texts."""
    return [decoder(row)[0] for row in task.rows]


def measure(name: str, task: Task, weights: dict[str, float]) -> list[Point]:
    """Return error rate and speed at each width."""
    points, decoder = [], None
    for values in itertools.product(*WIDTHS[name].values()):
        widths = dict(zip(WIDTHS[name], values, strict=True))
        graph = None if decoder is None else getattr(decoder, "graph", None)
        if graph is None:
            decoder = make(name, task, **weights, **widths)
        else:  # the graph with its bonus is the same for all widths
            decoder = make(name, task, **(weights | {"word_bonus": 0.0}), **widths)
            decoder.graph = graph
        searches = [search(name, decoder, row) for row in task.rows]
        searches[0]()
        begin = time.process_time()
        for each in searches:
            each()
        spent = time.process_time() - begin
        setting = " ".join(f"{key}={value:g}" for key, value in widths.items())
        points.append(Point(setting, len(task.rows) / spent, word_errors(decoder, task)))
    return points


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in both error rate and speed, fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: -each.rate):
        if not best or point.wer < best[-1].wer:
            best.append(point)
    return best


def show(name: str, weights: dict[str, float], points: Sequence[Point]) -> None:
    """Print the points of a decoder."""
    print(f"\n{name}: " + ", ".join(f"{key} {value:g}" for key, value in weights.items()))
    for point in points:
        print(f"  {point.setting:<45} {point.rate:8.1f} utterances/CPU s  WER {point.wer:7.2%}", flush=True)


def oracle(name: str, task: Task, weights: dict[str, float], best: int) -> float:
    """Return the error rate if the best of the first hypotheses were chosen, at the width used for tuning."""
    decoder = make(name, task, **weights, **TUNING[name], n_best=best)
    chosen = []
    for reference, found in zip(task.references, decode(decoder, task), strict=True):
        texts = [str(each.text) for each in found]
        chosen.append(min(texts, key=lambda text, said=reference: corpus([(said, text)]).words.errors))
    return corpus(zip(task.references, chosen, strict=True)).wer


def compare(name: str, ours: Sequence[Point], theirs: Sequence[Point]) -> None:
    """Print how many times as fast `beam` is at no higher error rate than each point of another decoder."""
    print(f"\nbeam against {name}")
    for point in theirs:
        good = [each for each in ours if each.wer <= point.wer]
        found = (
            f"{good[0].rate / point.rate:5.1f} times as fast ({good[0].setting})" if good else "not reached"
        )
        print(f"  WER {point.wer:7.2%}: {found}")


if __name__ == "__main__":
    main()

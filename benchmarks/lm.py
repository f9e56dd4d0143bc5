"""Language models: time to estimate, to load and to query, and memory, on a text of your own.

    python benchmarks/lm.py corpus.txt [order=3]

Times are processor seconds of one thread; queries and loading from the cache are the best of three. Queries are timed
in a compiled loop as a decoder makes them: words of the text in its order, the same in a random order, and random
words after random contexts, most of which back off. Where the `kenlm` package is installed, its figures for the same
ARPA file follow; its queries, of whole sentences, include finding the words and the call from Python.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

import speechlstm.data.manifest  # noqa: F401  (brings torch, whose import is not to be timed)
from speechlstm.decoders.lm import NGram, estimate, load, query, read_arpa, write_arpa
from speechlstm.decoders.lm.corpus import Corpus, read_corpus, splitter

REPETITIONS = 3


def main() -> None:
    """Print a table."""
    order = next((int(each.partition("=")[2]) for each in sys.argv[1:] if each.startswith("order=")), 3)
    (path,) = (each for each in sys.argv[1:] if "=" not in each)
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "lm.arpa"
        corpus = show("read the text", lambda: read_corpus(splitter("word"), [path]))
        trie, _ = show("estimate", lambda: estimate(corpus, order))
        show("write ARPA", lambda: write_arpa(trie, arpa))
        show("read ARPA", lambda: NGram.from_trie(read_arpa(arpa)))
        load(arpa)  # makes the cache
        model = show("load from the cache", lambda: load(arpa), REPETITIONS)
        size = sum(array.nbytes for array in (model.arrays.table, model.arrays.states, model.arrays.unigrams))
        print(f"{'n-grams':<40} {' '.join(f'{count:,}' for count in trie.counts)}")
        print(f"{'memory':<40} {size / sum(trie.counts):.1f} bytes per n-gram")
        for name, states, words in questions(model, corpus):
            ask(model.arrays, states[:1], words[:1])  # compiles
            seconds = best(lambda s=states, w=words: ask(model.arrays, s, w))
            print(f"{f'query: {name}':<40} {seconds / len(words) * 1e9:.0f} ns")
        if importlib.util.find_spec("kenlm"):
            against_kenlm(arpa, path, corpus)


def questions(model: NGram, corpus: Corpus) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return states and words to ask for, in three ways."""
    ids = np.array([model.ids.get(word, model.unk) for word in corpus.words], np.int32)[corpus.stream]
    states = follow(model.arrays, ids, model.bos, model.start)
    places = np.random.default_rng(0).integers(1, len(ids), (2, len(ids)))
    return [
        ("the text in its order", states[:-1].copy(), ids[1:].copy()),
        ("the text in random order", states[places[0] - 1], ids[places[0]]),
        ("random words after random contexts", states[places[0] - 1], ids[places[1]]),
    ]


@numba.njit
def follow(arrays: Any, words: np.ndarray, bos: int, start: int) -> np.ndarray:
    states, state = np.empty(len(words), np.int64), start
    for index, word in enumerate(words):
        state = start if word == bos else query(arrays, state, word)[1]
        states[index] = state
    return states


@numba.njit
def ask(arrays: Any, states: np.ndarray, words: np.ndarray) -> float:
    total = 0.0
    for index in range(len(words)):
        log_prob, state = query(arrays, states[index], words[index])
        total += log_prob + 1e-9 * state
    return total


def against_kenlm(arpa: Path, path: str, corpus: Corpus) -> None:
    """Print KenLM's figures: the same loading, and queries of the text in its order."""
    import kenlm

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # it draws on stderr
    model = show("kenlm: read ARPA", lambda: kenlm.Model(str(arpa)))
    lines = [" ".join(line.split()) for line in Path(path).read_text(encoding="utf-8").lower().splitlines()]
    tokens = corpus.num_words + corpus.num_sentences
    seconds = best(lambda: [model.score(line) for line in lines if line])
    print(f"{'kenlm: query, the text in its order':<40} {seconds / tokens * 1e9:.0f} ns")


def show(name: str, work: Callable[[], Any], repetitions: int = 1) -> Any:
    """Do some work, print how long it took, and return what came of it."""
    results = []
    seconds = best(lambda: results.append(work()), repetitions)
    print(f"{name:<40} {seconds:.3f} s", flush=True)
    return results[-1]


def best(work: Callable[[], Any], repetitions: int = REPETITIONS) -> float:
    """Return the seconds of the fastest repetition."""
    times = []
    for _ in range(repetitions):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


if __name__ == "__main__":
    main()

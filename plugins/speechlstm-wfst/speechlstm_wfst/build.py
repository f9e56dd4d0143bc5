"""Builds a search graph, in a process of its own: the libraries end the process when they do not like a file.

    python build.py FOLDER

reads `words.arpa` and `spellings.json` in the folder and writes `TLG.fst` and `words.txt` there.

The graph is T o min(det(L o G)) (Miao, Gowayyed and Metze 2015, "EESEN: end-to-end speech recognition using deep RNN
models and WFST-based decoding", section 3): G is the n-gram model, L spells words in tokens, T is CTC. Its input
labels are token ids plus one, since 0 stands for no label in an FST; its output labels are words.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import kaldifst
import kaldilm
from kaldifst import StdArc, StdConstFst, StdVectorFst

NOTHING = 0  # the label of an arc that reads or writes nothing
BACKOFF = "#0"  # what G reads on its back-off arcs, so that it stays deterministic


def build(folder: Path) -> None:
    """Build the graph of the files in a folder."""
    content = json.loads((folder / "spellings.json").read_text(encoding="utf-8"))
    vocab, separator, spellings = content["vocab"], content["separator"], content["spellings"]
    kaldilm.arpa2fst(
        str(folder / "words.arpa"),
        output_fst=str(folder / "G.fst"),
        disambig_symbol=BACKOFF,
        write_symbol_table=str(folder / "words.txt"),
        max_arpa_warnings=0,
    )
    grammar = StdVectorFst.read(str(folder / "G.fst"))
    lines = (folder / "words.txt").read_text(encoding="utf-8").splitlines()
    labels = {word: int(label) for word, label in map(str.split, lines)}
    words, extra = lexicon(spellings, labels, vocab, separator)
    graph = kaldifst.compose(words, grammar)
    kaldifst.determinize_star(graph)
    kaldifst.minimize_encoded(graph)
    kaldifst.arcsort(graph, "ilabel")
    graph = kaldifst.compose(ctc(vocab, range(vocab + 1, vocab + 1 + extra)), graph)
    StdConstFst(graph).write(str(folder / "TLG.fst"))


def lexicon(
    spellings: list[tuple[str, list[int]]], labels: dict[str, int], vocab: int, separator: int | None
) -> tuple[StdVectorFst, int]:
    """Return L, from tokens to words, and how many labels beyond the tokens it reads: `vocab + 1` and following.

    The first of these is the back-off's. The others stand after a spelling that is another word's as well, or the
    beginning of another's where no separator tells: without them L o G could not be made deterministic.
    """
    fst = StdVectorFst()
    begin = fst.start = fst.add_state()
    done = begin
    fst.set_final(begin, 0.0)
    if separator is not None:  # any number before and after all, at least one between two words
        done = fst.add_state()
        fst.set_final(done, 0.0)
        for state in (begin, done):
            fst.add_arc(state, StdArc(separator + 1, NOTHING, 0.0, begin))
    counts = Counter(tuple(tokens) for _, tokens in spellings)
    beginnings = (
        {tokens[:end] for tokens in counts for end in range(1, len(tokens))} if separator is None else set()
    )
    taken: Counter[tuple[int, ...]] = Counter()
    for word, tokens in spellings:
        spelling = tuple(tokens)
        inputs = [token + 1 for token in tokens]
        if counts[spelling] > 1 or spelling in beginnings:
            taken[spelling] += 1
            inputs.append(vocab + 1 + taken[spelling])
        state = begin
        for position, label in enumerate(inputs):
            after = done if position == len(inputs) - 1 else fst.add_state()
            fst.add_arc(state, StdArc(label, NOTHING if position else labels[word], 0.0, after))
            state = after
    kaldifst.add_self_loops(fst, [vocab + 1], [labels[BACKOFF]])
    kaldifst.arcsort(fst, "olabel")
    return fst, 1 + max(taken.values(), default=0)


def ctc(vocab: int, extra: range) -> StdVectorFst:
    """Return T, from frames to tokens: repeats are joined, blanks left out, labels beyond the tokens ignored."""
    fst = StdVectorFst()
    states = [
        fst.add_state() for _ in range(vocab)
    ]  # state 0: after a blank, or nothing; the others: after their token
    fst.start = states[0]
    for state in states:
        fst.set_final(state, 0.0)
        fst.add_arc(state, StdArc(1, NOTHING, 0.0, states[0]))
        for token in range(1, vocab):
            fst.add_arc(
                state, StdArc(token + 1, NOTHING if state == token else token + 1, 0.0, states[token])
            )
        for label in extra:
            fst.add_arc(state, StdArc(NOTHING, label, 0.0, state))
    kaldifst.arcsort(fst, "olabel")
    return fst


def reading(folder: Path) -> Iterator[str]:
    """Yield the words of a built graph in the order of their labels."""
    for line in (folder / "words.txt").read_text(encoding="utf-8").splitlines():
        yield line.split()[0]


if __name__ == "__main__":
    build(Path(sys.argv[1]))

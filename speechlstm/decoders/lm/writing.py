"""Writing ARPA files, whole, or as much of a model as fits into a size."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.decoders.lm.pruning import Pruner
from speechlstm.decoders.lm.trie import LN10, Floats, Trie
from speechlstm.types import UsageError

MEGABYTE = 1_000_000
_BLOCK = 1 << 16  # lines that are made at once
_NEAR = 0.98  # of the size that is wanted
_TRIALS = 8


def write_arpa(trie: Trie, path: str | Path) -> None:
    """Write a model as an ARPA file, gzipped if the name ends in `.gz`, whole or not at all.

    Raises:
        OSError: no space, no permission; an older file is then unchanged.
    """
    write_atomically(path, encode_arpa(trie, str(path).endswith(".gz")))


def encode_arpa(trie: Trie, gzipped: bool = False, short: bool = False) -> bytes:
    """Return the ARPA file of a model.

    Args:
        trie: the model.
        gzipped: whether it is compressed.
        short: two decimals instead of seven digits, and no back-off weights of 1: an error of at most 1.2 % in each
            probability, and a third of the compressed size less.
    """
    content = io.BytesIO()
    out = gzip.GzipFile(fileobj=content, mode="wb", mtime=0) if gzipped else content
    out.write(b"\\data\\\n")
    out.writelines(b"ngram %d=%d\n" % pair for pair in enumerate(trie.counts, 1))
    with progress.bar("writing n-grams", int(trie.ends[-1]) - 1, "n-gram") as bar:
        for n, (begin, end) in enumerate(pairwise(trie.ends), 1):
            out.write(b"\n\\%d-grams:\n" % n)
            for first in range(begin, end, _BLOCK):
                nodes = slice(first, min(end, first + _BLOCK))
                out.write(_ngrams(trie, nodes, n, short).encode())
                bar.update(nodes.stop - first)
    out.write(b"\n\\end\\\n")
    if out is not content:
        out.close()
    return content.getvalue()


def _ngrams(trie: Trie, nodes: slice, n: int, short: bool) -> str:
    """Return the lines of n-grams of one order."""
    context, texts = trie.context[nodes], [map(trie.words.__getitem__, trie.word[nodes].tolist())]
    for _ in range(n - 1):
        texts.insert(0, map(trie.words.__getitem__, trie.word[context].tolist()))
        context = trie.context[context]
    columns = [_decimals(trie.log_prob[nodes], short), map(" ".join, zip(*texts, strict=True))]
    if n < trie.order:
        columns.append(_decimals(trie.backoff[nodes], short))
    lines: Iterator[str] = map("\t".join, zip(*columns, strict=True))
    if short and n < trie.order:
        lines = (line.removesuffix("\t0") for line in lines)
    return "\n".join([*lines, ""])


def _decimals(logs: Floats, short: bool) -> Iterator[str]:
    """Return natural logs as decimal ones, in the digits that an ARPA file has."""
    decimal = logs.astype(float) / LN10
    if short:
        decimal = decimal.round(2)
    return map("%.7g".__mod__, (decimal + 0.0).tolist())  # + 0.0: no -0


def fit_arpa(pruner: Pruner, size: float, gzipped: bool) -> tuple[Trie, bytes]:
    """Return as much of a model as an ARPA file of at most `size` megabytes holds, and that file.

    The file has short numbers (see `encode_arpa`); it is no more than 2 % smaller than it may be, unless all fits.

    Raises:
        UsageError: the words alone, without any n-gram of two or more, take more.
    """
    trie, limit = pruner.trie, size * MEGABYTE
    content = encode_arpa(trie, gzipped, short=True)
    if len(content) <= limit:
        return trie, content
    best = pruner.keep(0)
    if len(least := encode_arpa(best, gzipped, short=True)) > limit:
        raise UsageError(
            f"size_mb={size:g} is less than the {len(least) / MEGABYTE:.3g} MB that the {len(trie.words):,} words"
            " take alone; give more, or keep fewer words (vocab_size=, words=)"
        )
    low, small, high, large = best.ends[-1], len(least), trie.ends[-1], len(content)
    content = least
    for _ in range(_TRIALS):
        wanted = limit * (1 + _NEAR) / 2
        count = low + round((high - low) * (wanted - small) / (large - small))
        trial = pruner.keep(count)
        coded = encode_arpa(trial, gzipped, short=True)
        if len(coded) <= limit:
            low, small, best, content = trial.ends[-1], len(coded), trial, coded
        else:
            high, large = trial.ends[-1], len(coded)
        if small >= _NEAR * limit or high - low < 2:
            break
    return best, content

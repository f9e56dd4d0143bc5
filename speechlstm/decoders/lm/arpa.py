"""Reading ARPA files, the text format of n-gram models that SRILM, KenLM and the others write."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from speechlstm.data.lines import decode, read_bytes
from speechlstm.decoders.lm.corpus import UNK
from speechlstm.decoders.lm.trie import LN10, Floats, Ints, Longs, Trie
from speechlstm.types import SpeechlstmError

MAX_ORDER = 10

_BLOCK = 1 << 16  # lines that are taken apart at once
_ROUNDING = 1e-5  # a log10 probability this far above 0 is taken for 0
_NEVER = -99.0  # a log10 probability that stands for one of 0
_MOST = 2**31 - 1  # n-grams of an order, whose numbers have 32 bits
_LARGEST = 99.0  # log10 of a back-off weight; more is no weight, and would make sums infinite
_KENLM = b"mmap lm http://kheafield.com/code"


def read_arpa(path: str | Path) -> Trie:
    r"""Read an ARPA file, gzipped or not; text before `\data\` and after `\end\` is ignored.

    A context that is no n-gram itself, as in models pruned by SRILM, is put in with the probability that
    backing off gives, which changes no probability of the model. `-inf` is read as -99, `<UNK>` as `<unk>`.

    Raises:
        SpeechlstmError: not a well-formed ARPA file; the message begins with `path:line`.
    """
    return _Reader(path).read()


@dataclass(slots=True)
class _Section:
    """The n-grams of one order as they stand in the file."""

    line: int  # that of the first n-gram
    words: Ints  # (n, n-grams) ids
    log_prob: Floats  # natural logs
    backoff: Floats  # natural logs


class _Reader:
    """Reads a file from top to bottom; `number` is the line taken last."""

    def __init__(self, path: str | Path) -> None:
        self.path, self.number = path, 0
        self.lines: Iterator[bytes] = read_bytes(path)
        self.ids: dict[bytes, int] = {}

    def read(self) -> Trie:
        counts = self.header()
        sections = []
        for n, (count, line) in enumerate(counts, 1):
            sections.append(section := self.section(n, len(counts)))
            if (actual := len(section.log_prob)) != count:
                begin = f"the section that begins in line {section.line}"
                self.fail(f"{count} {n}-grams are declared, but {begin} has {actual}", line)
        if (end := self.marker()) != b"\\end\\":
            self.fail(f"expected \\end\\, but found {_shown(end)}")
        while not len(sections[-1].log_prob):
            sections.pop()
        return self.trie(sections)

    def header(self) -> list[tuple[int, int]]:
        """Return the declared number of n-grams of each order, and the line it is declared in."""
        while (line := self.take()) != b"\\data\\":
            if line is None and not self.number:
                raise SpeechlstmError(
                    f"{self.path}: empty, but must be an ARPA file, the text format of models"
                )
            if line is None:
                self.fail("no line \\data\\: not an ARPA file")
            if self.number == 1 and line.startswith(_KENLM):
                advice = "give the ARPA file it was made from, or a decoder plugin that reads such files"
                raise SpeechlstmError(f"{self.path}: a KenLM binary file, which is not read here; {advice}")
        counts: list[tuple[int, int]] = []
        while (line := self.marker()).startswith(b"ngram"):
            match = re.fullmatch(rb"ngram\s+(\d{1,9})\s*=\s*(\d{1,18})", line)
            if not match or int(match[1]) != len(counts) + 1:
                self.fail(f"expected 'ngram {len(counts) + 1}=' and a number, but found {_shown(line)}")
            if (count := int(match[2])) > _MOST:
                self.fail(
                    f"{count} {len(counts) + 1}-grams are declared, but no more than {_MOST} can be read"
                )
            counts.append((count, self.number))
        if not counts or not counts[0][0]:
            self.fail("no 1-grams are declared after \\data\\", counts[0][1] if counts else None)
        if len(counts) > MAX_ORDER:
            self.fail(
                f"{len(counts)}-grams, but no more than {MAX_ORDER}-grams can be read", counts[MAX_ORDER][1]
            )
        self.lines, self.number = chain([line] * bool(line), self.lines), self.number - 1
        return counts

    def section(self, n: int, order: int) -> _Section:
        """Read the n-grams of one order, up to a blank line or one that begins with a backslash."""
        if (line := self.marker()) != b"\\%d-grams:" % n:
            self.fail(f"expected \\{n}-grams:, but found {_shown(line)}")
        first, ended = self.number + 1, False
        ids, logs = [np.zeros((n, 0), np.int32)], [np.zeros((2, 0))]
        while not ended and (lines := list(islice(self.lines, _BLOCK))):
            inside = list(takewhile(_is_entry, lines))
            if ended := len(inside) < len(lines):
                self.lines = chain(lines[len(inside) :], self.lines)
            if inside:
                some_ids, some_logs = self.entries(inside, n)
                ids.append(some_ids)
                logs.append(some_logs)
        log_prob, backoff = (np.maximum(np.concatenate(logs, axis=1), _NEVER) * LN10).astype(np.float32)
        if n == order:  # nothing is longer; some programs write back-offs all the same
            backoff[:] = 0
        return _Section(first, np.concatenate(ids, axis=1), np.minimum(log_prob, 0), backoff)

    def entries(self, lines: list[bytes], n: int) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Return the word ids `(n, n-grams)` and log10 values `(2, n-grams)` of lines."""
        before = self.number
        if n > 1:  # a block at once, as long as all is well
            try:
                rows = [line.split() for line in lines]
                for row in rows:
                    if len(row) == n + 1:
                        row.append(b"0")
                log_prob, *words, backoff = zip(*rows, strict=True)
                ids = np.array([list(map(self.ids.__getitem__, column)) for column in words], np.int32)
                logs = np.array([list(map(float, log_prob)), list(map(float, backoff))])
                if len(words) == n and (logs <= [[_ROUNDING], [_LARGEST]]).all():
                    self.number += len(lines)
                    return ids, logs
            except (KeyError, ValueError):
                pass
        parsed = []
        for self.number, line in enumerate(lines, before + 1):
            parsed.append(self.entry(line, n))
        return np.array([ids for ids, _ in parsed], np.int32).T, np.array([logs for _, logs in parsed]).T

    def entry(self, line: bytes, n: int) -> tuple[list[int], tuple[float, float]]:
        """Return the word ids, log10 probability and log10 back-off of one line."""
        fields = line.split()
        if not n < len(fields) < n + 3:
            wanted = f"a log probability, {n} word{'s' * (n > 1)} and perhaps a back-off"
            self.fail(f"expected {wanted}, but found {_shown(line)}")
        log_prob, backoff = self.log(fields[0]), self.log(fields[n + 1]) if len(fields) > n + 1 else 0.0
        if log_prob > _ROUNDING:
            self.fail(f"log probability {log_prob:g} is above 0")
        for word in fields[1 : n + 1]:
            if n == 1:
                decode(word, self.path, self.number)
            if (n == 1) == (word in self.ids):
                self.fail(f"{_shown(word)} " + ("is not among the 1-grams", "stands above already")[n == 1])
            self.ids.setdefault(word, len(self.ids))
        return [self.ids[word] for word in fields[1 : n + 1]], (log_prob, backoff)

    def log(self, text: bytes) -> float:
        """Return a number as it stands in the file."""
        try:
            value = float(text)
        except ValueError:
            self.fail(f"{_shown(text)} is not a number")
        if not value <= _LARGEST:
            self.fail(f"{_shown(text)} cannot be the log of a probability or weight")
        return value

    def trie(self, sections: list[_Section]) -> Trie:
        """Sort the n-grams, and put in the contexts that are missing."""
        words = self.words()
        size, zero = len(words), np.zeros(1, np.float32)
        ends = [1, 1 + size]
        keys = [np.zeros(1, np.int64), np.arange(size)]  # context * size + word
        log_probs, backoffs = [zero, sections[0].log_prob], [zero, sections[0].backoff]
        del sections[0]
        # Of each n-gram that is longer than the order that is done: the node of its words up to there.
        nodes = [1 + section.words[0] for section in sections]
        for depth in range(1, len(sections) + 1):
            wanted = [node.astype(np.int64) * size for node in nodes]
            for key, section in zip(wanted, sections, strict=True):
                key += section.words[depth]
            section, own = sections.pop(0), wanted.pop(0)
            rank = np.argsort(own)
            own = own[rank]
            if (twice := own[1:] == own[:-1]).any():
                one, other = sorted(section.line + rank[int(twice.argmax()) :][:2])
                text = " ".join(words[word] for word in section.words[:, one - section.line])
                self.fail(f"the n-gram {text!r} stands in line {one} already", other)
            log_prob, backoff = section.log_prob[rank], section.backoff[rank]
            indices = [_search(own, key) for key in wanted]
            padded = np.append(own, -1)
            lacking = [key[padded[at] != key] for key, at in zip(wanted, indices, strict=True)]
            if any(map(len, lacking)):
                added = np.unique(np.concatenate(lacking))
                places = np.searchsorted(own, added)
                own, backoff = np.insert(own, places, added), np.insert(backoff, places, 0)
                log_prob = np.insert(log_prob, places, np.nan)
                indices = [_search(own, key) for key in wanted]
            nodes = [(ends[-1] + index).astype(np.int32) for index in indices]
            ends.append(ends[-1] + len(own))
            keys.append(own)
            log_probs.append(log_prob)
            backoffs.append(backoff)
        context, word = (part.astype(np.int32) for part in np.divmod(np.concatenate(keys), size))
        trie = Trie(words, ends, context, word, np.concatenate(log_probs), np.concatenate(backoffs))
        trie.fill()
        return trie

    def words(self) -> list[str]:
        """Return the words of the 1-grams."""
        words = [word.decode() for word in self.ids]
        if UNK not in words and UNK.upper() in words:  # as SRILM users write it
            words[words.index(UNK.upper())] = UNK
        return words

    def take(self) -> bytes | None:
        """Return the next line without the white space around it, None at the end of the file."""
        line = next(self.lines, None)
        if line is None:
            return None
        self.number += 1
        return line.removeprefix(codecs.BOM_UTF8).strip() if self.number == 1 else line.strip()

    def marker(self) -> bytes:
        """Return the next line that is not blank; nothing at the end of the file."""
        while (line := self.take()) is not None:
            if line:
                return line
        self.number += 1
        return b""

    def fail(self, message: str, line: int | None = None) -> NoReturn:
        """Raise the error that names the file and a line, without more the one taken last."""
        raise SpeechlstmError(f"{self.path}:{self.number if line is None else line}: {message}")


def _is_entry(line: bytes) -> bool:
    """Return whether a line is an n-gram, and not the end of a section."""
    return line.lstrip()[:1] not in (b"", b"\\")


def _search(keys: Longs, wanted: Longs) -> Longs:
    """Return where each wanted key stands among sorted keys; looking for them in order is easier on the memory."""
    rank = np.argsort(wanted)
    indices = np.empty(len(wanted), np.int64)
    indices[rank] = np.searchsorted(keys, wanted[rank])
    return indices


def _shown(text: bytes) -> str:
    """Return what a line has, for a message."""
    if not text:
        return "the end of the file"
    shown = text.strip().decode(errors="replace")
    return repr(shown if len(shown) <= 60 else f"{shown[:60]}...")

"""ARPA files: what is written is read back, what others write is understood, what is wrong is named with its line."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from speechlstm.decoders.lm import NGram, Trie, arpa, estimate, read_arpa, write_arpa
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.types import SpeechlstmError

LN10 = math.log(10)

# As SRILM writes it: a back-off only where there is something to back off from. Line 5 is \data\.
SRILM = """
made by hand
ngrams: none so far

\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-1.0\t</s>
-99\t<s>\t-0.25
-0.5\ta\t-0.5
-0.75\tb\t0.125
-2\t<UNK>

\\2-grams:
-0.25\t<s> a\t-0.0625
-0.5\ta b
-1.5\tb </s>
-0.125\tb a\t-0.75

\\3-grams:
-0.1\t<s> a b
-0.2\tb a </s>

\\end\\
and more text
"""


def some_trie(order: int = 3) -> Trie:
    lines = ["the cat sat", "the dog sat", "a cat ran on the mat", "sat", "é ü ç \u3000\xa0x"]
    return estimate(make_corpus([line.split(" ") for line in lines]), order)[0]


def same(one: Trie, two: Trie) -> bool:
    close = [
        np.allclose(getattr(one, name), getattr(two, name), atol=3e-6) for name in ("log_prob", "backoff")
    ]
    equal = [(getattr(one, name) == getattr(two, name)).all() for name in ("context", "word")]
    return one.words == two.words and one.ends == two.ends and all(close + equal)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_round_trip(tmp_path: Path, order: int, name: str) -> None:
    trie, path = some_trie(order), tmp_path / "new" / name
    write_arpa(trie, path)
    assert same(read_arpa(path), trie)
    assert path.read_bytes().startswith(b"\x1f\x8b" if name.endswith("gz") else b"\\data\\\nngram 1=")
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_more_ngrams_than_are_handled_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arpa, "_BLOCK", 7)
    write_arpa(some_trie(4), tmp_path / "lm.arpa")
    assert same(read_arpa(tmp_path / "lm.arpa"), some_trie(4))


def test_what_is_written(tmp_path: Path) -> None:
    """By hand: the fall-back discount of 0.5 takes 1/4 from each of two words, which three share: 1/4 + 1/6."""
    write_arpa(estimate(make_corpus([["a"]]), 1)[0], tmp_path / "lm.arpa")
    assert (tmp_path / "lm.arpa").read_text().splitlines() == [
        *("\\data\\", "ngram 1=4", "", "\\1-grams:"),
        *("-0.7781513\t<unk>", "-99\t<s>", "-0.3802112\t</s>", "-0.3802112\ta", "", "\\end\\"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\t", " "),
        lambda text: text.replace(" ", "\t").replace("\t", "  "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("ngram 1=5", "ngram  1 = 5"),
        lambda text: text.replace("\n\n", "\n\n\n"),
        lambda text: text.replace("\n\n\\", "\n\\"),
        lambda text: text.partition("\nand more")[0],
        lambda text: text.replace("a b\n", "a b\t0\n").replace("b </s>\n", "b </s>\t0.0\n"),
        lambda text: text.replace("<s> a b", "<s> a b\t-1.5"),
        lambda text: text.replace("-99\t", "-inf\t").replace("-1.0\t</s>", "-1e0\t</s>"),
        lambda text: text.replace("<UNK>", "<unk>"),
        lambda text: "\ufeff" + text[text.index("\\data") :],
        lambda text: text.replace("3=2\n", "3=2\nngram 4=0\n").replace("\\end", "\\4-grams:\n\n\\end"),
        lambda text: text.replace("-0.125\tb a\t-0.75\n", "").replace(
            "-0.5\ta b", "-0.125\tb a\t-0.75\n-0.5\ta b"
        ),
    ],
)
def test_what_others_write(tmp_path: Path, change: Callable[[str], str]) -> None:
    (tmp_path / "lm").write_bytes(change(SRILM).encode())
    trie = read_arpa(tmp_path / "lm")
    assert trie.words == ["</s>", "<s>", "a", "b", "<unk>"] and trie.counts == [5, 4, 2]
    score = NGram.from_trie(trie).score
    assert np.array(score(["a", "b"])) / LN10 == pytest.approx([-0.25, -0.1, -1.5])
    assert np.array(score(["b", "a", "x"])) / LN10 == pytest.approx(
        [-0.25 - 0.75, -0.125, -0.75 - 0.5 - 2, -1]
    )


def test_contexts_that_are_missing_are_put_in(tmp_path: Path) -> None:
    """Of `d a b c` neither the context `d a b` nor `d a` is there, nor any of its suffixes but `c`."""
    text = """\\data\\
ngram 1=6
ngram 2=1
ngram 3=0
ngram 4=1

\\1-grams:
-1\t<s>
-1.5\t</s>
-0.5\ta\t-0.25
-0.75\tb\t-0.125
-1\tc\t-0.5
-2\td\t-0.0625

\\2-grams:
-0.3\ta b\t-0.4

\\3-grams:

\\4-grams:
-0.05\td a b c

\\end\\
"""
    (tmp_path / "lm.arpa").write_text(text)
    trie = read_arpa(tmp_path / "lm.arpa")
    assert trie.counts == [6, 2, 1, 1]
    scores = np.array(NGram.from_trie(trie).score(["d", "a", "b", "c", "a"], bos=False)) / LN10
    assert scores == pytest.approx([-2, -0.0625 - 0.5, -0.3, -0.05, -0.5 - 0.5, -0.25 - 1.5])
    scores = np.array(NGram.from_trie(trie).score(["a", "b", "c"], bos=False, eos=False)) / LN10
    assert scores == pytest.approx([-0.5, -0.3, -0.4 - 0.125 - 1])


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (SRILM, "a\nb\n", 2, "no line \\data\\: not an ARPA file"),
        ("ngram 1=5\nngram 2=4\nngram 3=2\n", "", 7, "no 1-grams are declared"),
        ("ngram 1=5", "ngram 1=0", 6, "no 1-grams are declared"),
        ("ngram 2=4", "ngram 3=4", 7, "expected 'ngram 2=' and a number, but found 'ngram 3=4'"),
        ("ngram 2=4", "ngram 2=many", 7, "expected 'ngram 2=' and a number"),
        ("ngram 2=4", "ngram 2=-4", 7, "expected 'ngram 2=' and a number"),
        ("ngram 1=5", "ngram 1=6", 6, "6 1-grams are declared, but the section that begins in line 11 has 5"),
        ("ngram 2=4", "ngram 2=3", 7, "3 2-grams are declared, but the section that begins in line 18 has 4"),
        ("ngram 3=2", f"ngram 3={10**17}", 8, f"{10**17} 3-grams are declared"),
        ("ngram 3=2", f"ngram 3={10**30}", 8, "expected 'ngram 3=' and a number"),
        ("ngram 3=2", "\n".join(f"ngram {n}=1" for n in range(3, 12)), 16, "11-grams, but no more than 10"),
        ("\\2-grams:", "\\3-grams:", 17, "expected \\2-grams:, but found '\\\\3-grams:'"),
        ("ngram 3=2\n", "", 22, "expected \\end\\, but found '\\\\3-grams:'"),
        ("\\end\\\nand more text\n", "", 27, "expected \\end\\, but found the end of the file"),
        (
            "\n\\3-grams:\n-0.1\t<s> a b\n-0.2\tb a </s>\n\n\\end\\\nand more text\n",
            "",
            22,
            "the end of the file",
        ),
        ("-0.5\ta\t", "nan\ta\t", 13, "'nan' cannot be the log of a probability or weight"),
        ("-0.5\ta\t", "inf\ta\t", 13, "'inf' cannot be"),
        ("\t-0.5\n", "\tNaN\n", 13, "'NaN' cannot be"),
        ("\t-0.5\n", "\tinf\n", 13, "'inf' cannot be"),
        ("-0.5\ta\t", "0.01\ta\t", 13, "log probability 0.01 is above 0"),
        ("-0.5\ta b", "much\ta b", 19, "'much' is not a number"),
        (
            "-0.5\ta b",
            "-0.5\ta",
            19,
            "expected a log probability, 2 words and perhaps a back-off, but found '-0.5\\ta'",
        ),
        ("-0.5\ta b", "-0.5\ta b c -1 7", 19, "expected a log probability, 2 words"),
        ("-2\t<UNK>", "-2", 15, "expected a log probability, 1 word and"),
        ("-0.5\ta b", "-0.5\ta x", 19, "'x' is not among the 1-grams"),
        ("-0.2\tb a </s>", "-0.2\tx a </s>", 25, "'x' is not among the 1-grams"),
        ("-2\t<UNK>", "-2\ta", 15, "'a' stands above already"),
        ("-0.125\tb a", "-0.125\t<s> a", 21, "the n-gram '<s> a' stands in line 18 already"),
        ("-0.2\tb a </s>", "-0.2\t<s> a b", 25, "the n-gram '<s> a b' stands in line 24 already"),
        (
            "-0.5\ta b\n",
            "-0.5\ta b\n\n",
            7,
            "4 2-grams are declared, but the section that begins in line 18 has 2",
        ),
        ("-0.125\tb a\t-0.75\n", "-0.125\tb a\n\nmore\n", 23, "expected \\3-grams:, but found 'more'"),
        ("<UNK>", "\udce9", 15, "not UTF-8 text (byte 0xe9 at 1)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    text = SRILM.replace(old, new)
    assert text != SRILM
    (tmp_path / "lm.arpa").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SpeechlstmError) as error:
        read_arpa(tmp_path / "lm.arpa")
    assert str(error.value).startswith(f"{tmp_path / 'lm.arpa'}:{line}: ") and message in str(error.value)


NUMBERS = [
    "-0",
    "-.5",
    "-5.",
    "-1e-3",
    "-1E+1",
    "-2.5e0",
    "-00012.50",
    "-inf",
    "-Infinity",
    "-1e999",
    "-1e-999",
]
NUMBERS += [
    "-0.12345678901234567890123456789",
    "-123456789012345678901234567890e-29",
    "-98.76543",
    "0.000001",
    "+0",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_in_every_form(tmp_path: Path, number: str) -> None:
    (tmp_path / "lm.arpa").write_text(SRILM.replace("-0.125\tb a\t-0.75", f"{number}\tb a\t{number}"))
    trie = read_arpa(tmp_path / "lm.arpa")
    wanted = max(float(number), -99.0) * LN10
    assert trie.log_prob[-3] == pytest.approx(min(wanted, 0)) and trie.backoff[-3] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "number", ["-", "--1", "-1-", "1e", "-1e-", "-0x1", "-1,5", ".", "e5", "-1.2.3", "1e5x"]
)
def test_what_is_no_number(tmp_path: Path, number: str) -> None:
    for column, line in (("{}\tb a", "-0.125\tb a"), ("b a\t{}", "b a\t-0.75")):
        (tmp_path / "lm.arpa").write_text(SRILM.replace(line, column.format(number)))
        with pytest.raises(SpeechlstmError, match=f"lm.arpa:21: {re.escape(repr(number))} is not a number"):
            read_arpa(tmp_path / "lm.arpa")


def test_rounding_above_one_is_one(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(SRILM.replace("-0.5\ta b", "0.000001\ta b"))
    trie = read_arpa(tmp_path / "lm.arpa")
    assert trie.log_prob.max() == 0


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    packed = gzip.compress(SRILM.encode() * 50)
    (tmp_path / "short.gz").write_bytes(packed[:-20])
    (tmp_path / "broken.gz").write_bytes(packed[:12] + bytes([packed[12] ^ 255]) + packed[13:])
    (tmp_path / "kenlm.bin").write_bytes(
        b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(999)
    )
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(100_000))
    for name, message in {
        "gone": r"gone: cannot be read: No such file",
        ".": "cannot be read: Is a directory",
        "short.gz": "damaged gzip file",
        "broken.gz": "damaged gzip file",
        "kenlm.bin": "a KenLM binary file, which is not read here; give the ARPA file",
        "noise": "not text but binary data",
    }.items():
        with pytest.raises(SpeechlstmError, match=message):
            read_arpa(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_arpa(some_trie(), path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1

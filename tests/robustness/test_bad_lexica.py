"""Bad lexica and lists of words: one line that names file and line, no traceback, nothing endless."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from small_arpa import ARPA, CHARACTERS, HUGE, refused

from speechlstm.decoders import create
from speechlstm.model.tokenizer import Phones

LEXICA: dict[str, tuple[bytes, str]] = {
    "a line of 12 MB": (b"A AH\nB " + b"AH " * (4 << 20) + b"\n", ":2: a line of more than 4 MB"),
    "a word of 12 MB": (b"A AH\n" + b"B" * (12 << 20) + b"\n", ":2: "),
    "an endless line": (b"A " + b"x" * HUGE, ":1: a line of more than 4 MB"),
    "1,001 phones": (b"B" + b" AH" * 1001, ":1: 'B' has more than 1000 phones"),
    "no phones": (b"A AH\nB\n", ":2: 'B' has no phones"),
    "NUL": (b"A AH\nB \0\n", ":2: not text"),
    "NULs": (bytes(5000), ": not text"),
    "surrogates": (b"A AH\n\xed\xa0\xbd AH\n", ":2: not UTF-8"),
    "Latin-1": (b"A AH\ngr\xfc\xdfe G\n", ":2: not UTF-8"),
    "cut UTF-16": ("A AH\n".encode("utf-16")[:-1], ":1: damaged UTF-16"),
    "empty": (b"", ": no words"),
    "only comments": (b"# none\n;;; none\n\n", ": no words"),
    "damaged gzip": (gzip.compress(b"A AH\n" * 99)[:-9], ": damaged gzip"),
}


@pytest.mark.parametrize("case", LEXICA)
def test_lexica(tmp_path: Path, case: str) -> None:
    content, message = LEXICA[case]
    (tmp_path / "good.dic").write_text("A AH\n")
    phones = Phones.from_texts([], tmp_path / "good.dic")
    path = tmp_path / "bad.dic"
    path.write_bytes(content)
    (tmp_path / "lm.arpa").write_text(ARPA)
    refused(lambda: Phones.from_texts([], path), 1, f"{path}{message}")
    refused(lambda: create("beam", phones, words=path, lm=tmp_path / "lm.arpa"), 1, f"{path}{message}")


WORDS: dict[str, tuple[bytes, str]] = {
    "an endless line": (b"ab\n" + b"x" * HUGE, ":2: a line of more than 4 MB"),
    "NUL": (b"ab\nb\0\n", ":2: not text"),
    "surrogates": (b"\xed\xa0\xbd", ":1: not UTF-8"),
    "Latin-1": (b"ab\n\xfc\n", ":2: not UTF-8"),
    "empty": (b"", ": no words"),
    "only comments": (b"#\n;;;\n", ": no words"),
    "nothing that can be spelled": (b"x\ny\n", ": none of its 2 words"),
    "only a word of 3 MB": (b"ab" * 1_500_000, ": none of its 1 word"),
}


@pytest.mark.parametrize("case", WORDS)
def test_lists_of_words(tmp_path: Path, case: str) -> None:
    content, message = WORDS[case]
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    refused(lambda: create("beam", CHARACTERS, words=path, lexicon="strict"), 1, f"{path}{message}")


def test_a_word_of_3_mb_among_others_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_bytes(b"ab\n" + b"ab" * 1_500_000 + b"\nb\n")
    create("beam", CHARACTERS, words=tmp_path / "words.txt", lexicon="strict")
    message = capsys.readouterr().err
    assert "1 of 3 words" in message and len(message) < 500

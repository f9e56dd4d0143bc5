"""Bad ARPA files: one line that names file and line, no traceback, nothing endless."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from small_arpa import ARPA, HUGE, refused

from speechlstm.decoders.lm import load

NUMBERS = [
    "1e30",
    "1e39",
    "1e999",
    "100",
    "inf",
    "nan",
    "-nan",
    "--1",
    "1e",
    "-0x1p3",
    "-1,5",
    "-1\u0660",
    "-\0",
]
PLACES = {
    "1-gram": ("-0.7\ta", "{}\ta", 9),
    "back-off": ("a\t-0.3", "a\t{}", 9),
    "2-gram": ("-0.5\ta b", "{}\ta b", 14),
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", PLACES)
def test_numbers(tmp_path: Path, number: str, place: str) -> None:
    old, new, line = PLACES[place]
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA.replace(old, new.format(number)), encoding="utf-8")
    refused(lambda: load(path), 1, f"{path}:{line}: ")


BYTES: dict[str, tuple[bytes, bytes, int | None]] = {
    "NUL in a word": (b"\tb\t-0.2", b"\tb\0\t-0.2", 10),
    "surrogate": (b"\tb\t-0.2", b"\t\xed\xa0\xbd\t-0.2", 10),
    "overlong": (b"\tb\t-0.2", b"\t\xc0\x80\t-0.2", 10),
    "Latin-1": (b"\tb\t-0.2", b"\tgr\xfc\xdfe\t-0.2", 10),
    "NUL in a 2-gram": (b"\ta b", b"\ta \0b", 14),
    "surrogate in a 2-gram": (b"\ta b", b"\ta \xed\xa0\xbd", 14),
    "a 2-gram too many": (b"ngram 2=3", b"ngram 2=2", 3),
    "a 2-gram too few": (b"ngram 2=3", b"ngram 2=4", 3),
    "1-grams too many": (b"ngram 1=5", b"ngram 1=4", 2),
    "no 1-grams": (b"ngram 1=5", b"ngram 1=0", 2),
    "more than there can be": (b"ngram 2=3", b"ngram 2=" + b"9" * 18, 3),
    "more than 32 bits can number": (b"ngram 1=5", b"ngram 1=9999999999999", 2),
    "more digits than a number has": (b"ngram 2=3", b"ngram 2=" + b"9" * 5000, 3),
    "negative": (b"ngram 2=3", b"ngram 2=-3", 3),
    "an order twice": (b"ngram 2=3", b"ngram 1=3", 3),
    "an order that is not there": (b"\n\\2-grams:", b"\n\\7-grams:", 12),
    "cut off": (b"-0.3\tb a\n\n\\end\\\n", b"", 3),
    "no end": (b"\\end\\", b"", 18),
    "a word is missing": (b"\ta b", b"\ta", 14),
    "words too many": (b"\ta b", b"\ta b a b a", 14),
    "an unknown word": (b"\ta b", b"\ta x", 14),
    "a word twice": (b"\tb\t-0.2", b"\ta\t-0.2", 10),
    "a 2-gram twice": (b"\tb a", b"\ta b", 15),
    "no header": (b"\\data\\", b"", None),
    "cut UTF-16": (ARPA.encode(), ARPA.encode("utf-16")[:-1], 17),
    "empty": (ARPA.encode(), b"", None),
    "NULs": (ARPA.encode(), bytes(5000), None),
    "an endless line of letters": (b"-0.5\ta b", b"a" * HUGE, 14),
    "an endless line of blanks": (b"-0.5\ta b", b" " * HUGE, 14),
    "an endless line of NULs": (b"-0.5\ta b", bytes(HUGE), 14),
    "an endless word": (b"\tb\t-0.2", b"\t" + b"b" * HUGE, 10),
    "an endless count": (b"ngram 1=5", b"ngram 1=" + b"1" * HUGE, 2),
    "an endless first line": (b"\\data\\", b"x" * HUGE, 1),
}


@pytest.mark.parametrize("case", BYTES)
@pytest.mark.parametrize("packed", [False, True])
def test_bytes(tmp_path: Path, case: str, packed: bool) -> None:
    old, new, line = BYTES[case]
    content = ARPA.encode().replace(old, new, 1)
    path = tmp_path / "lm.arpa"
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    tracemalloc.start()
    try:
        refused(lambda: load(path), 1, f"{path}:" if line is None else f"{path}:{line}: ")
        assert tracemalloc.get_traced_memory()[1] < 120e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_not_there_has_no_line_0(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "lm.arpa"
    for content, reason in [
        (b"", ": empty, but must be an ARPA file"),
        (b"\n\n", ":2: no line \\data\\"),
        (b"\\data\\\n", ":2: no 1-grams are declared"),
        (b"\\data\\\nngram 1=3\n", ":3: expected \\1-grams:, but found the end of the file"),
    ]:
        path.write_bytes(gzip.compress(content) if packed else content)
        refused(lambda: load(path), 1, f"{path}{reason}")


def test_what_never_ends_is_left(tmp_path: Path) -> None:
    refused(lambda: load("/dev/zero"), 1, "/dev/zero: ", "a device, but must be a file")
    refused(lambda: load(tmp_path), 1, f"{tmp_path}: ")
    refused(lambda: load(tmp_path / "a\0b"), 1, "cannot be read")
    (tmp_path / "loop").symlink_to("loop")
    refused(lambda: load(tmp_path / "loop"), 1, "loop: cannot be read")


def test_a_pipe_is_read_once_and_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "user"))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write({ARPA!r})"])
    assert load(pipe).ids["a"] == 3
    assert writer.wait(30) == 0 and not (tmp_path / "user").exists()


def test_without_compiling_one_line_says_why(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom speechlstm.decoders.lm import NGram, read_arpa\n"
        "from speechlstm.types import SpeechlstmError\n"
        "try:\n    NGram.from_trie(read_arpa(sys.argv[1])).score(['a'])\n"
        "except SpeechlstmError as error:\n    print(error)"
    )
    (tmp_path / "lm.arpa").write_text(ARPA)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lm.arpa")],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "NUMBA_DISABLE_JIT is set, but this takes compiled code: unset it"

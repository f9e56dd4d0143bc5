"""Bad ARPA files, caches, lexica and hotwords: one line that names file and line, no traceback, nothing endless."""

from __future__ import annotations

import gzip
import json
import math
import os
import socket
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from speechlstm.configs.arguments import quoted
from speechlstm.decoders import create
from speechlstm.decoders.beam.hotwords import read_hotwords
from speechlstm.decoders.lm import NGram, cache, load, read_arpa
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Characters, Phones
from speechlstm.types import SpeechlstmError

CHARACTERS = Characters.from_texts(["ab c"])
ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tb\t-0.2

\\2-grams:
-0.2\t<s> a
-0.5\ta b
-0.3\tb a

\\end\\
"""
HUGE = 17 << 20  # bytes, of a line that is too long


def refused(work: Callable[[], Any], status: int, *parts: str) -> None:
    """Check that something is refused in one short line that has these parts."""
    with pytest.raises(SpeechlstmError) as caught:
        work()
    message = str(caught.value)
    assert caught.value.exit_status == status
    assert "\n" not in message and len(message) < 1000
    for part in parts:
        assert part in message


# ARPA files

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


def test_weights_of_any_size_are_no_crash() -> None:
    log_probs = noise(12, len(CHARACTERS), 1)
    for settings in ({"word_bonus": 100}, {"word_bonus": -100}, {"hotword_boost": 100}, {"unk_score": 100}):
        for lexicon in ("none", "soft"):
            decoder = create("beam", CHARACTERS, hotwords=["ab", "b"], lexicon=lexicon, **settings)
            assert math.isfinite(decoder(log_probs)[0][0].score)
        [(name, value)] = settings.items()
        refused(lambda name=name, value=value: create("beam", CHARACTERS, **{name: 1.01 * value}), 2, name)


# caches


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An ARPA file and its cache."""
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "user"))
    (tmp_path / "lm.arpa").write_text(ARPA)
    load(tmp_path / "lm.arpa")
    [place] = (tmp_path / "user").iterdir()
    return tmp_path / "lm.arpa", place


def forged(place: Path, change: Callable[[dict[str, Any]], Any], content: bytes | None = None) -> None:
    """Write a cache whose JSON is changed and whose checksum is right."""
    whole = place.read_bytes()
    magic, _, length = whole[:64].split()
    rest = whole[64 + int(length) :]
    head = json.loads(whole[64 : 64 + int(length)])
    text = content if content is not None else json.dumps(change(head)).encode()
    text = text.ljust(int(length)) if len(text) < int(length) else text
    body = text + rest
    first = b"%s %08x %d" % (magic, zlib.crc32(body), len(text))
    place.write_bytes(first.ljust(63) + b"\n" + body)


def _changed(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda head: head | values


def _lengths(**values: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda head: head | {"lengths": head["lengths"] | values}


HEADS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no lengths": lambda head: {key: value for key, value in head.items() if key != "lengths"},
    "lengths are a list": _changed(lengths=[1, 2]),
    "lengths are text": _changed(lengths="x"),
    "a length is text": _lengths(table="9"),
    "a length is negative": _lengths(table=-16),
    "a length is vast": _lengths(table=10**18),
    "a length is a float": _lengths(table=16.0),
    "a length is null": _lengths(states=None),
    "a length is odd": _lengths(table=17),
    "the table is empty": _lengths(table=0),
    "no states": _lengths(states=0),
    "no 1-grams": _lengths(unigrams=0),
    "no words": _lengths(words=0),
    "a part too many": _lengths(more=5),
    "places are text": _changed(places="7"),
    "places are null": _changed(places=None),
    "places are vast": _changed(places=10**9),
    "places are 0": _changed(places=0),
    "places are negative": _changed(places=-1),
    "places are a list": _changed(places=[1]),
    "another format": _changed(format=99),
    "another file": _changed(size=1),
    "a list": lambda head: [head],
    "text": lambda head: "x",
    "null": lambda head: None,
}


@pytest.mark.parametrize("case", HEADS)
def test_caches_with_a_wrong_head(cached: tuple[Path, Path], case: str) -> None:
    path, place = cached
    good = place.read_bytes()
    forged(place, HEADS[case])
    assert scores(load(path)) == scores(NGram.from_trie(read_arpa(path)))
    assert place.read_bytes() == good, "made anew"


@pytest.mark.parametrize(
    ("part", "field"), [("table", "log_prob"), ("unigrams", "log_prob"), ("states", "backoff")]
)
def test_caches_with_probabilities_that_are_no_numbers(
    cached: tuple[Path, Path], part: str, field: str
) -> None:
    path, place = cached
    good = place.read_bytes()
    length = int(good[:64].split()[2])
    lengths, begin = json.loads(good[64 : 64 + length])["lengths"], length
    for name, size in lengths.items():
        begin += -begin % 64
        if name == part:
            break
        begin += size
    body = bytearray(good[64:])
    entries = np.frombuffer(body, np.uint8)[begin : begin + size].view(cache.DTYPES[part])
    entries[field][0] = np.nan
    place.write_bytes(b"%s %08x %d" % (good[:64].split()[0], zlib.crc32(body), length))
    place.write_bytes(place.read_bytes().ljust(63) + b"\n" + body)
    assert scores(load(path)) == scores(NGram.from_trie(read_arpa(path)))
    assert place.read_bytes() == good, "made anew"


def scores(model: NGram) -> list[float]:
    return model.score(["a", "b", "a", "x"])


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "junk": np.random.default_rng(0).bytes(9999),
    "zeros": bytes(9999),
    "text": b"speechlstm-ngram\n" * 99,
    "a pickle": b"\x80\x04\x95" + bytes(500),
    "only the first line": (b"speechlstm-ngram 00000000 5").ljust(63) + b"\n",
    "vast JSON": (b"speechlstm-ngram 00000000 999999999999").ljust(63) + b"\n{}",
    "negative JSON": (b"speechlstm-ngram 00000000 -5").ljust(63) + b"\n{}" + bytes(99),
    "JSON without end": (b"speechlstm-ngram 00000000 9000").ljust(63) + b"\n" + b"[" * 9999,
}


@pytest.mark.parametrize("case", CONTENTS)
def test_caches_with_other_content(cached: tuple[Path, Path], case: str) -> None:
    path, place = cached
    good = place.read_bytes()
    place.write_bytes(CONTENTS[case])
    assert scores(load(path)) == scores(NGram.from_trie(read_arpa(path)))
    assert place.read_bytes() == good, "made anew"


def _fifo(place: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path) -> None:
    os.chdir(place.parent)  # names of sockets are short
    socket.socket(socket.AF_UNIX).bind(place.name)


def _sparse(place: Path) -> None:
    place.touch()
    os.truncate(place, 1 << 40)


def _foreign(place: Path) -> None:
    if os.getuid():
        pytest.skip("only root can give a file away")
    place.write_bytes(b"speechlstm-ngram 00000000 5")
    os.chown(place, 65534, 65534)


KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": _fifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "a sparse file of a terabyte": _sparse,
    "a link to /dev/zero": lambda place: place.symlink_to("/dev/zero"),
    "a link to nothing": lambda place: place.symlink_to("nothing"),
    "a link to itself": lambda place: place.symlink_to(place.name),
    "unreadable": lambda place: place.touch(0),
    "another user's": _foreign,
}


@pytest.mark.parametrize("case", KINDS)
def test_caches_that_are_no_files_of_ours(
    cached: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    path, place = cached
    monkeypatch.chdir(path.parent)
    place.unlink()
    KINDS[case](place)
    assert scores(load(path)) == scores(NGram.from_trie(read_arpa(path)))


def test_another_user_s_cache_is_not_believed(
    cached: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, place = cached
    inode = place.stat().st_ino
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    load(path)
    assert place.stat().st_ino != inode, "made anew"


def test_a_cache_that_is_cut_off_later_does_not_matter(cached: tuple[Path, Path]) -> None:
    path, place = cached
    model = load(path)
    wanted = scores(model)
    os.truncate(place, 0)
    assert scores(model) == wanted


@pytest.mark.parametrize("value", [-1, 5, 2**31 - 1])
def test_indices_out_of_range_are_noticed(cached: tuple[Path, Path], value: int) -> None:
    path, place = cached
    good, model = place.read_bytes(), NGram.from_trie(read_arpa(path))
    for name in ("table", "unigrams"):
        parts = model.arrays._asdict()
        parts[name] = parts[name].copy()
        parts[name]["next"][-1] = value
        forged_model = NGram(model.words, model.order, type(model.arrays)(**parts))
        cache._write(place, cache._key(path), forged_model)
        assert scores(load(path)) == scores(model) and place.read_bytes() == good


# lexica

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


# hotwords

HOTWORDS: dict[str, tuple[bytes, str]] = {
    "a boost of nan": (b"ab\nb\tnan\n", ":2: the boost of 'b' is 'nan'"),
    "a boost of inf": (b"ab\tinf\n", ":1: the boost"),
    "a negative boost": (b"ab\t-1\n", ":1: the boost"),
    "a boost of 1e999": (b"ab\t1e999\n", ":1: the boost"),
    "a boost in words": (b"ab\tmuch\n", ":1: the boost"),
    "two tabs": (b"ab\t1\t2\n", ":1: the boost"),
    "NUL": (b"ab\nb\0\n", ":2: not text"),
    "surrogates": (b"ab\n\xed\xa0\xbd\n", ":2: not UTF-8"),
    "Latin-1": (b"\xfc", ":1: not UTF-8"),
    "an endless line": (b"a" * HUGE, ":1: a line of more than 4 MB"),
}


@pytest.mark.parametrize("case", HOTWORDS)
def test_files_of_hotwords(tmp_path: Path, case: str) -> None:
    content, message = HOTWORDS[case]
    path = tmp_path / "hot.txt"
    path.write_bytes(content)
    refused(lambda: create("beam", CHARACTERS, hotwords=path), 1, f"{path}{message}")


@pytest.mark.parametrize(
    ("given", "status", "part"),
    [
        (5, 2, "hotwords is 5"),
        (2.5, 2, "hotwords is 2.5"),
        (True, 2, "hotwords is True"),
        ([["a"]], 2, "['a'] is not a phrase"),
        ([{"a": 1}], 2, "is not a phrase"),
        ({"a": -1}, 2, "the boost of 'a' is -1"),
        ({"a": math.nan}, 2, "the boost of 'a' is nan"),
        ({"a": "much"}, 2, "the boost of 'a' is 'much'"),
        ({"a": [1]}, 2, "the boost of 'a'"),
        ({"a": None}, 2, "the boost of 'a'"),
        ("grüße", 2, "no such file; phrases are given as a list, hotwords=[grüße]"),
        ("a\0b", 2, "no such file"),
        ("x" * 5000, 2, "no such file"),
        (["grüße"], 1, "hotword 'grüße' cannot be spelled"),
        (["\ud83d"], 1, "cannot be spelled"),
        (["a\0b"], 1, "cannot be spelled"),
        (["ab" * (6 << 20)], 1, "more than 1000 characters"),
        ([5], 1, "hotword '5' cannot be spelled"),
        ([True], 1, "hotword 'true' cannot be spelled"),
        ([None], 1, "hotword 'null' cannot be spelled"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_hotwords(given: Any, status: int, part: str) -> None:
    refused(lambda: create("beam", CHARACTERS, hotwords=given), status, part)


@pytest.mark.parametrize(
    "phrase",
    [
        "grüße",
        "yes&no",
        "rock'n'roll",
        "x=y",
        "50%",
        "(a)",
        "{c}",
        "#1",
        "a:b",
        "!no",
        "null",
        "true",
        "ёж",
        "日本",
    ],
)
def test_a_list_of_phrases_on_the_command_line(phrase: str) -> None:
    for text, wanted in ((f"[{phrase}]", [phrase]), (f"[new york,{phrase}, a]", ["new york", phrase, "a"])):
        override = OverridesParser.create().parse_override(quoted(f"decoder.hotwords={text}"))
        assert list(read_hotwords(override.value(), 1.0)) == wanted


# compiling


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

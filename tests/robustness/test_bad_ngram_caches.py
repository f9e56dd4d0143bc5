"""Bad caches of n-gram models: never believed, and made anew."""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_arpa import ARPA, scores

from speechlstm.decoders.lm import NGram, cache, load, read_arpa


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

"""`load`: what is cached where, and that no stale, foreign or damaged cache is ever believed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from speechlstm.decoders.lm import NGram, NGramArrays, cache, estimate, load, read_arpa, write_arpa
from speechlstm.decoders.lm.corpus import make_corpus
from speechlstm.types import SpeechlstmError

SENTENCE = ["the", "cat", "on", "the", "mat"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ARPA file in a folder of its own, and a folder for caches elsewhere."""
    monkeypatch.setenv("SPEECHLSTM_CACHE", str(tmp_path / "user"))
    return write(tmp_path / "models" / "é lm.arpa", ["the cat sat on the mat", "the dog sat", "the cat ran"])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The ARPA files that are read, in turn."""
    paths: list[Path] = []

    def counted(path: Path) -> object:
        paths.append(path)
        return read_arpa(path)

    monkeypatch.setattr(cache, "read_arpa", counted)
    return paths


def write(path: Path, lines: list[str]) -> Path:
    write_arpa(estimate(make_corpus([line.split() for line in lines]), 3)[0], path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.rglob("*") if each.is_file())


def test_the_second_time_it_comes_from_the_cache(path: Path, tmp_path: Path, reads: list[Path]) -> None:
    first, second = load(str(path)), load(path)
    assert reads == [path]
    assert files(path.parent) == ["é lm.arpa"] and len(files(tmp_path / "user")) == 1
    assert first.score(SENTENCE) == second.score(SENTENCE) == NGram.from_trie(read_arpa(path)).score(SENTENCE)
    assert (first.words, first.order, first.start, first.unk) == (second.words, 3, second.start, second.unk)
    for array in second.arrays[:3]:
        assert array.flags.aligned and not array.flags.writeable
    assert numba.typeof(first.arrays) == numba.typeof(second.arrays), "compiled functions are compiled once"


def test_each_place_has_a_cache_of_its_own(
    path: Path, tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "other" / path.name, ["another model"])
    assert load(path).words != load(other).words
    assert len(files(tmp_path / "user")) == 2, "one for each place, though the names are the same"
    monkeypatch.chdir(path.parent)
    assert load(path.name).score(SENTENCE) == load(path).score(SENTENCE)
    assert reads == [path, other]
    monkeypatch.delenv("SPEECHLSTM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load(path)
    assert len(files(tmp_path / "xdg" / "speechlstm")) == 1


def test_what_is_left_of_files_that_are_gone_is_removed(
    path: Path, tmp_path: Path, reads: list[Path]
) -> None:
    """When a cache is written; what only looks like one is left where it is no file."""
    gone, kept = (write(tmp_path / name / "lm.arpa", ["another model"]) for name in ("gone", "kept"))
    load(gone)
    load(kept)
    user = tmp_path / "user"
    junk = [
        b"",
        b"speechlstm-ngram",
        b"speechlstm-ngram 0 -1\n" + bytes(99),
        b"m 0 7".ljust(63) + b"\n[1, 2]\n",
    ]
    for index, content in enumerate(junk):
        (user / f"{index}.ngram.cache").write_bytes(content)
    os.mkfifo(user / "pipe.ngram.cache")
    (user / "folder.ngram.cache").mkdir()
    (user / "notes.txt").write_text("mine")
    gone.unlink()
    load(path)
    load(kept)
    assert reads == [gone, kept, path]
    left = {cache._name(path), cache._name(kept), "folder", "pipe", "notes"}
    assert {each.name.partition(".")[0] for each in user.iterdir()} == left


def test_nowhere_to_write(path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert load(path).score(SENTENCE) == load(path).score(SENTENCE)
    assert reads == [path, path] and files(path.parents[1]) == [path.name]


def test_a_changed_file_is_read_again(path: Path, reads: list[Path]) -> None:
    load(path)
    write(path, ["quite another model"])
    assert "another" in load(path).ids
    stamp = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("another", "ANOTHER"))  # as many bytes
    os.utime(path, ns=(stamp, stamp + 1))
    assert "ANOTHER" in load(path).ids
    assert len(reads) == 3
    load(path)
    assert len(reads) == 3


def test_another_format_is_made_anew(path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    load(path)
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    load(path)
    load(path)
    assert len(reads) == 2


def test_damage_anywhere_is_noticed(path: Path, reads: list[Path]) -> None:
    wanted = load(path).score(SENTENCE)
    [place] = (path.parents[1] / "user").iterdir()
    good = place.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [good[:length] for length in (0, 1, 63, 64, 65, len(good) // 2, len(good) - 1)]
    for at in [*range(40), *rng.integers(64, len(good), 60).tolist()]:
        damaged.append(good[:at] + bytes([good[at] ^ (1 << rng.integers(8))]) + good[at + 1 :])
    damaged += [good + b"\n", b"not a cache\n" * 99, bytes(len(good)), np.random.default_rng(1).bytes(5000)]
    for content in damaged:
        place.write_bytes(content)
        assert load(path).score(SENTENCE) == wanted
        assert place.read_bytes() == good, "made anew"
    assert len(reads) == 1 + len(damaged)


@pytest.mark.parametrize(
    ("name", "field", "at", "value"),
    [
        ("table", "next", 0, 10**9),
        ("table", "next", 1, -5),
        ("table", "key", -1, 7),  # the search for a key would not end
        ("states", "shorter", 0, 1),
        ("states", "shorter", 2, 2),  # backing off would not end
        ("states", "shorter", 3, 4),
        ("states", "shorter", 1, -1),
        ("unigrams", "next", 0, -1),
        ("unigrams", "next", -1, 10**6),
        ("places", "", 0, 10**9),
        ("places", "", 0, 0),
        ("places", "", 0, -1),
        ("words", "", 0, "one too many"),
    ],
)
def test_indices_are_not_believed(
    path: Path, reads: list[Path], name: str, field: str, at: int, value: Any
) -> None:
    """The checksum of the file is right, as it is where somebody has made it so."""
    wanted = load(path).score(SENTENCE)
    [place] = (path.parents[1] / "user").iterdir()
    good, model = place.read_bytes(), NGram.from_trie(read_arpa(path))
    parts: dict[str, Any] = {
        key: getattr(model.arrays, key).copy() for key in ("table", "states", "unigrams")
    }
    parts["places"] = model.arrays.places
    if field:
        parts[name][field][at] = value
    elif name == "places":
        parts["places"] = value
    else:
        model.words.append(value)
    model.arrays = NGramArrays(**parts)
    cache._write(place, cache._key(path), model)
    assert place.read_bytes() != good
    assert load(path).score(SENTENCE) == wanted
    assert len(reads) == 2 and place.read_bytes() == good, "made anew"


def test_a_pipe_in_the_place_of_a_cache_is_not_waited_for(path: Path) -> None:
    wanted = load(path).score(SENTENCE)
    [place] = (path.parents[1] / "user").iterdir()
    place.unlink()
    os.mkfifo(place)
    assert load(path).score(SENTENCE) == wanted


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one line\n")
    (tmp_path / "kenlm.bin").write_bytes(
        b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(99)
    )
    for name, message in {
        "gone": "gone: cannot be read: No such file",
        "text": r"text:1: no line \\data",
        "kenlm.bin": "a KenLM binary file",
        ".": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(SpeechlstmError, match=message):
            load(tmp_path / name)
    assert files(tmp_path) == ["kenlm.bin", "text"]


def test_a_cached_model_is_loaded_without_torch(path: Path) -> None:
    load(path)
    code = (
        "import sys; from speechlstm.decoders.lm import load\n"
        "assert len(load(sys.argv[1]).score(['the'])) == 2 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=120)

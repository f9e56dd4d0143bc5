"""Search graphs on disk: built once for a language model, lexicon and tokenizer, and found again by their content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from kaldifst import StdConstFst

from speechlstm.decoders.lm import read_arpa, write_arpa
from speechlstm.model.tokenizer import Phones, Tokenizer
from speechlstm.model.tokenizer.lexicon import Pronunciations, read_lexicon
from speechlstm.types import DecoderError, TokenizerError, counted

from . import build

FORMAT = 1  # raised when the same files would give another graph
_LISTED = 10  # words left out that are named
_MARKS = ("<s>", "</s>", "<unk>")


@dataclass(frozen=True, slots=True)
class Graph:
    """A search graph: the FST from frames to words, and the word of each output label."""

    fst: StdConstFst
    words: list[str]


def open_graph(tokenizer: Tokenizer, lm: Path, lexicon: Path | None, cache: Path | None) -> Graph:
    """Return the graph of a language model, from the cache if it was built before.

    A graph is known by the content of all it is made of, so one of another model, lexicon or tokenizer is never
    taken for it; a damaged one is built again.

    Args:
        tokenizer: whose tokens the graph reads.
        lm: ARPA file of words, gzipped or not.
        lexicon: file of pronunciations; None spells the words of the language model with the tokenizer.
        cache: folder for graphs; None is `wfst` in the user's cache folder.

    Raises:
        DecoderError: a file that cannot be read, no word that can be spelled, or a graph that cannot be built.
        SpeechlstmError: the language model is not well-formed; the message begins with `path:line`.
    """
    folder = (cache or _cache()) / _key(tokenizer, lm, lexicon)
    if (graph := _read(folder)) is not None:
        return graph
    staging = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        _build(staging, tokenizer, lm, lexicon)
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        try:
            staging.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same graph
                raise
    except OSError as error:
        raise DecoderError(f"{folder}: the graph cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if (graph := _read(folder)) is None:
        raise DecoderError(f"{folder}: the graph that was just built cannot be read")
    return graph


def _build(folder: Path, tokenizer: Tokenizer, lm: Path, lexicon: Path | None) -> None:
    print(
        f"building the search graph of {lm}, once; it may take minutes for millions of n-grams",
        file=sys.stderr,
    )
    model = read_arpa(lm)
    spellings = _spellings(
        tokenizer, [word for word in model.words if word.lower() not in _MARKS], lexicon, lm
    )
    separator = None if tokenizer.separator is None else tokenizer.tokens.index(tokenizer.separator)
    write_arpa(model, folder / "words.arpa")
    content = {"vocab": len(tokenizer), "separator": separator, "spellings": spellings}
    (folder / "spellings.json").write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, str(Path(build.__file__)), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise DecoderError(f"{lm}: no search graph could be built of it: {reason}")
    for name in ("words.arpa", "spellings.json", "G.fst"):
        (folder / name).unlink()


def _spellings(
    tokenizer: Tokenizer, words: list[str], lexicon: Path | None, lm: Path
) -> list[tuple[str, list[int]]]:
    """Return the words of the language model with their tokens; those without are left out and named."""
    pronunciations: Pronunciations | None = None
    if lexicon is not None:
        pronunciations = read_lexicon(lexicon, tokenizer.normalize)
    elif isinstance(tokenizer, Phones):
        pronunciations = tokenizer.lexicon.entries
    ids = {token: index for index, token in enumerate(tokenizer.tokens) if index}
    spellings, lost = [], []
    for word in words:
        if pronunciations is None:
            variants = [_encoded(tokenizer, word)]
        else:
            named = pronunciations.get(tokenizer.normalize(word), [])
            variants = [[ids.get(token, 0) for token in tokens] for tokens in named]
        good = [tokens for tokens in variants if tokens and 0 not in tokens]
        spellings += [(word, tokens) for tokens in good]
        lost += [] if good else [word]
    shown = ", ".join(map(repr, lost[:_LISTED])) + (" ..." if len(lost) > _LISTED else "")
    source = "the tokenizer" if lexicon is None else lexicon
    if not spellings:
        raise DecoderError(
            f"{lm}: none of its {counted(len(words), 'word')} can be spelled by {source}: {shown}"
        )
    if lost:
        print(
            f"{lm}: {len(lost)} of {counted(len(words), 'word')} cannot be spelled by {source}: {shown}",
            file=sys.stderr,
        )
    return spellings


def _encoded(tokenizer: Tokenizer, word: str) -> list[int]:
    try:
        return tokenizer.encode(word)
    except TokenizerError:
        return []


def _key(tokenizer: Tokenizer, lm: Path, lexicon: Path | None) -> str:
    """Return a name that only a graph made of the same content has."""
    versions = [version(package) for package in ("kaldifst", "kaldilm")]
    content = [FORMAT, versions, tokenizer.to_dict()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path in (lm, lexicon):
        try:
            digest.update(hashlib.sha256(path.read_bytes() if path else b"").digest())
        except OSError as error:
            raise DecoderError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:32]


def _read(folder: Path) -> Graph | None:
    if not (folder / "TLG.fst").is_file():
        return None
    try:
        words = list(build.reading(folder))
    except (OSError, ValueError):
        return None
    fst = StdConstFst.read(str(folder / "TLG.fst"))  # None for a file that is cut short or something else
    return None if fst is None or not words else Graph(fst, words)


def _cache() -> Path:
    own = os.environ.get("SPEECHLSTM_CACHE")
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "speechlstm"
    return (Path(own) if own else shared).expanduser() / "wfst"

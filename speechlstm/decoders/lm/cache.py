"""Loading a model: from its ARPA file once, from then on from a binary cache that is mapped into memory.

A cache is one file: a line `MAGIC checksum length`, then as much JSON, then the vocabulary and the arrays, each at a
multiple of 64 bytes. The checksum is the CRC-32 of all that follows the line. It is made for one ARPA file, known by
its place, size and time of change, and made anew when one of them or `FORMAT` is another, or when it is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.data.files import user_cache
from speechlstm.decoders.lm.arpa import read_arpa
from speechlstm.decoders.lm.ngram import DTYPES, NGram, NGramArrays
from speechlstm.types import SpeechlstmError

FORMAT = 1  # raised when the arrays or their meaning change
MAGIC = b"speechlstm-ngram"

_ALIGNMENT = 64


def load(path: str | Path) -> NGram:
    """Load an ARPA file, gzipped or not, and keep a binary cache of it for the next time.

    The cache is `<file>.cache` beside the file if that folder can be written, else a file in the folder that
    `SPEECHLSTM_CACHE` names (else `$XDG_CACHE_HOME/speechlstm`, else `~/.cache/speechlstm`). Where neither can
    be written the file is read every time.

    Raises:
        SpeechlstmError: the file cannot be read, or is not a well-formed ARPA file.
    """
    path = Path(path).expanduser()
    try:
        key = _key(path)
    except OSError as error:
        raise SpeechlstmError(f"{path}: cannot be read: {error.strerror}") from None
    places = [path.with_name(f"{path.name}.cache"), user_cache() / f"{_name(path)}.ngram.cache"]
    for place in places:
        if (model := _read(place, key)) is not None:
            return model
    model = NGram.from_trie(read_arpa(path))
    for place in places:
        try:
            _write(place, key, model)
        except OSError:  # no permission, no space: it goes without
            continue
        break
    return model


def _key(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"format": FORMAT, "size": status.st_size, "changed": status.st_mtime_ns}


def _name(path: Path) -> str:
    """Return a name that only this place has."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]


def _write(place: Path, key: dict[str, int], model: NGram) -> None:
    from speechlstm.data.files import write_atomically

    words = "\n".join(model.words).encode()
    parts = {"words": words} | {name: getattr(model.arrays, name).tobytes() for name in DTYPES}
    lengths = {name: len(part) for name, part in parts.items()}
    head = {**key, "order": model.order, "places": model.arrays.places, "lengths": lengths}
    content = bytearray(json.dumps(head).encode())
    length = len(content)
    for part in parts.values():
        content += bytes(-len(content) % _ALIGNMENT) + part
    first = b"%s %08x %d" % (MAGIC, zlib.crc32(content), length)
    line = first.ljust(_ALIGNMENT - 1) + b"\n"
    write_atomically(place, bytes(line + content))


def _read(place: Path, key: dict[str, int]) -> NGram | None:
    """Return the model in a cache; None when there is none, it is another file's, or it is damaged."""
    try:
        content = np.memmap(place, np.uint8, "r").view(np.ndarray)
        magic, checksum, length = content[:_ALIGNMENT].tobytes().split()
        content = content[_ALIGNMENT:]
        head: dict[str, Any] = json.loads(content[: int(length)].tobytes())
        if magic != MAGIC or any(head[name] != value for name, value in key.items()):
            return None
        if b"%08x" % zlib.crc32(content.data) != checksum:
            return None
        parts, begin = {}, int(length)
        for name, size in head["lengths"].items():
            begin += -begin % _ALIGNMENT
            parts[name] = content[begin : begin + size]
            begin += size
        arrays = {name: parts[name].view(dtype) for name, dtype in DTYPES.items()}
        words = parts["words"].tobytes().decode().split("\n")
        return NGram(words, head["order"], NGramArrays(**arrays, places=head["places"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

"""Loading a model: from its ARPA file once, from then on from a binary cache that is mapped into memory.

A cache is one file: a line `MAGIC checksum length`, then as much JSON, then the vocabulary and the arrays, each at a
multiple of 64 bytes. The checksum is the CRC-32 of all that follows the line. It is made for one ARPA file, known by
its place, size and time of change, and made anew when one of them or `FORMAT` is another, or when it is damaged.

Caches lie in the user's own folder, never beside the ARPA file, where somebody else could have put one. All the same
compiled code, which checks nothing, gets the arrays only after all of their indices have been looked at.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from speechlstm.data.files import user_cache, write_atomically
from speechlstm.decoders.lm.arpa import read_arpa
from speechlstm.decoders.lm.ngram import DTYPES, NOWHERE, NGram, NGramArrays
from speechlstm.types import SpeechlstmError

FORMAT = 1  # raised when the arrays or their meaning change
MAGIC = b"speechlstm-ngram"

_ALIGNMENT = 64


def load(path: str | Path) -> NGram:
    """Load an ARPA file, gzipped or not, and keep a binary cache of it for the next time.

    The cache lies in the user's folder for caches (`SPEECHLSTM_CACHE`, else the system's). Where that cannot be
    written the ARPA file is read every time.

    Raises:
        SpeechlstmError: the file cannot be read, or is not a well-formed ARPA file.
    """
    path = Path(path).expanduser()
    try:
        key = _key(path)
    except OSError as error:
        raise SpeechlstmError(f"{path}: cannot be read: {error.strerror}") from None
    place = user_cache() / f"{_name(path)}.ngram.cache"
    if (model := _read(place, key)) is None:
        model = NGram.from_trie(read_arpa(path))
        with suppress(OSError):  # no permission, no space: it goes without
            _write(place, key, model)
    return model


def _key(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"format": FORMAT, "size": status.st_size, "changed": status.st_mtime_ns}


def _name(path: Path) -> str:
    """Return a name that only this place has."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]


def _write(place: Path, key: dict[str, int], model: NGram) -> None:
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
        if not place.is_file():  # a pipe would be waited for
            return None
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
        model = NGram(words, head["order"], NGramArrays(**arrays, places=head["places"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return model if _sound(model) else None


def _sound(model: NGram) -> bool:
    """Return whether a query ends, whatever the word and the state, and stays within the arrays."""
    table, states, unigrams, places = model.arrays
    count = len(states)
    shorter = states["shorter"].view(np.uint32)  # below 0 is far too large
    return bool(
        len(unigrams) == len(model.words)
        and 1 <= places < len(table)
        and table["key"][-1] == NOWHERE  # no key is greater: there the search for one ends
        and shorter[0] == 0
        and (
            shorter[1:] < np.arange(1, count, dtype=np.uint32)
        ).all()  # backing off ends in the empty context
        and unigrams["next"].view(np.uint32).max() < count
        and table["next"].view(np.uint32).max() < count
    )

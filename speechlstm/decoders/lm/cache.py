"""Loading a model: once from its ARPA file, then from a binary cache.

A cache is one file: a line `MAGIC checksum length`, then as much JSON, then the vocabulary and the arrays, each at a
multiple of 64 bytes. The checksum is the CRC-32 of all that follows the line. A cache belongs to one ARPA file,
identified by its path, size, and modification time, and is rebuilt when one of them or `FORMAT` changes, or when it is
damaged. When one is written, those whose ARPA files are gone are removed.

Caches lie in the user's own folder, never beside the ARPA file, where somebody else could have put one, and one that
another user owns is not used. All the same, compiled code, which checks nothing, gets the arrays only after all of
their indices have been checked. The file is read, not mapped: a mapped file that is cut off ends the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zlib
from contextlib import suppress
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.files import user_cache, write_atomically
from speechlstm.data.names import expanded
from speechlstm.decoders.lm.arpa import read_arpa
from speechlstm.decoders.lm.ngram import DTYPES, NOWHERE, NGram, NGramArrays
from speechlstm.types import SpeechlstmError

FORMAT = 2  # raised when the arrays or their meaning change
MAGIC = b"speechlstm-ngram"

_ALIGNMENT = 64
_BLOCK = 1 << 18  # bytes
_ROOM, _GROWTH = 1 << 20, 1000  # a cache has fewer bytes than this, and this for each byte of its ARPA file


def load(path: str | Path) -> NGram:
    """Load an ARPA file, gzipped or not, and keep a binary cache of it for the next time.

    The cache lies in the user's folder for caches (`SPEECHLSTM_CACHE`, else the system's). Where that cannot be
    written the ARPA file is read every time.

    Raises:
        SpeechlstmError: the file cannot be read, or is not a well-formed ARPA file.
    """
    path = expanded(path)
    try:
        key = _key(path)
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        raise SpeechlstmError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None
    if not path.is_file():  # a pipe can be read once, and there is nothing to know it by
        return NGram.from_trie(read_arpa(path))
    place = user_cache() / f"{_name(path)}.ngram.cache"
    if (model := _read(place, key)) is None:
        model = NGram.from_trie(read_arpa(path))
        with suppress(OSError, SpeechlstmError):  # no permission, no space, no file: it goes without
            _write(place, {**key, "file": str(path.resolve())}, model)
            _tidy(place.parent)
    return model


def _key(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"format": FORMAT, "size": status.st_size, "changed": status.st_mtime_ns}


def _name(path: Path) -> str:
    """Return a name that only this place has."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]


def _write(place: Path, key: dict[str, Any], model: NGram) -> None:
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


def _open(place: Path) -> BufferedReader:
    """Open a file without waiting if it is a pipe."""
    return os.fdopen(os.open(place, os.O_RDONLY | os.O_NONBLOCK), "rb")


def _tidy(folder: Path) -> None:
    """Remove the caches of ARPA files that are gone, and those that do not tell their file."""
    for place in folder.glob("*.ngram.cache"):
        with suppress(OSError), _open(place) as file:
            try:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    continue
                length = int(file.read(_ALIGNMENT).split()[2])
                needed = Path(json.loads(file.read(max(0, min(length, _ROOM))))["file"]).is_file()
            except (ValueError, KeyError, TypeError, IndexError, RecursionError):
                needed = False
            if not needed:
                place.unlink()


def _read(place: Path, key: dict[str, int]) -> NGram | None:
    """Return the model in a cache; None when there is none, it is another file's or user's, or it is damaged."""
    try:
        with _open(place) as file:
            status = os.fstat(file.fileno())
            magic, checksum, text = (
                file.read(_ALIGNMENT).split() if stat.S_ISREG(status.st_mode) else [b""] * 3
            )
            if magic != MAGIC or status.st_uid != os.getuid():
                return None
            length, size = int(text), status.st_size - _ALIGNMENT
            if not 0 < length < size < _ROOM + _GROWTH * key["size"]:  # it could fill the memory
                return None
            content = np.empty(size, np.uint8)
            file.readinto(content[:length].data)
            head: dict[str, Any] = json.loads(content[:length].tobytes())
            if any(head[name] != value for name, value in key.items()):
                return None
            slices = _slices(length, head["lengths"])
            if max(part.stop for part in slices.values()) != size:
                return None
            actual, most, finite = _fill(file, content, length, slices["table"])
        if b"%08x" % actual != checksum or not finite:
            return None
        content.flags.writeable = False
        arrays = {name: content[slices[name]].view(dtype) for name, dtype in DTYPES.items()}
        words = content[slices["words"]].tobytes().decode().split("\n")
        model = NGram(words, head["order"], NGramArrays(**arrays, places=head["places"]))
        return model if _sound(model, most) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None


def _slices(begin: int, lengths: dict[str, int]) -> dict[str, slice]:
    """Return where the parts of a cache lie after its JSON, in bytes."""
    slices = {}
    for name, size in lengths.items():
        begin += -begin % _ALIGNMENT
        slices[name] = slice(begin, begin + size)
        begin += size
    return slices


def _fill(
    file: BufferedReader, content: NDArray[np.uint8], begin: int, table: slice
) -> tuple[int, int, bool]:
    """Read a cache after its JSON, each block looked at while it is in the processor's cache: a third of the time.

    Returns:
        its checksum, the greatest `next` of its table, and whether the probabilities there are numbers.
    """
    checksum, most, finite = zlib.crc32(content[:begin].data), 0, True
    edges = [begin, *range(table.start, table.stop, _BLOCK), table.stop, len(content)]
    for first, after in pairwise(edges):
        block = content[first:after]
        file.readinto(block.data)
        checksum = zlib.crc32(block.data, checksum)
        if table.start <= first < table.stop:
            entries = block.view(DTYPES["table"])
            most = max(most, int(entries["next"].view(np.uint32).max()))
            finite = finite and not np.isnan(entries["log_prob"]).any()
    return checksum, most, finite


def _sound(model: NGram, most: int) -> bool:
    """Return whether a query ends, whatever the word and the state, and stays within the arrays.

    `most` is the greatest `next` of its table; below 0 is far too large.
    """
    table, states, unigrams, places = model.arrays
    count = len(states)
    shorter = states["shorter"].view(np.uint32)
    return bool(
        len(unigrams) == len(model.words)
        and 1 <= places < len(table)
        and table["key"][-1] == NOWHERE  # no key is greater: there the search for one ends
        and shorter[0] == 0
        and (
            shorter[1:] < np.arange(1, count, dtype=np.uint32)
        ).all()  # backing off ends in the empty context
        and unigrams["next"].view(np.uint32).max() < count
        and most < count
        and not np.isnan(unigrams["log_prob"]).any()
        and not np.isnan(states["backoff"]).any()
    )

"""The header of a safetensors file, and what is wrong with it, in words."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

from speechlstm.data.lines import read_value
from speechlstm.model.files import opened
from speechlstm.types import BundleError

_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8,
    "U64": 8, "F64": 8,
}  # fmt: skip

_MOST = 1 << 62  # bytes
_MOST_HEADER = 100_000_000  # bytes, as for the safetensors package


def read_tensor_header(path: Path) -> dict[str, Any]:
    """Return type, shape, and place of each tensor of a safetensors file, of which no more is read.

    Raises:
        BundleError: as `speechlstm.model.files.opened`, or the header is damaged.
    """
    with opened(path) as (file, total):
        content = file.read(8)
        content += file.read(min(int.from_bytes(content, "little"), _MOST_HEADER, total))
    if fault := header_fault(content, total):
        raise BundleError(f"{path}: damaged: {fault}; copy it again")
    about: dict[str, Any] = read_value(content[8:].decode())
    about.pop("__metadata__", None)
    return about


def header_fault(content: bytes, total: int) -> str:
    """Return what is wrong with a file's header: its length, itself, or what it says of a tensor; else nothing.

    A file begins with the length of its header, 8 bytes. The header is JSON, and has for each tensor its type, its
    shape, and where its bytes begin and end after the header. They follow each other without a gap.

    Args:
        content: the file, or its beginning up to the end of the header.
        total: bytes of the file.
    """
    size = int.from_bytes(content[:8], "little")
    there = total - 8 - size
    if len(content) < 8 or not size or there < 0:
        return "its header is cut short, or it is no safetensors file"
    try:
        about = read_value(content[8 : 8 + size].decode())
    except ValueError:
        return "its header is not JSON"
    if not isinstance(about, dict):
        return "its header is not a JSON object"
    texts = about.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        return "what its header says of the file are not all texts"
    for name, entry in about.items():
        if fault := _fault(entry):
            return f"its header gives {name[:80]!r} {fault}"
    places = sorted(entry["data_offsets"] for entry in about.values())
    told = max((end for _, end in places), default=0)
    if told != there:
        return f"{there:,} bytes of numbers follow its header, which tells of {told:,}"
    if any(end != start for (_, end), (start, _) in pairwise([(0, 0), *places])):
        return "by its header, numbers of two tensors overlap, or belong to none"
    return ""


def _fault(entry: Any) -> str:
    """Return what is wrong with what a header says of a tensor, or nothing."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        return "no type, shape, or place"
    kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _BYTES:
        return f"the type {str(kind)[:20]!r}, but can be {', '.join(_BYTES)}"
    if not _whole(shape):
        return "a shape that is not a list of whole numbers from 0"
    if not _whole(place) or len(place) != 2 or place[0] > place[1]:
        return "a place that is not its beginning and its end"
    needed = math.prod(shape) * _BYTES[kind]
    if needed > _MOST:
        return "a shape of more numbers than any file holds"
    if needed != place[1] - place[0]:
        return f"{place[1] - place[0]:,} bytes, but its type and shape need {needed:,}"
    return ""


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= _MOST for value in values)

"""Reading the files of a bundle, which must be regular files of a sensible size and well-formed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from speechlstm.data.lines import read_value
from speechlstm.model.headers import header_fault
from speechlstm.types import BundleError

_MOST_TEXT = 1 << 26  # bytes of a JSON file; one with a lexicon of 126,000 words has 2.4 million
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


def read_file(path: Path, most: int | None = None) -> bytes:
    """Read a regular file, with links followed.

    Raises:
        BundleError: it is missing, cannot be read, is a device, a FIFO, a folder, all holes, or too large.
    """
    try:
        # without waiting for the other end of a FIFO
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: damaged: not a regular file")
            if most is not None and status.st_size > most:
                raise BundleError(
                    f"{path}: damaged: {status.st_size} bytes, more than the {most} it may have"
                )
            if _is_hollow(handle, status):
                raise BundleError(f"{path}: damaged: most of its {status.st_size} bytes were never written")
            return file.read(status.st_size)
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; the bundle is incomplete") from None
    except OSError as error:
        raise BundleError(f"{path}: damaged: {error.strerror}") from None


def _is_hollow(handle: int, status: os.stat_result) -> bool:
    """Return whether a file is mostly holes, and so takes memory that nobody had to store."""
    blocks = getattr(status, "st_blocks", None)
    if blocks is None or status.st_size < 1 << 20 or blocks * 512 >= status.st_size // 2:
        return False
    hole = os.lseek(handle, 0, os.SEEK_HOLE)  # file systems that know nothing of holes give the end
    os.lseek(handle, 0, os.SEEK_SET)
    return hole < status.st_size


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BundleError: as `read_file`, or it is no JSON.
    """
    content = read_file(path, _MOST_TEXT)
    try:
        return read_value(content.decode("utf-8-sig"))
    except ValueError as error:
        raise BundleError(f"{path}: damaged: {error}") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        BundleError: as `read_file`, or it is damaged; numbers that are NaN are, and the tensor is named.
    """
    return read_tensors_and_metadata(path)[0]


def read_tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file and the texts in its header, as `read_tensors` does."""
    content = read_file(path)
    try:
        tensors = load_tensors(content)
        size = int.from_bytes(content[:8], "little")  # of the header, which was read well
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except Exception:  # besides its own, those of a type or shape that it does not foresee
        raise BundleError(f"{path}: damaged: {header_fault(content)}; copy it again") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES + _WHOLE:
            raise BundleError(f"{path}: damaged: {name[:80]} is of type {tensor.dtype}")
        if tensor.dtype in _DTYPES and bool(tensor.isnan().any()):
            raise BundleError(f"{path}: damaged: {name[:80]} has numbers that are NaN")
    return tensors, metadata

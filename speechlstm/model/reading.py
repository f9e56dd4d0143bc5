"""Reading the tensors of a bundle, which must be well-formed."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from speechlstm.model.files import read_file
from speechlstm.model.headers import header_fault
from speechlstm.types import BundleError

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_WHOLE = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        BundleError: as `speechlstm.model.files.opened`, or it is damaged; if by numbers that are NaN, the tensor is
            named.
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
        fault = header_fault(content, len(content)) or "it is no safetensors file"
        raise BundleError(f"{path}: damaged: {fault}; copy it again") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES + _WHOLE:
            raise BundleError(f"{path}: damaged: {name[:80]} is of type {tensor.dtype}")
        if tensor.dtype in _DTYPES and bool(tensor.isnan().any()):
            raise BundleError(f"{path}: damaged: {name[:80]} has numbers that are NaN")
    return tensors, metadata

"""Communication among the processes of several devices."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist

Value = TypeVar("Value")

_group: Any = None  # for words between the processors, while the devices talk about gradients


def gather(value: Value) -> list[Value]:
    """Return every rank's value, on every rank."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=processors())
    return values


def total(value: int) -> int:
    """Return the sum of every rank's value, on every rank."""
    return _reduce(value, dist.ReduceOp.SUM)


def largest(value: int) -> int:
    """Return the largest of every rank's values, on every rank."""
    return _reduce(value, dist.ReduceOp.MAX)


def _reduce(value: int, operation: Any) -> int:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    tensor = torch.tensor(value)
    dist.all_reduce(tensor, operation, group=processors())
    return int(tensor)


def processors() -> Any:
    """Return a group that talks through the processors, so that no device has to finish its work for it."""
    global _group
    if _group is None and dist.get_backend() != "gloo":
        _group = dist.new_group(backend="gloo")
    return _group


def leave() -> None:
    """Forget the other ranks."""
    global _group
    _group = None
    dist.destroy_process_group()

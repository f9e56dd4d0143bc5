"""Restoring the parts of bundles and checkpoints, which name them by entry point, never by class."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from speechlstm.model import registry
from speechlstm.model.acoustic import AcousticModel, is_encoder_weight
from speechlstm.model.description import check_part
from speechlstm.model.encoder import weights_follow
from speechlstm.types import BundleError, PluginError, SpeechlstmError, UsageError

_NAMED = 3  # tensors in a message


class TooLargeError(BundleError):
    """Settings ask for more weights than there are."""


def restore(
    config: Mapping[str, Any],
    where: str,
    tensors: Mapping[str, Tensor],
    vocab_size: int,
    weights: str | None = None,
) -> AcousticModel:
    """Make the acoustic model that a bundle or checkpoint describes, with its weights.

    Nothing is built that would need more memory than the weights themselves have.

    Args:
        config: of the model.
        where: the file that the config is from.
        tensors: the weights.
        vocab_size: how many tokens there are.
        weights: the file that the weights are from, if it is another.

    Raises:
        BundleError: settings and weights do not fit together, or a part is not installed.
        PluginError: a part of another package cannot be imported or made.
    """
    if not any(map(is_encoder_weight, tensors)):
        held = f"but {_listed(sorted(tensors))}" if tensors else "or anything else"
        raise BundleError(
            f"{weights or where}: holds no weights of an encoder, {held}; is it another file under this name, "
            "such as selftest.safetensors?"
        )
    try:
        features = _part("features", config, where)
        sizes = {"num_features": features.num_features, "vocab_size": vocab_size}
        check_size(config, where, tensors, **sizes)
        model = AcousticModel(features, _part("encoder", config, where, **sizes))
        _check_kinds(model, tensors)
        try:
            model.load_state_dict(dict(tensors))
        except RuntimeError:
            if not (differences := _differences(model.state_dict(), tensors)):
                raise
            raise BundleError(
                f"{weights or where}: weights and config do not fit together: by {Path(where).name}, "
                f"{_listed(differences, '; ')}; put back the file that belongs to it, or export the model again"
            ) from None
    except (RuntimeError, TypeError, ValueError, AttributeError, SpeechlstmError) as error:
        if isinstance(error, PluginError) or (
            isinstance(error, BundleError) and type(error) is not TooLargeError
        ):
            raise
        reason = " ".join(str(error).split())
        raise BundleError(f"{where}: weights and config do not fit together: {reason[:2000]}") from None
    return model.eval()


def check_size(config: Mapping[str, Any], where: str, tensors: Mapping[str, Tensor], **sizes: int) -> None:
    """Raise TooLargeError if an encoder's settings ask for more weights than there are.

    The encoder is built without memory first. One that cannot be is left to the bounds of its settings.
    """
    there = sum(tensor.numel() for name, tensor in tensors.items() if is_encoder_weight(name))
    most = 2 * there + (1 << 20)  # what little is missing or too much is named when the weights are copied
    with contextlib.suppress(PluginError, UsageError), _no_more_weights(most), torch.device("meta"):
        _part("encoder", config, where, **sizes)


@contextlib.contextmanager
def _no_more_weights(most: int) -> Iterator[None]:
    """Refuse modules of this thread whose weights are together of more numbers."""
    left, thread = most, threading.get_ident()

    def count(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal left
        if weight is not None and threading.get_ident() == thread:
            left -= weight.numel()
            if left < 0:
                raise TooLargeError(
                    f"the encoder's settings ask for more than the {most} weights that there are"
                )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _differences(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what is wrong with weights, tensor by tensor."""
    lacking = [f"{name} {_shape(own)} is missing" for name, own in wanted.items() if name not in tensors]
    shapes = [
        f"{name} must be {_shape(own)}, but is {_shape(tensors[name])}"
        for name, own in wanted.items()
        if name in tensors and own.shape != tensors[name].shape
    ]
    return lacking + shapes + [f"{name[:80]} must not be there" for name in tensors if name not in wanted]


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _listed(parts: Sequence[str], separator: str = ", ") -> str:
    """Return the first few parts, and how many more there are."""
    more = f"{separator}and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return separator.join(part[:160] for part in parts[:_NAMED]) + more


def _check_kinds(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raise a TypeError where whole numbers are given for others, or infinite ones for weights."""
    for name, own in model.state_dict(keep_vars=True).items():
        given = tensors.get(name, own)
        if given.is_floating_point() != own.is_floating_point():
            raise TypeError(f"{name} is of type {given.dtype}, but must be of type {own.dtype}")
        if isinstance(own, nn.Parameter) and given.is_floating_point() and not bool(given.isfinite().all()):
            raise ValueError(f"{name} has infinite numbers")


def _part(stage: str, config: Mapping[str, Any], where: str, **sizes: int) -> Any:
    check_part(stage, config, where)
    with weights_follow():
        return registry.create(stage, **(dict(config[stage]) | sizes))


def described(config: Mapping[str, Any], tokenizer: str) -> dict[str, Any]:
    """Return what a bundle says of its parts: names and settings, and the packages that they come from."""
    parts = {stage: dict(config[stage]) for stage in ("features", "encoder")}
    names = {stage: settings["name"] for stage, settings in parts.items()} | {"tokenizer": tokenizer}
    packages = {stage: registry.package_of(registry.entry(stage, name)) for stage, name in names.items()}
    return {**parts, "packages": packages}

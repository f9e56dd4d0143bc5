"""Beginning with the weights of another recogniser, whatever its alphabet, and keeping parts of them as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechlstm.model.acoustic import acoustic_state, has_row_per_token, is_encoder_weight
from speechlstm.model.bundle import load_bundle
from speechlstm.training import ranks
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.module import ACOUSTIC, TrainingModule
from speechlstm.types import SpeechlstmError, UsageError


def initialise(model: TrainingModule, path: str | Path, settings: Mapping[str, Any]) -> None:
    """Copy the weights that fit by name and shape from a bundle or checkpoint, and say on stderr what was not copied.

    What belongs to a token goes where that token now is; what belongs to a new token stays as it was drawn.

    Args:
        model: gets the weights.
        path: folder of a bundle, or a checkpoint file.
        settings: the model's own settings, by stage; those that differ are named.

    Raises:
        SpeechlstmError: the bundle or checkpoint is damaged, or is none.
        UsageError: no weight of the encoder fits.
        OSError: the checkpoint cannot be read.
    """
    path = Path(path).expanduser()
    weights, tokens, theirs = _read(path)
    own = model.acoustic.state_dict()  # shares memory with the model
    known = {token: number for number, token in enumerate(tokens)}
    shared = [(new, known[token]) for new, token in enumerate(model.tokenizer.tokens) if token in known]
    here, there = torch.tensor(shared, dtype=torch.long).view(-1, 2).T
    fits, skipped = [], []
    for name, target in own.items():
        axis, source = 0 if has_row_per_token(name) else None, weights.get(name)
        if source is None:
            skipped.append(f"{name} is not there")
        elif _but(target, axis) != _but(source, axis):
            skipped.append(f"{name} is of shape {_shape(target)}, there {_shape(source)}")
        else:
            fits.append(name)
    if not any(is_encoder_weight(name) and not has_row_per_token(name) for name in fits):
        raise UsageError(
            f"init_from={path}: no weight of this encoder fits; it was trained with {_differences(theirs, settings)}"
        )
    for name in fits:
        if has_row_per_token(name):
            own[name].index_copy_(0, here, weights[name].index_select(0, there).to(own[name].dtype))
        else:
            own[name].copy_(weights[name])
    said = [f"init_from={path}: {len(fits)} of {len(own)} weights copied"]
    new = [token for token in model.tokenizer.tokens if token not in known]
    if new or len(tokens) != len(shared):
        more = " ..." if len(new) > 20 else ""
        said.append(
            f"  the output layer knows {len(shared)} of {len(model.tokenizer.tokens)} tokens; "
            f"new: {' '.join(map(repr, new[:20])) or 'none'}{more}"
        )
    skipped += [f"{name} is there only" for name in weights if name not in own]
    said += [f"  not copied: {reason}" for reason in skipped]
    if differences := _differences(theirs, settings):
        said.append(f"  it was trained with {differences}")
    ranks.say(*said)


def freeze(encoder: nn.Module, parts: Sequence[str]) -> None:
    """Keep the weights of parts of an encoder as they are.

    Args:
        encoder: what is trained.
        parts: names of its modules, such as `subsample`, `layers.0` or `output`.

    Raises:
        UsageError: there is no such part, or nothing is left to train.
    """
    for part in parts:
        try:
            module = encoder.get_submodule(str(part))
        except AttributeError:
            names = [name for name, _ in encoder.named_modules() if name and name.count(".") <= 1]
            raise UsageError(
                f"freeze: the encoder has no part {part!r}; it has: {', '.join(names)}"
            ) from None
        module.requires_grad_(False)
    if not any(weights.requires_grad for weights in encoder.parameters()):
        raise UsageError(f"freeze is {list(parts)}, which leaves nothing to train")
    if parts:
        left = sum(weights.numel() for weights in encoder.parameters() if weights.requires_grad)
        ranks.say(f"frozen: {', '.join(map(str, parts))}; {left / 1e6:.2f} million weights are trained")


def _read(path: Path) -> tuple[dict[str, Tensor], list[str], Mapping[str, Any]]:
    """Return the weights by name, the tokens and the settings by stage."""
    if path.is_file():
        checkpoint = Checkpoints({}).load_checkpoint(path, weights_only=True)
        try:
            weights = acoustic_state(checkpoint["state_dict"], ACOUSTIC)
            return weights, checkpoint["tokenizer"]["tokens"], checkpoint["settings"]
        except KeyError as error:
            raise SpeechlstmError(f"{path}: no checkpoint of speechlstm, it lacks {error}") from None
    bundle = load_bundle(path)
    return bundle.model.state_dict(), list(bundle.tokenizer.tokens), bundle.config


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """Return which settings of the stages differ, and what they were."""
    found = []
    for stage in ("features", "encoder"):
        there, here = theirs[stage], ours[stage]
        for key in sorted(there.keys() & here.keys()):
            if there[key] != here[key]:
                found.append(f"{stage}.{key}={there[key]} (here {here[key]})")
    return ", ".join(found)


def _but(tensor: Tensor, axis: int | None) -> list[int]:
    """Return the shape without one dimension."""
    return [size for number, size in enumerate(tensor.shape) if number != axis]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"

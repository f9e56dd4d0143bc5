"""Warm start from the weights of another recognizer, whatever its alphabet, optionally with frozen parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf, open_dict
from torch import Tensor, nn

from speechlstm.configs.arguments import given_keys
from speechlstm.data.names import expanded
from speechlstm.model.acoustic import acoustic_state, has_row_per_token, is_encoder_weight
from speechlstm.model.bundle import load_bundle
from speechlstm.model.restore import restore
from speechlstm.training.checkpoints import read_checkpoint
from speechlstm.training.messages import say
from speechlstm.training.module import ACOUSTIC, TrainingModule
from speechlstm.types import SpeechlstmError, UsageError, counted

# The encoder of conf/train.yaml: another one was chosen by the command line or an experiment.
_DEFAULT = "blstm"
_OF_TRAINING = ("dropout", "intermediate")  # settings of an encoder that change nothing but how it is trained


class Source(NamedTuple):
    """What a training can begin with."""

    name: str  # what `init_from` says, for messages
    weights: Mapping[str, Tensor]  # of features and encoder, by name
    tokens: Sequence[str]  # the token of each id
    settings: Mapping[str, Mapping[str, Any]]  # of features and encoder


def read(name: str | Path) -> Source:
    """Read a bundle or a checkpoint.

    Raises:
        SpeechlstmError: it is damaged, or neither.
        OSError: it cannot be read.
    """
    path = expanded(name)
    if path.is_file():
        checkpoint = read_checkpoint(path)
        weights = acoustic_state(checkpoint["state_dict"], ACOUSTIC)
        tokens, settings = checkpoint["tokenizer"]["tokens"], checkpoint["settings"]
        restore(settings, str(path), weights, len(tokens))  # whether they fit together
        return Source(str(name), weights, tokens, settings)
    if path.suffix == ".ckpt" and not path.exists():
        others = sorted(each.name for each in path.parent.glob("*.ckpt"))
        hint = f"; there are: {', '.join(others)}" if others else ""
        raise SpeechlstmError(f"init_from: {path}: no such file{hint}")
    bundle = load_bundle(name)
    return Source(str(name), bundle.model.state_dict(), bundle.tokenizer.tokens, bundle.config)


def adopt(
    cfg: DictConfig, settings: Mapping[str, Mapping[str, Any]], overrides: Sequence[str] = ()
) -> list[str]:
    """Give a training the features and the encoder that the weights it begins with were trained in.

    What the command line sets stays, and so does what only changes how an encoder is trained. An encoder that an
    experiment has chosen stays with what it alone can be set to, and gets the sizes of the weights. Features for
    another sample rate are not taken. `cfg` is changed; `settings` are those of a bundle or checkpoint, `overrides` the
    command line.

    Returns:
        what has changed: `encoder.num_layers=3 (was 4)`.
    """
    given = given_keys(overrides)
    changes = []
    for stage in ("features", "encoder"):
        here: dict[str, Any] = OmegaConf.to_container(cfg[stage], resolve=True)  # type: ignore[assignment]
        there = dict(settings[stage])
        if stage in given or (stage == "features" and there.get("sample_rate") != cfg.sample_rate):
            continue
        kept = [key for key in here if f"{stage}.{key}" in given]
        is_chosen = stage == "encoder" and here.get("name") not in (_DEFAULT, there.get("name"))
        if is_chosen:
            kept += [key for key in here if key not in there or key == "name"]
            there = {key: value for key, value in there.items() if key in here}
        if is_chosen or here.get("name") == there.get("name"):
            kept += [key for key in here if key in _OF_TRAINING]
        with open_dict(cfg):
            cfg[stage] = there | {key: here[key] for key in kept}
        for key in sorted(here.keys() | cfg[stage].keys()):
            if key in here and cfg[stage].get(key, here[key]) != here[key]:
                changes.append(f"{stage}.{key}={cfg[stage][key]} (was {here[key]})")
    return changes


def initialize(
    model: TrainingModule, source: Source, changes: Sequence[str] = (), verbose: bool = False
) -> None:
    """Copy the weights that fit by name and shape, and say in a line how many did.

    What belongs to a token goes where that token now is; what belongs to a new token stays as it was drawn. `changes`
    are what `adopt` gave; with `verbose` they are named, and what was not copied, and new tokens.

    Raises:
        UsageError: no weight of the encoder fits.
    """
    own = model.acoustic.state_dict()  # shares memory with the model
    known = {token: number for number, token in enumerate(source.tokens)}
    shared = [(new, known[token]) for new, token in enumerate(model.tokenizer.tokens) if token in known]
    here, there = torch.tensor(shared, dtype=torch.long).view(-1, 2).T
    fits, skipped = _compare(own, source.weights)
    if not any(is_encoder_weight(name) and not has_row_per_token(name) for name in fits):
        raise UsageError(
            f"init_from={source.name}: no weight of this encoder fits, for settings of encoder. or features. that "
            f"differ: {skipped[0]}; leave them out, or use other weights"
        )
    for name in fits:
        weight = source.weights[name].to(own[name].dtype)
        if has_row_per_token(name):
            own[name].index_copy_(0, here, weight.index_select(0, there))
        else:
            own[name].copy_(weight)
    new = [repr(token) for token in model.tokenizer.tokens if token not in known]
    details = [f"  {change}" for change in changes] + [f"  not copied: {reason}" for reason in skipped]
    details += [f"  new tokens: {' '.join(new)}"] if new else []
    line = f"init_from={source.name}: {len(fits)} of {len(own)} weights copied, {len(shared)} of "
    line += f"{counted(len(model.tokenizer.tokens), 'token')} known"
    line += f", {counted(len(changes), 'setting')} taken over" if changes else ""
    line += "; verbose=true shows details" if details and not verbose else ""
    say(line, *(details if verbose else ()))


def freeze(encoder: nn.Module, parts: Sequence[str]) -> None:
    """Keep the weights of parts of an encoder as they are.

    Parts are names of its modules, such as `subsample`, `layers.0` or `output`.

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
        say(f"frozen: {', '.join(map(str, parts))}; {left / 1e6:.2f} million weights are trained")


def _compare(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Return the names of the weights that fit, and why the others do not."""
    fits, skipped = [], []
    for name, target in own.items():
        rows = int(has_row_per_token(name))  # the number of tokens may differ
        if name not in theirs:
            skipped.append(f"{name} is not there")
        elif target.shape[rows:] != theirs[name].shape[rows:]:
            skipped.append(f"{name} is of shape {_shape(target)}, there {_shape(theirs[name])}")
        else:
            fits.append(name)
    return fits, [*skipped, *(f"{name} is there only" for name in theirs if name not in own)]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"

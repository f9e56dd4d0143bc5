"""Parts as bundles and checkpoints name them: by their entry points, never by classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from speechlstm.model import registry
from speechlstm.types import BundleError

# What bundles and checkpoints were written with before parts had names.
_OLD_CLASSES = {
    "LogMel": "logmel",
    "Mfcc": "mfcc",
    "KaldiFbank": "fbank",
    "Spectrogram": "spectrogram",
    "Encoder": "blstm",
    "LookaheadEncoder": "lookahead",
    "ChunkedEncoder": "chunked",
    "ConformerEncoder": "conformer",
}
_GONE = ("variational_dropout", "weight_noise", "weight_drop", "self_condition")  # of training alone
_OLD_TARGET = re.compile(r"speechlstm\.(?:model\.)?(?:features|encoder)\.(\w+)")


def by_name(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stage's settings with the name of its part, where older ones have its class as `_target_`."""
    found = dict(settings)
    old = _OLD_TARGET.fullmatch(str(found.get("_target_")))
    if old and old[1] in _OLD_CLASSES and "name" not in found:
        kept = {key: value for key, value in found.items() if key not in ("_target_", *_GONE)}
        return {"name": _OLD_CLASSES[old[1]], **kept}
    return found


def restore(
    stage: str, settings: Mapping[str, Any], where: str, packages: Mapping[str, str], **sizes: int
) -> Any:
    """Make a part of a trained model from what a bundle or checkpoint says of it.

    Args:
        stage: features or encoder.
        settings: its name and settings.
        where: the file that says so, for messages.
        packages: the package of each stage's part when the model was written, as `described` gives them.
        **sizes: what follows from other stages.

    Raises:
        BundleError: the part has no name, or is not installed; the message says what to install.
        SpeechlstmError: it cannot be made.
    """
    settings = by_name(settings)
    name = settings.get("name")
    if not isinstance(name, str):
        raise BundleError(
            f"{where}: {stage} must be chosen by name, but is {settings.get('_target_', name)!r}; "
            f"installed are: {', '.join(registry.names(stage))}"
        )
    if name not in registry.names(stage):
        source = packages.get(stage)
        install = f"; it came with {source}: pip install {source.split()[0]}" if source else ""
        raise BundleError(f"{where}: the model needs {stage} {name!r}, which is not installed{install}")
    return registry.create(stage, **(settings | sizes))


def described(config: Mapping[str, Any], tokenizer: str) -> dict[str, Any]:
    """Return what a bundle says of its parts: names and settings, and the packages that they come from.

    Args:
        config: with the settings of features and encoder.
        tokenizer: the tokenizer's name.
    """
    parts = {stage: by_name(config[stage]) for stage in ("features", "encoder")}
    names = {stage: settings["name"] for stage, settings in parts.items()} | {"tokenizer": tokenizer}
    packages = {stage: registry.package_of(registry.entry(stage, name)) for stage, name in names.items()}
    return {**parts, "packages": packages}

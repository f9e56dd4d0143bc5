"""What the JSON files of a bundle say of it; nothing here needs torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from speechlstm.model import registry
from speechlstm.model.files import read_json
from speechlstm.model.settings import Filled, Ordered, Rate, Within, describe, fits, shown
from speechlstm.model.tokenizer.base import encodable
from speechlstm.types import BundleError

FORMAT = 2  # raised when an older version could no longer read what is written

_CONTENT: Mapping[str, Any] = {
    "name": str,
    "sample_rate": Rate,
    "features": dict,
    "encoder": dict,
    "tokenizer": dict,
}
_Text = Annotated[str, Filled()]
_Share = Annotated[float, Within(0, 100)]  # more words than there are can be wrong
_FIGURE: Mapping[str, Any] = {
    "corpus": _Text,
    "split": str,
    "words": Annotated[int, Within(1, 1e12)],
    "wer": _Share,
    "interval": Annotated[list[_Share], Ordered()],
}


@dataclass(frozen=True, slots=True)
class Figure:
    """How good a bundle was on a part of a corpus, by its own account.

    Attributes:
        corpus, split: what it was measured on.
        words: how many words that has.
        wer: the word error rate, as a share.
        interval: its 95 % interval.
    """

    corpus: str
    split: str
    words: int
    wer: float
    interval: list[float]


def read_config(folder: Path) -> dict[str, Any]:
    """Return what a bundle's config.json says.

    Raises:
        BundleError: it is missing, damaged, from another version, or lacks something.
    """
    path = folder / "config.json"
    if not path.exists():
        raise BundleError(f"{path}: missing; a bundle is the folder that `speechlstm train` writes")
    config: Any = read_json(path)
    if not isinstance(config, dict):
        got = shown(json.dumps(config, ensure_ascii=False)).strip("'\"")
        raise BundleError(
            f"{path}: {got}, but must be a JSON object that describes a model; copy the bundle again"
        )
    version = config.get("format")
    if version != FORMAT:
        raise BundleError(
            f"{path}: bundle format {shown(version)}, but this version of speechlstm reads {FORMAT}"
        )
    for key, hint in _CONTENT.items():
        if key not in config:
            raise BundleError(f"{path}: no {key!r}; the bundle is incomplete")
        if not fits(config[key], hint):
            raise BundleError(f"{path}: {key} is {shown(config[key])}, but must be {describe(hint)}")
    if not encodable(config["name"]):
        raise BundleError(f"{path}: name is {shown(config['name'])}, which has half a surrogate pair in it")
    if config["features"].get("sample_rate") != config["sample_rate"]:
        raise BundleError(f"{path}: sample_rate is not that of the features")
    return dict(config)


def read_decoder(folder: Path) -> dict[str, Any]:
    """Return name and settings of a bundle's decoder, its files with their folder; empty for the greedy one.

    Raises:
        BundleError: decoder.json is damaged, or names files that the bundle does not have.
    """
    path = folder / "decoder.json"
    if not os.path.lexists(path):
        return {}
    settings: Any = read_json(path)
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise BundleError(f"{path}: must be a JSON object with the name of a decoder and its settings")
    for key, value in settings.items():
        if not isinstance(value, str) or key == "name":
            continue
        if (
            Path(value).name != value
            or "\\" in value
            or (Path(value).suffix and not (folder / value).is_file())
        ):
            raise BundleError(f"{path}: {key} is {shown(value)}, which is no file of the bundle")
        if (folder / value).is_file():
            settings[key] = str(folder / value)  # a language model or a lexicon
    return dict(settings)


def read_about(config: Mapping[str, Any], where: str) -> tuple[str | None, list[Figure]]:
    """Return the code of the language that a bundle hears and its figures, both of which its config may lack.

    Raises:
        BundleError: they are there, but of another form.
    """
    language, figures = config.get("language"), config.get("figures", [])
    if not fits(language, _Text | None):
        raise BundleError(
            f"{where}: language is {shown(language)}, but must be the code of a language, such as en"
        )
    if not isinstance(figures, list):
        raise BundleError(f"{where}: figures is {shown(figures)}, but must be a list")
    for number, figure in enumerate(figures):
        name = f"{where}: figures[{number}]"
        if not isinstance(figure, dict) or figure.keys() != _FIGURE.keys():
            raise BundleError(f"{name} is {shown(figure)}, but must have just {', '.join(_FIGURE)}")
        for key, hint in _FIGURE.items():
            if not fits(figure[key], hint):
                raise BundleError(f"{name}: {key} is {shown(figure[key])}, but must be {describe(hint)}")
    return language, [Figure(**figure) for figure in figures]


def check_part(stage: str, config: Mapping[str, Any], where: str) -> None:
    """Check that a bundle or checkpoint has chosen an installed part for a stage.

    Raises:
        BundleError: it has chosen none by name, or one that is not installed.
    """
    key = "kind" if stage == "tokenizer" else "name"
    name = config[stage].get(key)
    if not isinstance(name, str):
        raise BundleError(
            f"{where}: {stage} must be chosen by name, but is {config[stage].get('_target_', name)!r:.99}; "
            f"installed are: {', '.join(registry.names(stage))}"
        )
    if name not in registry.names(stage):
        packages = config.get("packages")
        source = str(packages.get(stage, ""))[:99] if isinstance(packages, dict) else ""
        install = f"; it came with {source}: pip install {source.split()[0]}" if source.strip() else ""
        raise BundleError(f"{where}: the model needs {stage} {name[:99]!r}, which is not installed{install}")

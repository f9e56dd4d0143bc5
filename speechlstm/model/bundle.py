"""A trained recognizer as a folder that loads without running any code from it.

model.safetensors     weights of the acoustic model
config.json           format version, sample rate, features, encoder, tokenizer, training record
tokens.txt            the token of each id, a line each, for people and other programs
decoder.json          the decoder that the model is to be used with, and its settings; not there for the greedy one
selftest.safetensors  a synthesized clip and the log-probabilities this model gave for it
README.md             model card
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from speechlstm import __version__
from speechlstm.data.files import write_atomically
from speechlstm.model import registry
from speechlstm.model import tokenizer as tokenizers
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.restore import described, restore
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import BundleError, PluginError, SpeechlstmError

FORMAT = 2  # raised when an older version could no longer read what is written; 1 had classes for names
SHIPPED = Path(__file__).parent / "pretrained"

_CONTENT = {"name": str, "sample_rate": int, "features": dict, "encoder": dict, "tokenizer": dict}


@dataclass(slots=True)
class Bundle:
    """What belongs together: an acoustic model, its tokenizer, and the decoder that it is to be used with.

    Attributes:
        model: waveforms -> log-probabilities.
        tokenizer: text <-> ids.
        config: name, sample rate, settings of features and encoder, training record.
        path: the folder it came from.
        decoder: settings of the decoder that the model is to be used with, `name` among them; names of files are those
            of files in the folder. Empty for the greedy one.
    """

    model: AcousticModel
    tokenizer: Tokenizer
    config: Mapping[str, Any]
    path: Path = field(default_factory=Path)
    decoder: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.config["name"])

    def round(self, dtype: torch.dtype) -> None:
        """Round the weights to a type of fewer bits, in which `save` then stores them."""
        state = {name: value.to(dtype).to(value.dtype) for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(state)
        self.config = {**self.config, "dtype": str(dtype).removeprefix("torch.")}

    def save(self, folder: str | Path, card: str, selftest: Mapping[str, Tensor]) -> None:
        """Write the bundle as a folder, whole or not at all; an older one there is replaced.

        Args:
            folder: where.
            card: the model card, Markdown.
            selftest: what `speechlstm.model.selftest.record` gave for the model.

        Raises:
            SpeechlstmError: there is something else than a bundle.
            OSError: no space, no permission; what was there is still there.
        """
        folder = Path(folder)
        check_place(folder)
        dtype = getattr(torch, self.config.get("dtype", "float32"))
        state = {
            name: value.detach().cpu().to(dtype).contiguous()
            for name, value in self.model.state_dict().items()
        }
        about = {"format": FORMAT, "speechlstm": __version__, "tokenizer": self.tokenizer.to_dict()}
        about |= described(self.config, self.tokenizer.kind)
        files: dict[str, str | bytes] = {
            "model.safetensors": save_tensors(state),
            "selftest.safetensors": save_tensors(dict(selftest)),
            "config.json": json.dumps({**self.config, **about}, ensure_ascii=False) + "\n",
            "tokens.txt": "".join(f"{token}\n" for token in self.tokenizer.tokens),
            "README.md": card,
        }
        if self.decoder:
            files["decoder.json"] = json.dumps(dict(self.decoder), ensure_ascii=False, indent=1) + "\n"
        _replace_folder(folder, files)


def _replace_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write a folder beside its place and move it there."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        for name, content in files.items():
            write_atomically(staging / name, content)
        if folder.exists():
            folder.rename(old)
        try:
            staging.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_place(folder: Path) -> None:
    """Raise a SpeechlstmError unless a bundle may be written here: nothing is there, or a bundle."""
    if folder.is_dir() and ((folder / "config.json").exists() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise SpeechlstmError(f"{folder}: holds something else than a bundle; choose another place")


def load_bundle(path: str | Path | None = None) -> Bundle:
    """Load a bundle by its folder, or by the name of an installed model.

    Without either it is the one installed model besides the small one that ships with the package, else that.

    Raises:
        BundleError: something is missing, damaged, or from another version.
    """
    folder = registry.find_bundle(path)
    config = _read_config(folder)
    tensors = read_tensors(folder / "model.safetensors")
    try:
        tokens = tokenizers.from_dict(config["tokenizer"])
        model = _build(config, folder, len(tokens))
        model.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError, SpeechlstmError) as error:
        if isinstance(error, BundleError | PluginError):
            raise
        reason = " ".join(str(error).split())
        raise BundleError(f"{folder}: weights and config do not fit together: {reason}") from None
    return Bundle(model.eval(), tokens, config, folder, _read_decoder(folder))


def _build(config: Mapping[str, Any], folder: Path, vocab_size: int) -> AcousticModel:
    where, packages = f"{folder}/config.json", config.get("packages", {})
    features = restore("features", config["features"], where, packages)
    sizes = {"num_features": features.num_features, "vocab_size": vocab_size}
    return AcousticModel(features, restore("encoder", config["encoder"], where, packages, **sizes))


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; a bundle is the folder that `speechlstm train` writes") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None
    if not isinstance(config, dict) or config.get("format") not in (1, FORMAT):
        version = config.get("format") if isinstance(config, dict) else None
        raise BundleError(f"{path}: bundle format {version!r}, but this version of speechlstm reads {FORMAT}")
    for key, kind in _CONTENT.items():
        if key not in config:
            raise BundleError(f"{path}: no {key!r}; the bundle is incomplete")
        if not isinstance(config[key], kind):
            raise BundleError(f"{path}: {key} is {config[key]!r}, but must be of type {kind.__name__}")
    if config["features"].get("sample_rate") != config["sample_rate"]:
        raise BundleError(f"{path}: sample_rate is not that of the features")
    return config


def _read_decoder(folder: Path) -> dict[str, Any]:
    path = folder / "decoder.json"
    if not path.exists():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise BundleError(f"{path}: must be a JSON object with the name of a decoder and its settings")
    for key, value in settings.items():
        file = folder / str(value)
        if isinstance(value, str) and Path(value).name == value and file.is_file():
            settings[key] = str(file)  # a language model or a lexicon that lies in the bundle
    return settings


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        return load_tensors(path.read_bytes())
    except FileNotFoundError:
        raise BundleError(f"{path}: missing; the bundle is incomplete") from None
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path}: damaged: {error}") from None

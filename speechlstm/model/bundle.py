"""A trained recognizer as a folder that loads without running any code from it.

model.safetensors     weights of the acoustic model
config.json           format version, sample rate, features, encoder, tokenizer, training record; where somebody has
                      added them, the code of the language and figures, which `speechlstm models` shows
tokens.txt            the token of each id, a line each, for people and other programs
decoder.json          the decoder for this model, and its settings; absent for greedy decoding
selftest.safetensors  a synthesized clip and the log-probabilities this model gave for it
README.md             model card
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from speechlstm.data.files import temporary_path, write_atomically
from speechlstm.model import collector, registry
from speechlstm.model import tokenizer as tokenizers
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.description import FORMAT, read_config, read_decoder
from speechlstm.model.files import read_json
from speechlstm.model.reading import read_tensors
from speechlstm.model.restore import described, restore
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import BundleError, OutputError, TokenizerError, UsageError, __version__

PARTS = frozenset({"config.json", "model.safetensors", "selftest.safetensors", "tokens.txt", "README.md"})


@dataclass(slots=True)
class Bundle:
    """What belongs together: an acoustic model, its tokenizer, and the decoder that it is to be used with."""

    model: AcousticModel  # waveforms -> log-probabilities
    tokenizer: Tokenizer  # text <-> ids
    config: Mapping[str, Any]  # name, sample rate, settings of features and encoder, training record
    path: Path = field(default_factory=Path)  # the folder it came from
    # settings of the decoder that the model is to be used with, `name` among them; names of files are those
    # of files in the folder. Empty for the greedy one
    decoder: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.config["name"])

    def round(self, dtype: torch.dtype) -> None:
        """Round the weights to a type of fewer bits, in which `save` then stores them."""
        state = {
            name: value.to(_stored(value, dtype)).to(value.dtype)
            for name, value in self.model.state_dict().items()
        }
        self.model.load_state_dict(state)
        self.config = {**self.config, "dtype": str(dtype).removeprefix("torch.")}

    def save(self, folder: str | Path, card: str, selftest: Mapping[str, Tensor]) -> None:
        """Write the bundle as a folder, whole or not at all; an older one there is replaced.

        `selftest` is what `speechlstm.model.selftest.record` gave for the model, `card` is Markdown.

        Raises:
            OutputError: there is something else than a bundle.
            OSError: no space, no permission; what was there is still there.
        """
        folder = Path(folder)
        dtype = getattr(torch, self.config.get("dtype", "float32"))
        state = {
            # Tied weights get memory of their own, as the format wants it.
            name: value.detach().to("cpu", _stored(value, dtype), copy=True).contiguous()
            for name, value in self.model.state_dict().items()
        }
        about = {"format": FORMAT, "speechlstm": __version__, "tokenizer": self.tokenizer.to_dict()}
        about |= described(self.config, self.tokenizer.kind)
        decoder, files = self._decoder_files()
        files |= {
            "model.safetensors": save_tensors(state),
            "selftest.safetensors": save_tensors(dict(selftest)),
            "config.json": json.dumps({**self.config, **about}, ensure_ascii=False) + "\n",
            "tokens.txt": "".join(f"{token}\n" for token in self.tokenizer.tokens),
            "README.md": card,
        }
        if decoder:
            files["decoder.json"] = json.dumps(decoder, ensure_ascii=False, indent=1) + "\n"
        check_place(folder, files)
        _replace_folder(folder, files)

    def _decoder_files(self) -> tuple[dict[str, Any], dict[str, str | bytes]]:
        """Return the decoder's settings with bare names of the bundle's files, and what those files hold."""
        settings, files = dict(self.decoder), dict[str, str | bytes]()
        for key, value in self.decoder.items():
            if key == "name" or not isinstance(value, str):
                continue
            if (path := Path(value)).parent == self.path and path.is_file():
                settings[key], files[path.name] = path.name, path.read_bytes()
        return settings, files


def _stored(value: Tensor, dtype: torch.dtype) -> torch.dtype:
    """Return the type in which a tensor is stored: counts, such as those of batch normalization, stay whole numbers."""
    return dtype if value.is_floating_point() else value.dtype


def _replace_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write a folder beside its place and move it there."""
    folder = folder.resolve()  # a link stays
    staging = temporary_path(folder)
    old = staging.with_suffix(".old")
    shutil.rmtree(staging, ignore_errors=True)  # what a killed process has left
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
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


def check_place(folder: Path, names: Collection[str] = PARTS) -> None:
    """Raise an OutputError unless a bundle of files with these names may be written here, over a bundle or nothing."""
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise OutputError(f"{folder}: a file, but must be a folder; choose another place")
        return
    there = {path.name for path in folder.iterdir()}
    if there and not is_bundle(folder):
        raise OutputError(f"{folder}: holds something else than a bundle; choose another place")
    if more := sorted(there.difference(names)):
        raise OutputError(
            f"{folder}: holds {more[0]}, which would be lost; move it away, or choose another place"
        )


def is_bundle(folder: Path) -> bool:
    """Whether a folder's config.json is that of a bundle, damaged or not."""
    try:
        config: Any = read_json(folder / "config.json")
    except BundleError:
        return False
    return isinstance(config, dict) and "format" in config and "tokenizer" in config


def load_bundle(path: str | Path | None = None) -> Bundle:
    """Load a bundle by its folder, or by the name of an installed model.

    Without either it is the one installed model besides the small one that ships with the package, else that.

    Raises:
        BundleError: something is missing, damaged, or from another version.
    """
    folder = registry.find_bundle(path)
    config = read_config(folder)
    tensors = read_tensors(weights := folder / "model.safetensors")
    try:
        with collector.paused():
            tokens = tokenizers.from_dict(config["tokenizer"])
    except TokenizerError as error:
        raise BundleError(f"{folder}/config.json: {error}") from None
    model = restore(config, f"{folder}/config.json", tensors, len(tokens), str(weights))
    return Bundle(model, tokens, config, folder, read_decoder(folder))


@contextlib.contextmanager
def naming_decoder_file(bundle: Bundle, settings: Mapping[str, Any]) -> Iterator[None]:
    """Raise the UsageError about a decoder as a BundleError that names the file, if all settings are the bundle's."""
    try:
        yield
    except UsageError as error:
        if not bundle.decoder or settings != bundle.decoder:
            raise
        raise BundleError(f"{bundle.path}/decoder.json: {error}") from None

"""What installed bundles, or those in folders, are: read from their JSON and the header of their weights alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from speechlstm.data.names import expanded
from speechlstm.model import registry
from speechlstm.model.description import Figure, check_part, read_about, read_config, read_decoder
from speechlstm.model.headers import read_tensor_header
from speechlstm.types import BundleError, SpeechlstmError, UsageError

_MOST = 1000  # characters of a file's name in a message


@dataclass(frozen=True, slots=True)
class About:
    """What a bundle says of itself.

    Attributes:
        folder: where it is.
        title: the name that it was trained under.
        language: code of the language that it hears; None if it does not say.
        sample_rate: of the audio that it hears, Hz.
        tokenizer: kind of its tokens.
        tokens: these, without the blank.
        lexicon: words of its lexicon; None if it has none.
        features, encoder: their names and settings.
        decoder: name and settings of its decoder; files are named without their folder.
        files: bytes of each of its files.
        weights: how many numbers it has learned.
        dtype: the type that these are stored in.
        figures: how good it was.
        packages: package and version of each part of it, as it was trained.
        written_by: version of speechlstm that wrote it.
        seed: of its training; None if it does not say.
    """

    folder: str
    title: str
    language: str | None
    sample_rate: int
    tokenizer: str
    tokens: list[str]
    lexicon: int | None
    features: Mapping[str, Any]
    encoder: Mapping[str, Any]
    decoder: Mapping[str, Any]
    files: Mapping[str, int]
    weights: int
    dtype: str
    figures: list[Figure] = field(default_factory=list)
    packages: Mapping[str, Any] = field(default_factory=dict)
    written_by: str = ""
    seed: Any = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundle in the catalog.

    Attributes:
        name: on the command line; for one that is not installed, its folder.
        package, version: that it came with; empty for one that is not installed.
        is_default: whether it is used where none is named.
        about: what it says of itself; None if it cannot be used.
        problem: why it cannot be; else empty.
    """

    name: str
    package: str = ""
    version: str = ""
    is_default: bool = False
    about: About | None = None
    problem: str = ""


def installed() -> list[Entry]:
    """Return all installed bundles, by name."""
    return [entry_of(point) for point in registry.points("bundle")]


def find(name_or_path: str) -> Entry:
    """Return the bundle of a folder, or an installed one by its name; what is wrong with it is in the entry."""
    try:
        folder = registry.find_bundle(name_or_path)
    except (SpeechlstmError, OSError) as error:
        return Entry(name_or_path, problem=_reason(error))
    if expanded(name_or_path).is_dir():
        return _described(Entry(name_or_path), folder)
    return entry_of(registry.entry("bundle", name_or_path))


def entry_of(point: EntryPoint) -> Entry:
    """Return what is known of an installed bundle, or why it cannot be used."""
    package, number = (point.dist.name, point.dist.version) if point.dist else (point.module, "")
    try:
        default = registry.default_bundle() == point.name
    except UsageError:  # several
        default = False
    known = Entry(point.name, package, number, default)
    try:
        if registry.entry("bundle", point.name) != point:
            raise UsageError(f"bundle {point.name!r} of {package} {number} is not used: speechlstm has one")
        return _described(known, registry.bundle_folder(point))
    except (SpeechlstmError, OSError) as error:
        return replace(known, problem=_reason(error))


def _described(known: Entry, folder: Path) -> Entry:
    try:
        return replace(known, about=describe(folder))
    except (SpeechlstmError, OSError) as error:
        return replace(known, problem=_reason(error))


def _reason(error: SpeechlstmError | OSError) -> str:
    """Return why a bundle cannot be used, as a sentence: what is wrong with which file."""
    if isinstance(error, OSError):
        name = str(error.filename)[:_MOST]
        return f"{name}: {error.strerror}; is this the right name, and may you read it?"
    return str(error)


def describe(folder: Path) -> About:
    """Return what a bundle is, without loading it.

    Raises:
        BundleError: it is damaged, incomplete, or needs a part that is not installed.
        OSError: its files cannot be listed.
    """
    config = read_config(folder)
    where = f"{folder}/config.json"
    for stage in ("features", "encoder", "tokenizer"):
        check_part(stage, config, where)
    tokenizer = config["tokenizer"]
    tokens, lexicon = tokenizer.get("tokens"), tokenizer.get("lexicon")
    if not isinstance(tokens, list):
        raise BundleError(f"{where}: the tokenizer has no list of tokens; copy the bundle again")
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    header = read_tensor_header(folder / "model.safetensors")
    language, figures = read_about(config, where)
    packages = config.get("packages")
    return About(
        folder=str(folder),
        title=config["name"],
        language=language or (tokenizer.get("language") and str(tokenizer["language"])),
        sample_rate=config["sample_rate"],
        tokenizer=tokenizer["kind"],
        tokens=[str(token) for token in tokens[1:]],
        lexicon=len(lexicon) if isinstance(lexicon, dict) else None,
        features=config["features"],
        encoder=config["encoder"],
        decoder=_decoder(folder),
        files=files,
        weights=sum(math.prod(each["shape"]) for each in header.values()),
        dtype=str(config.get("dtype", "float32")),
        figures=figures,
        packages=packages if isinstance(packages, dict) else {},
        written_by=str(config.get("speechlstm", "")),
        seed=config.get("seed"),
    )


def _decoder(folder: Path) -> dict[str, Any]:
    """Return name and settings of a bundle's decoder, its files without their folder."""
    settings = {"name": "greedy", **read_decoder(folder)}
    try:
        registry.entry("decoder", settings["name"])
    except UsageError as error:
        raise BundleError(f"{folder}/decoder.json: {error}") from None
    files = {str(path): path.name for path in folder.iterdir()}
    return {
        key: files.get(value, value) if isinstance(value, str) else value for key, value in settings.items()
    }

"""The registry of parts: from names to entry points to classes, which are imported on first use.

A part is a feature extractor, an encoder, a tokenizer, a decoder or a trained model (a bundle). The name of its entry
point is its name on the command line, in YAML and in a bundle; its settings, with their defaults and units, are in
`conf/<stage>/<name>.yaml` of its package. The parts of this package are registered in the same way.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, EntryPoints, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speechlstm.data.names import expanded
from speechlstm.model import settings
from speechlstm.types import BundleError, PluginError, SpeechlstmError, UsageError

CORE = "speechlstm"
SMALL = "small"  # the trained model that comes with this package
REQUIRED = "???"  # a parameter without a default, as Hydra writes it
_MODULE = "torch.nn.modules.module.Module"
_SIZES = frozenset({"num_features", "vocab_size"})
_OF_FEATURES = ("sample_rate", "num_features", "frame_shift", "frame_lengths")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """What parts of one stage have in common."""

    group: str  # of their entry points
    base: str  # the class they derive from
    given: frozenset[str] = frozenset()  # arguments that follow from other stages, and are no settings
    maker: str = ""  # the class method that makes a part of its settings; empty: the class itself
    needs: tuple[str, ...] = ()  # what others ask it for, and its base need not have


STAGES: Mapping[str, Stage] = {
    "features": Stage("speechlstm.features", _MODULE, needs=_OF_FEATURES),
    "encoder": Stage("speechlstm.encoders", _MODULE, _SIZES, needs=("subsampling", "output_lengths")),
    "tokenizer": Stage(
        "speechlstm.tokenizers",
        "speechlstm.model.tokenizer.base.Tokenizer",
        given=frozenset({"texts"}),
        maker="from_texts",
    ),
    "decoder": Stage("speechlstm.decoders", "speechlstm.decoders.base.Decoder", frozenset({"tokenizer"})),
}
GROUPS: Mapping[str, str] = {stage: each.group for stage, each in STAGES.items()} | {
    "bundle": "speechlstm.bundles"
}


def points(stage: str) -> list[EntryPoint]:
    """Return the entry points of a stage, by name and package."""
    return list(_installed(tuple((folder, _changed(folder)) for folder in sys.path))[stage])


@functools.lru_cache(maxsize=1)  # reading the files of 200 packages takes 20 ms, and a command asks 20 times
def _installed(places: tuple[tuple[str, int], ...]) -> Mapping[str, list[EntryPoint]]:
    """Return the entry points of each stage in the folders of `sys.path`, with the times of their last change."""
    every = entry_points()
    return {
        stage: sorted(every.select(group=group), key=lambda point: (point.name, package_of(point)))
        for stage, group in GROUPS.items()
    }


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116 (a path object takes as long as the call)
    except OSError:
        return 0


def pass_over_broken_packages() -> None:
    """Let this process pass over packages whose list of entry points is damaged, with a warning.

    Importing torch, numba, Lightning or Hydra reads the entry points of all packages, so one bad file stops everything.
    """
    read = vars(Distribution)["entry_points"].fget

    def read_if_possible(package: Distribution) -> Any:
        try:
            return read(package)
        except Exception as error:  # bad UTF-8, a line without "=", no permission
            place = package.locate_file("")
            _warn(f"{package.name} is damaged and skipped: entry_points.txt: {error} (in {place})")
            return EntryPoints()

    Distribution.entry_points = property(read_if_possible)  # type: ignore[method-assign, assignment]


def names(stage: str) -> list[str]:
    """Return the names of all installed parts of a stage, without importing any."""
    return sorted({point.name for point in points(stage)})


def entry(stage: str, name: str) -> EntryPoint:
    """Return the entry point that brings a part, without importing it.

    A part of this package goes before others of its name, with a warning.

    Raises:
        UsageError: no installed package has a part of that name.
        PluginError: several have.
    """
    claims = [point for point in points(stage) if point.name == name]
    if not claims:
        known = names(stage)
        raise UsageError(
            f"no {stage} {name!r}{nearest(name, known)}; installed are: {', '.join(known) or 'none'}"
        )
    own = [point for point in claims if _is_core(point)]
    packages = " and ".join(package_of(point) for point in claims if point not in own)
    if len(claims) > 1 and not own:
        raise PluginError(f"{stage} {name!r} is claimed by {packages}; uninstall all but one of them")
    if len(claims) > 1:
        _warn(f"{stage} {name!r} of {packages} is not used: speechlstm has one of that name")
    return (own or claims)[0]


def load(stage: str, name: str) -> type[Any]:
    """Import a part's class.

    Raises:
        UsageError: no such part.
        PluginError: it cannot be imported, or is of another kind; the message names its package.
    """
    point = entry(stage, name)
    try:
        kind = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a foreign package's import may raise, SystemExit too
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{stage} {name!r} of {package_of(point)} cannot be imported: {cause}") from error
    base = STAGES[stage].base
    if base not in [f"{each.__module__}.{each.__name__}" for each in getattr(kind, "__mro__", ())]:
        raise PluginError(f"{point.value} of {package_of(point)} is no {stage}: it must derive from {base}")
    return kind  # type: ignore[no-any-return]


def create(stage: str, /, name: str, **params: Any) -> Any:
    """Make the part that is installed under a name.

    Raises:
        UsageError: no such part, or settings that it does not take.
        PluginError: it cannot be imported or made, or lacks what every part of its stage has.
    """
    kind = load(stage, name)
    origin = f"{stage} {name!r} of {package_of(entry(stage, name))}"
    make = getattr(kind, STAGES[stage].maker) if STAGES[stage].maker else kind
    known = parameters(stage, kind)
    try:
        inspect.signature(make).bind(**params)
    except TypeError as error:
        raise UsageError(
            f"{stage} {name!r}: {error}; its settings are: {', '.join(known) or 'none'}"
        ) from None
    changed = {key: value for key, value in params.items() if key in known and value != known[key]}
    settings.check(stage, list(makers(stage, kind)), changed)
    try:
        part = make(**params)
    except (SpeechlstmError, KeyboardInterrupt):
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{origin} cannot be made: {error}") from error
    except BaseException as error:  # whatever a foreign constructor may raise
        if isinstance(error, OSError) and error.filename:  # a file that the settings name
            raise
        raise PluginError(f"{origin} cannot be made: {type(error).__name__}: {error}") from error
    if lacks := [each for each in STAGES[stage].needs if not hasattr(part, each)]:
        raise PluginError(f"{origin} has no {' and no '.join(lacks)}, which every {stage} needs")
    return part


def parameters(stage: str, kind: type[Any]) -> dict[str, Any]:
    """Return the settings that a class takes, with its own defaults; `REQUIRED` for those without one."""
    taken: dict[str, Any] = {}
    for make in makers(stage, kind):
        for key, each in list(inspect.signature(make).parameters.items())[1:]:  # without self or cls
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD) and key not in STAGES[stage].given:
                taken.setdefault(key, REQUIRED if each.default is each.empty else each.default)
    return taken


def makers(stage: str, kind: type[Any]) -> Iterator[Callable[..., Any]]:
    """Yield what makes a part of its settings, and what it passes further ones on to by `**options`."""
    for owner in kind.__mro__:
        if (make := owner.__dict__.get(STAGES[stage].maker or "__init__")) is not None:
            make = getattr(make, "__func__", make)
            yield make
            if not any(each.kind is each.VAR_KEYWORD for each in inspect.signature(make).parameters.values()):
                return


def origin_of(stage: str, kind: type[Any]) -> str:
    """Return the name and package that a class came in by, for messages; nothing is imported."""
    for point in points(stage):
        module, _, attribute = point.value.partition(":")
        if getattr(sys.modules.get(module.strip()), attribute.strip(), None) is kind:
            return f"{stage} {point.name!r} of {package_of(point)}"
    return f"{stage} {kind.__qualname__} of {kind.__module__}"


def package_of(point: EntryPoint) -> str:
    """Return the package and version that an entry point came with."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def nearest(word: str, known: list[str]) -> str:
    """Return a question about the name that is most like a word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def folder_of(value: str) -> Path | None:
    """Return the folder of the package that an entry point's value begins with, without importing it."""
    package = value.partition(":")[0].partition(".")[0].strip()
    try:
        spec = find_spec(package) if package else None  # empty where an entry point is nonsense
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]) if places else None


def find_bundle(name_or_path: str | Path | None = None) -> Path:
    """Return the folder of a trained model.

    Without a name, the one installed model besides the small one of this package, else that.

    Raises:
        BundleError: neither a folder nor an installed model.
        UsageError: several models are installed, and none is named; or it is not a name at all.
        PluginError: the installed package does not hold what it promises.
    """
    if name_or_path is None:
        return bundle_folder(entry("bundle", default_bundle()))
    settings.check_argument("bundle", name_or_path, settings.FileName)
    path = expanded(name_or_path)
    if path.is_dir():
        return path
    if str(name_or_path) in (known := names("bundle")):
        return bundle_folder(entry("bundle", str(name_or_path)))
    raise BundleError(
        f"{name_or_path}: no such folder, and no installed model of that name{nearest(str(name_or_path), known)}; "
        f"installed are: {', '.join(known)}"
    )


def default_bundle() -> str:
    """Return the name of the model that is used where none is named.

    Raises:
        UsageError: several are installed besides the small one of this package.
    """
    others = {point.name for point in points("bundle") if not _is_core(point)}
    if len(others) > 1:
        raise UsageError(
            f"several models are installed: choose with bundle={' or bundle='.join(sorted(others))}"
        )
    return others.pop() if others else SMALL


def bundle_folder(point: EntryPoint) -> Path:
    """Return the folder of the package or module that a bundle's entry point names, without importing it.

    Raises:
        PluginError: there is no bundle in it.
    """
    top = folder_of(point.value)
    folder = top.joinpath(*point.value.strip().split(".")[1:]) if top else None
    if folder is None or not (folder / "config.json").is_file():
        raise PluginError(
            f"bundle {point.name!r} of {package_of(point)} is not there: "
            f"no config.json in {folder or point.value}; install the package again"
        )
    return folder


def _is_core(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == CORE


@functools.cache
def _warn(message: str) -> None:
    _log.warning("%s", message)  # once, however often it is asked for

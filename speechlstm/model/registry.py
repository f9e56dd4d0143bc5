"""The one door for parts: names to entry points, and entry points to classes, imported on first use.

A part is a feature extractor, an encoder, a tokenizer, a decoder or a trained model (a bundle). The name of its entry
point is its name on the command line, in YAML and in a bundle; its settings, with their defaults and units, stand in
`conf/<stage>/<name>.yaml` of its package. The parts of this package come in by the same door.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from speechlstm.types import BundleError, PluginError, SpeechlstmError, UsageError

CORE = "speechlstm"
SMALL = "small"  # the trained model that comes with this package
REQUIRED = "???"  # a parameter without a default, as Hydra writes it
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """What parts of one stage have in common.

    Attributes:
        group: of their entry points.
        base: the class they derive from.
        given: arguments that follow from other stages, and are no settings.
        maker: the class method that makes a part of its settings; empty: the class itself.
    """

    group: str
    base: str
    given: frozenset[str] = frozenset()
    maker: str = ""


STAGES: Mapping[str, Stage] = {
    "features": Stage("speechlstm.features", "torch.nn.modules.module.Module"),
    "encoder": Stage(
        "speechlstm.encoders", "torch.nn.modules.module.Module", frozenset({"num_features", "vocab_size"})
    ),
    "tokenizer": Stage(
        "speechlstm.tokenizers",
        "speechlstm.model.tokenizer.base.Tokenizer",
        frozenset({"texts"}),
        "from_texts",
    ),
    "decoder": Stage("speechlstm.decoders", "speechlstm.decoders.base.Decoder", frozenset({"tokenizer"})),
}
GROUPS: Mapping[str, str] = {stage: each.group for stage, each in STAGES.items()} | {
    "bundle": "speechlstm.bundles"
}


def points(stage: str) -> list[EntryPoint]:
    """Return the entry points of a stage, by name and package; no file that cannot be read stops the others."""
    group = GROUPS[stage]
    try:
        found = list(entry_points(group=group))
    except Exception:  # one package with a broken entry_points.txt, in whichever way
        found = [point for point in _readable(distributions()) if point.group == group]
    return sorted(found, key=lambda point: (point.name, package_of(point)))


def _readable(packages: Iterable[Distribution]) -> Iterator[EntryPoint]:
    known: set[str] = set()
    for package in packages:
        try:
            name, found = package.name, list(package.entry_points)
        except Exception as error:
            _warn(
                f"a package cannot be read, and its parts are not known: {error} (in {package.locate_file('')})"
            )
            continue
        if name not in known:  # the first on the path counts, as for `import`
            known.add(name)
            yield from found


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
    found = [point for point in points(stage) if point.name == name]
    if not found:
        known = names(stage)
        raise UsageError(
            f"no {stage} {name!r}{nearest(name, known)}; installed are: {', '.join(known) or 'none'}"
        )
    own = [point for point in found if _is_core(point)]
    if len(found) > 1 and own:
        others = " and ".join(package_of(point) for point in found if point not in own)
        _warn(f"{stage} {name!r} of {others} is not used: speechlstm has one of that name")
        return own[0]
    if len(found) > 1:
        packages = " and ".join(package_of(point) for point in found)
        raise PluginError(f"{stage} {name!r} is claimed by {packages}; uninstall all but one of them")
    return found[0]


def load(stage: str, name: str) -> type[Any]:
    """Import a part's class.

    Raises:
        UsageError: no such part.
        PluginError: it cannot be imported, or is of another kind; the message names its package.
    """
    point = entry(stage, name)
    try:
        found = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a foreign package's import may raise, SystemExit too
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{stage} {name!r} of {package_of(point)} cannot be imported: {cause}") from error
    base = STAGES[stage].base
    if not (
        isinstance(found, type) and base in (f"{each.__module__}.{each.__name__}" for each in found.__mro__)
    ):
        raise PluginError(f"{point.value} of {package_of(point)} is no {stage}: it must derive from {base}")
    return found


def create(stage: str, /, name: str, **params: Any) -> Any:
    """Make the part that is installed under a name.

    Args:
        stage: of the part, a key of `STAGES`.
        name: its name on the command line.
        **params: its settings, and what follows from other stages.

    Raises:
        UsageError: no such part, or settings that it does not take.
        PluginError: it cannot be imported or made.
    """
    kind = load(stage, name)
    make, origin = _maker(stage, kind), f"{stage} {name!r} of {package_of(entry(stage, name))}"
    try:
        inspect.signature(make).bind(**params)
    except TypeError as error:
        known = ", ".join(parameters(stage, kind)) or "none"
        raise UsageError(f"{stage} {name!r}: {error}; its settings are: {known}") from None
    try:
        return make(**params)
    except (SpeechlstmError, KeyboardInterrupt):
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{origin} cannot be made: {error}") from error
    except BaseException as error:  # whatever a foreign constructor may raise
        if isinstance(error, OSError) and error.filename:  # a file that the settings name
            raise
        raise PluginError(f"{origin} cannot be made: {type(error).__name__}: {error}") from error


def parameters(stage: str, kind: type[Any]) -> dict[str, Any]:
    """Return the settings that a class takes with its own defaults; `REQUIRED` for those without one.

    Settings that it passes on to a class it derives from (`**options`) are among them.
    """
    found: dict[str, Any] = {}
    for owner in kind.__mro__:
        make = owner.__dict__.get(STAGES[stage].maker or "__init__")
        if make is None:
            continue
        own = inspect.signature(make.__func__ if isinstance(make, classmethod) else make).parameters
        for key, each in list(own.items())[1:]:  # without self or cls
            if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD) and key not in STAGES[stage].given:
                found.setdefault(key, REQUIRED if each.default is each.empty else each.default)
        if not any(each.kind is each.VAR_KEYWORD for each in own.values()):
            break
    return found


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

    Args:
        name_or_path: a folder, or the name of an installed model; None takes the one installed model besides the small
            one of this package, else that.

    Raises:
        BundleError: neither a folder nor an installed model.
        UsageError: several models are installed, and none is named.
        PluginError: the installed package does not hold what it promises.
    """
    if name_or_path is None:
        others = {point.name for point in points("bundle") if not _is_core(point)}
        if len(others) > 1:
            raise UsageError(
                f"several models are installed: choose with bundle={' or bundle='.join(sorted(others))}"
            )
        return bundle_folder(entry("bundle", others.pop() if others else SMALL))
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    known = names("bundle")
    if str(name_or_path) in known:
        return bundle_folder(entry("bundle", str(name_or_path)))
    raise BundleError(
        f"{name_or_path}: no such folder, and no installed model of that name{nearest(str(name_or_path), known)}; "
        f"installed are: {', '.join(known)}"
    )


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


def _maker(stage: str, kind: type[Any]) -> Callable[..., Any]:
    maker = STAGES[stage].maker
    found: Callable[..., Any] = getattr(kind, maker) if maker else kind
    return found


def _is_core(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == CORE


@functools.cache
def _warn(message: str) -> None:
    _log.warning("%s", message)  # once, however often it is asked for

"""Information on installed parts without importing them: packages, settings, and faults."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Any

from speechlstm.model import catalog, registry
from speechlstm.types import PluginError, UsageError

_PACKAGE = Path(__file__).parents[1]
_IN_WHEEL = _PACKAGE / "configs" / "conf"  # a checkout has it beside the package
CONF = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parent / "conf"


@dataclass(frozen=True, slots=True)
class Installed:
    """What is known of one installed part."""

    stage: str  # features, encoder, tokenizer, decoder or bundle
    name: str  # on the command line
    package: str  # the distribution it came with
    version: str  # of the package
    summary: str = ""  # the first line of its YAML
    parameters: dict[str, Any] | None = None  # its settings with their defaults, as its YAML gives them
    problem: str = ""  # why it cannot be used; empty if nothing speaks against it


def installed(stage: str) -> list[Installed]:
    """Return what is known of each installed part of a stage, by name; nothing is imported."""
    points = registry.points(stage)
    counts = Counter(point.name for point in points)
    return [_describe(stage, point, counts[point.name] > 1) for point in points]


def conf_folders() -> Iterator[tuple[str, Path]]:
    """Yield `(package, conf folder)` of every installed plugin package that brings settings."""
    values = {point.value for stage in registry.GROUPS for point in registry.points(stage)}
    folders = {folder for value in values if (folder := registry.folder_of(value)) and folder != _PACKAGE}
    for folder in sorted(folders):
        if (folder / "conf").is_dir():
            yield folder.name, folder / "conf"


def settings_file(stage: str, point: EntryPoint) -> Path:
    """Return the YAML with a part's settings.

    Raises:
        PluginError: the package has none; the message says where it should be.
    """
    folder = registry.folder_of(point.value)
    name = f"conf/{stage}/{point.name}.yaml"
    if folder is None:
        raise PluginError(
            f"{stage} {point.name!r} of {registry.package_of(point)} cannot be imported: "
            f"there is no package for {point.value!r}"
        )
    path = CONF / stage / f"{point.name}.yaml" if folder == _PACKAGE else folder / name
    if not path.is_file():
        raise PluginError(
            f"{stage} {point.name!r} of {registry.package_of(point)} has no settings: "
            f"{name} is missing in its package {folder.name}"
        )
    return path


def summary(stage: str, name: str) -> str:
    """Return the first line of the YAML of a part, which says what it is.

    Raises:
        UsageError: no such part.
        PluginError: its YAML is missing.
    """
    return _first_line(settings_file(stage, registry.entry(stage, name)))


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def missing_settings(stage: str, name: str) -> str:
    """Return which file of which package is missing, if there is such a part and its settings are not to be found."""
    for point in registry.points(stage) if stage in registry.STAGES else ():
        if point.name == name:
            try:
                settings_file(stage, point)
            except PluginError as error:
                return str(error)
    return ""


def settings(stage: str, name: str) -> dict[str, Any]:
    """Return a part's settings with their defaults, as its YAML gives them, `name` among them.

    Raises:
        UsageError: no such part.
        PluginError: its YAML is missing or cannot be read.
    """
    return _read(settings_file(stage, registry.entry(stage, name)))


def _read(path: Path) -> dict[str, Any]:
    """Read a YAML file and those of its folder, or of this package, that its list of defaults names."""
    from omegaconf import OmegaConf  # the help of a command, which needs this module, is written without it
    from omegaconf.errors import OmegaConfBaseException

    try:
        own: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise PluginError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    except Exception as error:  # of the YAML reader
        raise PluginError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(own, dict):
        raise PluginError(f"{path}: must hold settings, KEY: VALUE")
    found: dict[str, Any] = {}
    for base in own.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            places = (path.with_name(f"{base}.yaml"), CONF / path.parent.name / f"{base}.yaml")
            found |= _read(next((place for place in places if place.is_file()), places[0]))
    return found | {str(key): value for key, value in own.items()}


def _describe(stage: str, point: EntryPoint, clashes: bool) -> Installed:
    package, number = (point.dist.name, point.dist.version) if point.dist else (point.module, "")
    known = (stage, point.name, package, number)
    if stage == "bundle":
        about = f"A trained recognizer; `speechlstm models {point.name}` describes it."
        return Installed(*known, about, problem=catalog.entry_of(point).problem)
    try:
        path = settings_file(stage, point)
        own = _read(path)
        if (name := own.pop("name", None)) != point.name:
            raise PluginError(f"{path}: the name is {name!r}, but must be {point.name}, as the entry point's")
        if clashes and registry.entry(stage, point.name) != point:  # or raises, naming all
            raise PluginError(f"{stage} {point.name!r} of {package} {number} is not used: speechlstm has one")
        if missing := _missing(tuple(point.dist.requires or ()) if point.dist else ()):
            raise PluginError(
                f"{stage} {point.name!r} of {package} {number} needs {missing}, which is not installed"
            )
        return Installed(*known, _first_line(path), own)
    except (PluginError, UsageError) as error:
        return Installed(*known, problem=str(error))


@functools.cache  # the parts of a package need the same
def _missing(requirements: tuple[str, ...]) -> str:
    """Return the first requirement of a package that is not installed, or nothing."""
    from packaging.requirements import InvalidRequirement, Requirement  # only for a list of what is installed

    for text in requirements:
        try:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                version(needed.name)
        except InvalidRequirement:
            continue
        except PackageNotFoundError:
            return text
    return ""

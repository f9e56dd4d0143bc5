"""List the installed models: what they hear, how large and how good they are."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import progress
from speechlstm.data.console import printable
from speechlstm.model import catalog, installed, registry
from speechlstm.model.description import Figure
from speechlstm.types import SpeechlstmError, UsageError, counted, report_failures

_COLUMN = 12  # characters before the values
_SHOWN = 60  # tokens of a model that are listed
_MOST = 2000  # characters of a value


@configs.main("models")
def main(cfg: DictConfig) -> int:
    """Describe the models. Exit status 3 when some cannot be used, 1 when none can."""
    names = configs.inputs(cfg)
    entries = [catalog.find(name) for name in names] if names else catalog.installed()
    usable = [each for each in entries if not each.problem]
    if cfg.format == "json":
        print(json.dumps([asdict(each) for each in entries], indent=1, ensure_ascii=False, default=str))
    elif usable:
        width = max(60, shutil.get_terminal_size((110, 24)).columns)
        print("\n\n".join("\n".join(_described(each, bool(names), width)) for each in usable))
    if not names and not any(each.is_default for each in entries):
        try:
            registry.default_bundle()
        except UsageError as error:
            progress.warn("bundle=", [f"no default: {error}"])
    for each in entries:
        if each.problem:
            progress.fail(each.problem)
    return report_failures(len(entries) - len(usable), len(entries))


def _described(entry: catalog.Entry, in_full: bool, width: int) -> Iterator[str]:
    """Yield the lines on a model."""
    about = entry.about
    assert about is not None
    default = " (default)" if entry.is_default else ""
    source = f"{entry.package} {entry.version}".strip()
    yield printable(f"{entry.name}{default}  {source}".rstrip())
    for key, values in (_summary(about) | (_details(about) if in_full else {})).items():
        for number, value in enumerate(values):
            first = f"  {'' if number else key:<{_COLUMN - 2}}"
            rest = " " * _COLUMN
            yield from textwrap.wrap(
                printable(value, _MOST), width, initial_indent=first, subsequent_indent=rest
            )


def _summary(about: catalog.About) -> dict[str, list[str]]:
    """Return what the list says of a model, by its heading."""
    words = f", a lexicon of {counted(about.lexicon, 'word')}" if about.lexicon is not None else ""
    heard = f"{about.language or 'language unknown'}, {about.sample_rate / 1000:g} kHz"
    size = sum(about.files.values()) / 1e6
    return {
        "hears": [f"{heard}; {counted(len(about.tokens), 'token')} of kind {about.tokenizer}{words}"],
        "encoder": [_encoder(about.encoder)],
        "decoder": [_settings(about.decoder)],
        "size": [f"{size:.1f} MB, {about.weights / 1e6:.1f} million weights in {about.dtype}"],
        "figures": [_figure(each) for each in about.figures] or ["none in its config.json"],
    }


def _details(about: catalog.About) -> dict[str, list[str]]:
    """Return what else there is to say of one model."""
    rest = f" ... ({len(about.tokens)})" if len(about.tokens) > _SHOWN else ""
    made = f"by speechlstm {about.written_by}" if about.written_by else "by an unknown version of speechlstm"
    return {
        "name": [about.title],
        "folder": [about.folder],
        "features": [_settings(about.features)],
        "layers": [_settings(about.encoder)],
        "tokens": [" ".join(about.tokens[:_SHOWN]) + rest],
        "made": [made + (f", seed {about.seed}" if about.seed is not None else "")],
        "parts": [f"{stage} of {package}" for stage, package in about.packages.items()],
        "files": [f"{size / 1e6:7.2f} MB  {name}" for name, size in about.files.items()],
    }


def _encoder(settings: Mapping[str, Any]) -> str:
    """Return name and sizes of an encoder, and what its package says of its kind."""
    name = str(settings["name"])
    try:
        kind = installed.summary("encoder", name).partition(". ")[0].rstrip(".")
    except SpeechlstmError as error:
        kind = str(error)
    layers, units = settings.get("num_layers"), settings.get("hidden_size")
    is_known = isinstance(layers, int) and isinstance(units, int)
    sizes = f", {layers} x {units} units" if is_known else ""
    return f"{name}{sizes}: {kind}"


def _settings(settings: Mapping[str, Any]) -> str:
    rest = " ".join(f"{key}={_shown(value)}" for key, value in settings.items() if key != "name")
    return f"{settings['name']} {rest}".rstrip()


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _figure(figure: Figure) -> str:
    low, high = figure.interval
    return (
        f"{figure.wer:.2%} of {counted(figure.words, 'word')} wrong ({low:.2%} to {high:.2%}): "
        f"{figure.corpus} {figure.split}".rstrip()
    )

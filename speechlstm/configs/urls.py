"""URLs in the settings of commands, most of which work on local files alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from speechlstm.data.remote import is_url
from speechlstm.types import UsageError

_NETWORKED = ("callbacks", "executor", "host", "hydra", "logger", "trainer")  # may hold the URL of a server
_REMOTE = {  # settings that take URLs, or refuse them in their own words
    "transcribe": ("inputs", "out"),
    "inspect": ("inputs",),
    "live": ("inputs",),
}


def refuse_urls(cfg: DictConfig, command: str, names: Sequence[str]) -> None:
    """See that files are local where a command takes local ones only.

    Args:
        cfg: settings of the command.
        command: its name.
        names: plain file names on the command line.

    Raises:
        UsageError: a setting, or one of the names, is a URL.
    """
    settings = OmegaConf.to_container(cfg)
    assert isinstance(settings, dict)
    settings["inputs"] = [settings.get("inputs"), *names]
    passed = (*_NETWORKED, *_REMOTE.get(command, ()))
    local = {key: value for key, value in settings.items() if key not in passed}
    for key, text in _texts("", local):
        if is_url(text):
            given = text if key == "inputs" else f"{key}={text}"
            instead = (
                "name a local one"
                if key in ("out", "report", "plot")
                else "download it, and name the local copy"
            )
            raise UsageError(f"{given}: a URL, but {command} takes local files only; {instead}")


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts in settings, each with its dotted key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(key, inner)

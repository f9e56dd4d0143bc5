"""The recordings that a command works on, and where their outputs go."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from speechlstm.data.audio import AUDIO_SUFFIXES, Piped, audio_name, check_exists, is_pipe, search
from speechlstm.data.remote import Target, is_url, list_folder, url_name
from speechlstm.types import AudioError, UsageError

_TIME = re.compile(r"(?:(?:(\d+):(?=[0-5]?\d:))?(\d+):(?=[0-5]?\d(?:\.|$)))?(\d+(?:\.\d*)?)", re.ASCII)

Place = TypeVar("Place", bound=Target)


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file: its path or URL as given or found, and the relative path its output is named after."""

    path: str
    name: str


def find(paths: Sequence[str]) -> tuple[list[Recording], list[AudioError], list[str]]:
    """Turn files and folders into recordings; folders are searched through, see `speechlstm.data.audio.search`.

    A relative path keeps its folders in `name`; of an absolute one, or one with `..`, only the last part is
    kept, for a folder with what lies below. A file met twice counts once. `-` is the standard input, which is read
    here, as other pipes are. URLs may be those of folders, too, and are fetched when their turn comes.

    Returns:
        the recordings in the order given; a complaint for each file that is missing and each folder without audio or
        unreadable; and a note for each folder of what was skipped.
    """
    found: dict[Path | str, Recording] = {}
    problems: list[AudioError] = []
    notes: list[str] = []
    for given in paths:
        path = Path(given)
        outside = path.is_absolute() or ".." in path.parts
        try:
            if is_url(given):
                for recording in _remote(given):
                    found.setdefault(recording.path, recording)
                continue
            if is_pipe(given):
                if path.absolute() not in found:  # or what came from it is read already
                    pipe = Piped(given)
                    found[path.absolute()] = Recording(pipe, Path(audio_name(pipe)).name)
                continue
            if not path.is_dir():
                check_exists(given)
                found.setdefault(path.absolute(), Recording(given, path.name if outside else str(path)))
                continue
        except AudioError as error:
            problems.append(error)
            continue
        name = Path(path.resolve().name) if outside else path
        inside = search(path)
        problems += inside.problems
        if note := inside.note():
            notes.append(f"{given}: {note}")
        if not inside.files and not inside.problems:
            problems.append(_empty(given))
        for file in inside.files:
            recording = Recording(str(file), str(name / file.relative_to(path)))
            found.setdefault(file.absolute(), recording)
    return list(found.values()), problems, notes


def _remote(url: str) -> list[Recording]:
    """Return the recording at a URL, or those below it if it is a folder's."""
    urls = list_folder(url)
    if urls is None:
        return [Recording(url, url_name(url))]
    above = url_name(url.rstrip("/"))
    names = [each[len(url.rstrip("/")) + 1 :] for each in urls]
    recordings = [
        Recording(each, f"{above}/{name}")
        for each, name in zip(urls, names, strict=True)
        if Path(name).suffix.lower() in AUDIO_SUFFIXES
        and not any(
            part.startswith(".") for part in name.split("/")
        )  # hidden, or `..`, which leads out of `out=`
    ]
    if not recordings:
        raise _empty(url)
    return recordings


def _empty(folder: str) -> AudioError:
    suffixes = " ".join(sorted(AUDIO_SUFFIXES))
    return AudioError(f"{folder}: no audio files in this folder; they end in {suffixes}")


def parse_time(name: str, value: object) -> float | None:
    """Return the seconds that a setting gives as a number, or as `minutes:seconds` or `hours:minutes:seconds`.

    Raises:
        UsageError: it is neither, or not above 0; a `start` may be 0. After a colon, minutes and seconds end at 59.
    """
    if value is None:
        return None
    match = _TIME.fullmatch(str(value).strip())
    seconds = 0.0
    for part in match.groups() if match else ():
        seconds = seconds * 60 + float(part or 0)
    if match is None or not seconds < math.inf or (not seconds and name != "start"):
        least = "0 or more" if name == "start" else "above 0"
        clock = "a time such as 1:30 or 1:02:03.5, with minutes and seconds below 60 after a colon"
        raise UsageError(f"{name}={value}, but must be seconds, {least} and written as in 12.5, or {clock}")
    return seconds


def output_paths(recordings: Sequence[Recording], folder: Place, suffix: str) -> list[Place]:
    """Return where each recording's output goes: `folder/name.suffix`, without the audio's own suffix.

    Recordings that differ in nothing but that keep it: `call.wav` and `call.mp3` give `call.wav.txt` and
    `call.mp3.txt`.

    Raises:
        UsageError: two recordings would still write to the same file.
    """
    short = [str(Path(recording.name).with_suffix("")) for recording in recordings]
    counts = Counter(name.casefold() for name in short)  # some file systems ignore case
    taken: dict[Place, Recording] = {}
    for recording, name in zip(recordings, short, strict=True):
        stem = name if counts[name.casefold()] == 1 else recording.name
        other = taken.setdefault(path := cast(Place, folder / f"{stem}.{suffix}"), recording)
        if other is not recording:
            both = f"{other.path} and {recording.path}"
            raise UsageError(f"{both} would both become {path}; transcribe them into different folders")
    return list(taken)

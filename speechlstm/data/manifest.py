"""Manifests: JSON Lines of utterances, with NeMo's keys, so existing files work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechlstm.data.files import write_atomically
from speechlstm.types import ManifestError, UsageError, Utterance

_KEYS = ("audio_filepath", "duration", "text", "id", "offset", "speaker", "lang")


def parse_line(line: str, where: str, folder: Path) -> Utterance:
    """Turn one manifest line into an utterance.

    Args:
        line: a JSON object with at least `audio_filepath` and `duration`.
        where: `path:line`, for messages.
        folder: what a relative `audio_filepath` is relative to.

    Raises:
        ManifestError: not a JSON object, a key is missing, or a value has the wrong type or range.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:  # also numbers of 5000 digits, brackets 5000 deep
        raise ManifestError(f"{where}: not JSON ({error}); each line must be one JSON object") from None
    if not isinstance(entry, dict):
        raise ManifestError(f"{where}: a JSON {type(entry).__name__}, but each line must be one JSON object")
    missing = [key for key in ("audio_filepath", "duration") if key not in entry]
    if missing:
        raise ManifestError(f"{where}: no {' and no '.join(missing)} (found {', '.join(entry) or 'no keys'})")
    audio, text = entry["audio_filepath"], entry.get("text", "")
    if not isinstance(audio, str) or not audio:
        raise ManifestError(f"{where}: audio_filepath is {audio!r}, but must be a file name")
    if not isinstance(text, str):
        raise ManifestError(f"{where}: text is {text!r}, but must be a string")
    path = Path(audio)  # `~` is the shell's: here it is a letter of a name
    path = path if path.is_absolute() else folder / path
    offset = _seconds(entry.get("offset") or 0.0, "offset", where)
    name = entry.get("id")
    return Utterance(
        audio_filepath=str(path),
        duration=_seconds(entry["duration"], "duration", where),
        text=text,
        id=str(name) if name is not None else f"{path.stem}@{offset:g}" if offset else path.stem,
        offset=offset,
        speaker=None if entry.get("speaker") is None else str(entry["speaker"]),
        lang=entry.get("lang"),
        extra={key: value for key, value in entry.items() if key not in _KEYS},
    )


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield `(line number, text)` of the lines that are not blank.

    Raises:
        ManifestError: the file cannot be read or is not UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ManifestError(f"{path}: cannot read the manifest: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest.

    Raises:
        ManifestError: unreadable, empty, a bad line (all of them are named, at most ten), or an id that occurs twice.
    """
    utterances, problems, seen = [], [], dict[str, int]()
    for number, line in read_lines(path):
        try:
            utterance = parse_line(line, f"{path}:{number}", Path(path).parent)
        except ManifestError as error:
            problems.append(str(error))
            continue
        if utterance.id in seen:
            problems.append(
                f"{path}:{number}: id {utterance.id!r} stands in line {seen[utterance.id]} already"
            )
        seen.setdefault(utterance.id, number)
        utterances.append(utterance)
    if problems:
        more = f"\n... and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ManifestError("\n".join(problems[:10]) + more)
    if not utterances:
        raise ManifestError(f"{path}: no utterances; a manifest has one JSON object a line")
    return utterances


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Write a manifest whole or not at all; audio below its folder is written as a relative path.

    Returns:
        how many utterances were written.
    """
    path = Path(path)
    folder = path.parent.resolve()
    lines = [json.dumps(_entry(u, folder), ensure_ascii=False) + "\n" for u in utterances]
    write_atomically(path, "".join(lines))
    return len(lines)


def file_names(utterances: Sequence[Utterance]) -> list[str]:
    """Return the ids as relative paths below a folder, different ones for different ids.

    A slash stays a folder; `%` and two digits stand for what a name may not hold, as in `%2E./a` for `../a`.

    Raises:
        UsageError: two ids differ only in case, which some file systems do not tell apart.
    """
    taken: dict[str, str] = {}
    for utterance in utterances:
        name = re.sub(r"[%\\\0]|(?:^|(?<=/))[./]|/$", lambda match: f"%{ord(match[0]):02X}", utterance.id)
        other = taken.setdefault(name.casefold(), name)
        if other is not name:
            raise UsageError(f"ids {other!r} and {name!r} differ only in case; give one another id")
    return list(taken.values())


def relative_to(utterance: Utterance, folder: Path) -> Utterance:
    """Return the utterance with its path relative to `folder`, if the audio lies below it."""
    path = Path(utterance.audio_filepath).resolve()
    inside = path.is_relative_to(folder)
    return replace(utterance, audio_filepath=str(path.relative_to(folder) if inside else path))


def _entry(utterance: Utterance, folder: Path) -> dict[str, Any]:
    utterance = relative_to(utterance, folder)
    entry: dict[str, Any] = {key: getattr(utterance, key) for key in _KEYS}
    entry["duration"] = round(utterance.duration, 4)
    optional = {"offset": 0.0, "speaker": None, "lang": None}
    entry = {key: value for key, value in entry.items() if key not in optional or value != optional[key]}
    return entry | utterance.extra


def _seconds(value: Any, key: str, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1e9:  # 30 years; also keeps out infinity and what no float can hold
        raise ManifestError(f"{where}: {key} is {value!r}, but must be a number of seconds, 0 or more")
    return float(value)

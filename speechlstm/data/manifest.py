"""Manifests: JSON Lines of utterances, with NeMo's keys, so existing files work."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, NoReturn

from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.data.lines import read_all, read_lines, read_value
from speechlstm.data.remote import is_url
from speechlstm.types import AudioError, ManifestError, SpeechlstmError, UsageError, Utterance

_KEYS = ("audio_filepath", "duration", "text", "id", "offset", "speaker", "lang", "channel")
MAX_TEXT = 1_000_000  # characters of an utterance; ten hours of speech have 600,000

Refusal = Callable[[str], NoReturn]  # raises a ManifestError of the line
Entry = tuple[int, Utterance]  # line number in the manifest, and what the line says


def parse_line(line: str, where: str, folder: Path) -> Utterance:
    """Turn one manifest line into an utterance.

    Args:
        line: a JSON object with at least `audio_filepath` and `duration`; a duration of null is that of the file.
        where: `path:line`, for messages.
        folder: what a relative `audio_filepath` or `text_filepath` is relative to.

    Raises:
        ManifestError: not a JSON object, a key is missing, or a value has the wrong type or range.
    """

    def refuse(reason: str) -> NoReturn:
        raise ManifestError(f"{where}: {reason}")

    try:
        entry = read_value(line)
    except ValueError as error:
        refuse(f"not JSON ({error}); each line must be one JSON object")
    if not isinstance(entry, dict):
        refuse(f"a JSON {type(entry).__name__}, but each line must be one JSON object")
    missing = [key for key in ("audio_filepath", "duration") if key not in entry]
    if missing:
        refuse(f"no {' and no '.join(missing)} (found {_short(', '.join(map(_plain, entry))) or 'no keys'})")
    if "\\u" in line:  # only an escape can be half of a pair
        for key in entry:
            if key != "audio_filepath" and (
                half := _half_pair(f"{key}{json.dumps(entry[key], ensure_ascii=False)}")
            ):
                refuse(f"{_plain(key)} holds {half}, half of a surrogate pair, which is no character")
    audio = entry["audio_filepath"]
    if not isinstance(audio, str) or not audio or is_url(audio):
        refuse(f"audio_filepath is {_shown(audio)}, but must be the name of a file on this machine")
    path = folder / audio  # `~` is the shell's; here it is a letter of a name
    if not Path(audio).name or not _is_name(audio):
        refuse(f"audio_filepath is {_shown(audio)}, which no file can be called")
    text = _text(entry, folder, refuse)
    offset = _seconds(0.0 if entry.get("offset") is None else entry["offset"], "offset", where)
    duration = entry["duration"]
    if duration is None:
        duration = _rest(path, offset, refuse)
    for key in ("id", "speaker", "lang"):
        value = entry.get(key)
        if not isinstance(value, str | int | float | None) or isinstance(value, bool) or value == "":
            refuse(f"{key} is {_shown(entry[key])}, but must be a word or a number")
    name, speaker, lang = (
        None if entry.get(key) is None else str(entry[key]) for key in ("id", "speaker", "lang")
    )
    return Utterance(
        audio_filepath=str(path),
        duration=_seconds(duration, "duration", where),
        text=text,
        id=name or "",
        offset=offset,
        speaker=speaker,
        lang=lang,
        channel=_channel(entry.get("channel"), refuse),
        extra={key: value for key, value in entry.items() if key not in _KEYS},
    )


def _channel(value: Any, refuse: Refusal) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    return refuse(f"channel is {_shown(value)}, but must be a whole number from 0")


def _text(entry: dict[str, Any], folder: Path, refuse: Refusal) -> str:
    """Return the text of an entry, or of the file that it names as NeMo's may; empty where there is none."""
    text = entry.get("text")
    if text is None and isinstance(name := entry.get("text_filepath"), str):
        if is_url(name):
            refuse(f"text_filepath is {_shown(name)}, but must be the name of a file on this machine")
        try:
            text = " ".join(" ".join(line for _, line in read_lines(folder / name)).split())
        except SpeechlstmError as error:
            refuse(f"text_filepath is {_shown(name)}{str(error).removeprefix(str(folder / name))}")
    if text is not None and not isinstance(text, str):
        refuse(f"text is {_shown(text)}, but must be a string")
    text = text or ""
    if len(text) > MAX_TEXT:
        refuse(f"a text of {len(text):,} characters, but at most {MAX_TEXT:,} can be one utterance's")
    if "\0" in text:
        refuse("text holds a NUL character")
    return text


def _rest(path: Path, offset: float, refuse: Refusal) -> float:
    """Return the seconds of audio from an offset to the end of its file."""
    from speechlstm.data.audio import audio_info  # takes a second to import, and few manifests need it

    try:
        return max(audio_info(str(path)).duration - offset, 0.0)
    except AudioError as error:
        refuse(f"duration is null, and cannot be read: {error}")


def read_entries(path: str | Path) -> tuple[list[Entry], list[tuple[int, ManifestError]]]:
    """Read a manifest line by line.

    Returns:
        The utterances, those without an id named after as much of their path as tells them apart, and what is wrong
        with the other lines; each with its line number.

    Raises:
        ManifestError: the manifest cannot be read at all, or has no lines.
    """
    entries: list[Entry] = []
    problems: list[tuple[int, ManifestError]] = []
    try:
        for number, line in read_all(path):
            if isinstance(line, SpeechlstmError):
                problems.append((number, ManifestError(str(line))))
            elif line.strip():
                try:
                    entries.append((number, parse_line(line, f"{path}:{number}", Path(path).parent)))
                except ManifestError as error:
                    problems.append((number, error))
    except SpeechlstmError as error:
        raise ManifestError(str(error).replace("cannot be read", "cannot read the manifest", 1)) from None
    if not entries and not problems:
        raise ManifestError(f"{path}: no utterances; a manifest has one JSON object a line")
    ids = _ids([utterance for _, utterance in entries])
    return [(number, replace(u, id=name)) for (number, u), name in zip(entries, ids, strict=True)], problems


def _ids(utterances: Sequence[Utterance]) -> list[str]:
    """Return the ids; without one as much of the path as tells it from others, and the place in the file."""
    parts = [PurePath(utterance.audio_filepath).with_suffix("").parts for utterance in utterances]
    used = [0 if utterance.id else 1 for utterance in utterances]  # parts of the path
    while True:
        ids = []
        for one, each, count in zip(utterances, parts, used, strict=True):
            name = _plain("/".join(each[-count:])) + (f"@{one.offset:.10g}" if one.offset else "")
            ids.append(one.id or (name if one.channel is None else f"{name}-{one.channel}"))
        counts = Counter(name for name, _ in {*zip(ids, parts, strict=True)})  # one file twice has one name
        longer = [
            0 < count < len(each) and counts[name] > 1
            for name, each, count in zip(ids, parts, used, strict=True)
        ]
        if not any(longer):
            return ids
        used = [count + more for count, more in zip(used, longer, strict=True)]


def read_manifest(path: str | Path, problems: list[ManifestError] | None = None) -> list[Utterance]:
    """Read a manifest.

    Args:
        path: of the manifest.
        problems: takes what is wrong with lines that cannot be used; None: that is an error.

    Raises:
        ManifestError: unreadable, empty, or no line that can be used. Without `problems` also a line that cannot be
            used, which may be one whose id occurs twice (all of them are named, at most ten).
    """
    entries, bad = read_entries(path)
    lines: dict[str, int] = {}
    utterances = []
    for number, utterance in entries:
        if utterance.id in lines:
            taken = f"id {_shown(utterance.id)} stands in line {lines[utterance.id]} already"
            bad.append((number, ManifestError(f"{path}:{number}: {taken}")))
            continue
        lines[utterance.id] = number
        utterances.append(utterance)
    errors = [error for _, error in sorted(bad, key=lambda problem: problem[0])]
    if errors and (problems is None or not utterances):
        more = f"\n... and {len(errors) - 10} more" if len(errors) > 10 else ""
        raise ManifestError("\n".join(map(str, errors[:10])) + more)
    if problems is not None:
        problems += errors
    return utterances


def read_usable(path: str | Path, shown: bool = True) -> tuple[list[Utterance], int]:
    """Read a manifest for a command: lines that cannot be used are named on the standard error stream, and counted.

    Args:
        path: of the manifest.
        shown: False where another process names them.

    Raises:
        ManifestError: unreadable, empty, or no line that can be used.
    """
    problems: list[ManifestError] = []
    utterances = read_manifest(path, problems)
    for problem in problems if shown else ():
        progress.fail(problem)
    return utterances, len(problems)


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> None:
    """Write a manifest whole or not at all; audio below its folder is written as a relative path."""
    write_atomically(path, to_lines(utterances, path))


def to_lines(utterances: Iterable[Utterance], path: str | Path) -> str:
    """Return the content of a manifest that will lie at a path."""
    folder = Path(path).parent.resolve()
    return "".join(json.dumps(_entry(u, folder), ensure_ascii=False) + "\n" for u in utterances)


def file_names(utterances: Sequence[Utterance]) -> list[str]:
    """Return the ids as relative paths below a folder, different ones for different ids.

    A slash stays a folder; `%` and two digits stand for what a name may not hold, as in `%2E./a` for `../a`.

    Raises:
        UsageError: two ids differ only in case, which some file systems do not tell apart.
    """
    taken: dict[str, str] = {}
    for utterance in utterances:
        name = re.sub(
            r"[%\\\x00-\x1f\x7f]|(?:^|(?<=/))[./]|/$", lambda match: f"%{ord(match[0]):02X}", utterance.id
        )
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
    optional = {"offset": 0.0, "speaker": None, "lang": None, "channel": None}
    entry = {key: value for key, value in entry.items() if key not in optional or value != optional[key]}
    return entry | utterance.extra


def _half_pair(text: str) -> str | None:
    """Return half of a surrogate pair that a text holds, as JSON writes it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(text[error.start]):04x}"
    return None


def _is_name(audio: str) -> bool:
    """Whether there may be a file of a name; a byte that is no UTF-8 stands in it as Python has it."""
    try:
        return b"\0" not in os.fsencode(audio)
    except UnicodeEncodeError:
        return False


def _plain(text: str) -> str:
    """Return a text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(value: Any) -> str:
    """Return a value for a message: short, and free of what no terminal can show."""
    return _short(repr(value))  # which escapes halves of surrogate pairs


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."


def _seconds(value: Any, key: str, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1e9:  # 30 years; also keeps out infinity and what no float can hold
        raise ManifestError(f"{where}: {key} is {_shown(value)}, but must be seconds from 0 to 1e9")
    return float(value)

"""Hugging Face audiofolder: `metadata.csv` or `metadata.jsonl` beside the audio, or one per split."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, expect, read_text, split_name, text_lines
from speechlstm.data.lines import read_value
from speechlstm.types import UsageError, Utterance

_TEXT_KEYS = ("transcription", "text", "sentence", "transcript")
_SPEAKER_KEYS = ("speaker", "speaker_id")


def read(root: str | Path) -> Corpus:
    """Read the files in `file_name`, with text in `transcription`, `text`, `sentence` or `transcript`.

    Args:
        root: the folder with the metadata (read as `train`), or one with a folder per split.

    Raises:
        UsageError: no metadata, or metadata that names neither files nor texts.
    """
    root = Path(root)
    names = ("metadata.jsonl", "metadata.csv")
    expect(root, "an audiofolder", *(f"{place}{name}" for place in ("", "*/", "data/*/") for name in names))
    base = root / "data" if not list(root.glob("metadata.*")) and (root / "data").is_dir() else root
    problems: list[str] = []
    splits: dict[str, list[Utterance]] = {}
    for folder in [base, *sorted(path for path in base.iterdir() if path.is_dir())]:
        for metadata in (folder / name for name in names if (folder / name).is_file()):
            name = "train" if folder == base else split_name(folder.name)
            splits.setdefault(name, []).extend(_folder(metadata, problems))
    return Corpus(splits, problems)


def _folder(metadata: Path, problems: list[str]) -> list[Utterance]:
    utterances = []
    named = set[Path]()
    for number, row in _rows(metadata, problems):
        where = f"{metadata}:{number}"
        keys = [key for key in _TEXT_KEYS if key in row]
        if "file_name" not in row or not keys:
            raise UsageError(
                f"{where}: needs file_name and one of {', '.join(_TEXT_KEYS)}; has {', '.join(row)}"
            )
        audio = metadata.parent / row["file_name"]
        named.add(audio)
        if not row["file_name"] or not row[keys[0]]:
            problems.append(f"{where}: {'no ' + keys[0] if row['file_name'] else 'no file_name'}")
            continue
        speaker = next((row[key] for key in _SPEAKER_KEYS if row.get(key)), None)
        name = Path(row["file_name"]).with_suffix("").as_posix()
        utterances.append(Utterance(str(audio), 0.0, row[keys[0]], name, speaker=speaker))
    inside = (path for path in audio_files(metadata.parent) if path not in named)
    owner = {path: path for path in metadata.parent.glob("*/metadata.*")}
    problems += [
        f"{path}: not in {metadata.name}"
        for path in inside
        if not any(path.is_relative_to(other.parent) for other in owner)
    ]
    return utterances


def _rows(metadata: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    if metadata.suffix == ".csv":
        yield from _table(metadata, problems)
        return
    for number, line in read_text(metadata, problems):
        try:
            entry = read_value(line)
        except ValueError as error:
            raise UsageError(f"{metadata}:{number}: not JSON ({error})") from None
        if not isinstance(entry, dict):
            raise UsageError(f"{metadata}:{number}: a JSON {type(entry).__name__}, but must be an object")
        yield number, {key: "" if value is None else str(value) for key, value in entry.items()}


def _table(metadata: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table; one of several lines, which a stray quote has made of them, is left out."""
    lines = text_lines(metadata, problems)
    records = csv.reader(f"{line}\n" for _, line in lines)
    columns: list[str] = []
    begin = 0
    try:
        for record in records:
            (number, _), (end, _), begin = lines[begin], lines[records.line_num - 1], records.line_num
            if any("\n" in value for value in record):
                problems.append(f"{metadata}:{number}: a row that goes on to line {end}; is a quote missing?")
            elif record and columns:
                values = record + [""] * len(columns)
                yield number, {key: value for key, value in zip(columns, values, strict=False) if key}
            else:
                columns = columns or record
    except csv.Error as error:
        raise UsageError(f"{metadata}:{lines[begin][0]}: {error}; is a quote missing?") from None

"""Kaldi data directories: `wav.scp`, `text`, and where there are `segments` and `utt2spk`."""

from __future__ import annotations

from pathlib import Path

from speechlstm.data.corpora.base import Corpus, expect, read_text, split_name
from speechlstm.types import UsageError, Utterance


def read(root: str | Path) -> Corpus:
    """Read a data directory as `train`, or each directory below as a split of its own name.

    Relative names in `wav.scp` are looked for from the working directory, as Kaldi does, and then beside it.

    Args:
        root: a data directory, or a folder of them such as `data/` with `train/`, `dev/`, `test/`.

    Raises:
        UsageError: no such directory, a line that cannot be read, or audio that is the output of a command.
    """
    root = Path(root)
    expect(root, "Kaldi data directories", "wav.scp", "*/wav.scp")
    single = (root / "wav.scp").is_file()
    folders = {"train": root} if single else {p.parent.name: p.parent for p in sorted(root.glob("*/wav.scp"))}
    problems: list[str] = []
    splits: dict[str, list[Utterance]] = {}
    for name, folder in folders.items():  # dev and valid may both be there
        splits.setdefault(split_name(name), []).extend(_directory(folder, problems))
    return Corpus(splits, problems)


def _directory(folder: Path, problems: list[str]) -> list[Utterance]:
    for name, (number, audio) in (recordings := _column(folder / "wav.scp", problems)).items():
        if audio.endswith("|"):
            raise UsageError(
                f"{folder / 'wav.scp'}:{number}: {name} is the output of a command ({audio[:60]}), which "
                "is never run; write its audio to a file with sox or wav-copy and name that"
            )
    texts = _column(folder / "text", problems)
    speakers = _column(folder / "utt2spk", problems) if (folder / "utt2spk").is_file() else {}
    segments = {name: (number, f"{name} 0 -1") for name, (number, _) in recordings.items()}
    table = folder / "wav.scp"
    if (folder / "segments").is_file():
        table = folder / "segments"
        segments = _column(table, problems)
    utterances = []
    for name, (number, segment) in segments.items():
        try:
            recording, begin, end = segment.split()
            offset, until = float(begin), float(end)
            if not 0 <= offset < float("inf") or not (until == -1 or offset < until < float("inf")):
                raise ValueError
        except ValueError:
            raise UsageError(
                f"{table}:{number}: expected 'utterance recording begin end' in seconds, "
                f"found '{name} {segment}'"
            ) from None
        if recording not in recordings:
            problems.append(f"{table}:{number}: {name}: recording {recording!r} is not in wav.scp")
        elif name not in texts:
            problems.append(f"{table}:{number}: {name} is not in text")
        else:
            path = Path(recordings[recording][1])
            path = path if path.is_absolute() or path.is_file() else folder / path
            duration = 0.0 if until == -1 else until - offset
            speaker = speakers[name][1] if name in speakers else None
            text = texts[name][1]
            utterances.append(Utterance(str(path), duration, text, name, offset, speaker))
    problems += [
        f"{folder / 'text'}:{number}: {name} is not in {table.name}"
        for name, (number, _) in texts.items()
        if name not in segments
    ]
    return utterances


def _column(path: Path, problems: list[str]) -> dict[str, tuple[int, str]]:
    """Read `key value` lines as key -> (line number, value)."""
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a Kaldi data directory needs wav.scp and text")
    found: dict[str, tuple[int, str]] = {}
    for number, line in read_text(path, problems):
        key, *value = line.split(maxsplit=1)
        if key in found:
            raise UsageError(f"{path}:{number}: {key} stands in line {found[key][0]} already")
        found[key] = (number, value[0].strip() if value else "")
    return found

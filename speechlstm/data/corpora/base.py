"""What the importers share: the corpus they return, finding audio, measuring it, and splitting by speaker."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechlstm.data import progress
from speechlstm.data.audio import AUDIO_SUFFIXES, audio_info
from speechlstm.types import AudioError, UsageError, Utterance

# Lossless before lossy, so that a corpus that has both is read from the better copy.
_LOSSLESS = (".wav", ".flac", ".sph", ".raw")


@dataclass(slots=True)
class Corpus:
    """What an importer found.

    Attributes:
        splits: the utterances by split name; a duration of 0 means that the audio has yet to be measured.
        problems: one line for each thing that was left out, with where and why.
    """

    splits: dict[str, list[Utterance]]
    problems: list[str] = field(default_factory=list)


def expect(root: Path, corpus: str, *wanted: str) -> Path:
    """Return the first of `root / pattern` that exists.

    Args:
        root: the folder the person named.
        corpus: what it should hold, for the message.
        wanted: file names or glob patterns, any one of which marks the corpus.

    Raises:
        UsageError: there is no such folder, or it holds none of them.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; root= must be the folder that holds {corpus}")
    for pattern in wanted:
        for path in sorted(root.glob(pattern)):
            return path
    found = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    raise UsageError(f"{root}: not {corpus}: expected {' or '.join(wanted)} in it, found {found}")


class AudioFinder:
    """Finds audio by its name without the suffix; every folder is listed once, which matters on network disks."""

    def __init__(self) -> None:
        self.folders: dict[Path, dict[str, Path]] = {}

    def __call__(self, stem: Path) -> Path:
        """Return the audio file whose name without its suffix is `stem`; `stem.wav` if there is none."""
        if stem.parent not in self.folders:
            found = sorted(stem.parent.iterdir()) if stem.parent.is_dir() else []
            audio = [path for path in found if path.suffix.lower() in AUDIO_SUFFIXES]
            audio.sort(key=lambda path: path.suffix.lower() not in _LOSSLESS)
            self.folders[stem.parent] = {path.stem: path for path in reversed(audio)}
        return self.folders[stem.parent].get(stem.name, stem.with_name(f"{stem.name}.wav"))


def audio_files(folder: Path) -> list[Path]:
    """Return every audio file below `folder`, sorted, hidden ones left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    return sorted(path for path in files if not path.name.startswith("."))


def measure(corpus: Corpus, threads: int = 8) -> Corpus:
    """Fill in the durations from the files' headers; what cannot be read or repeats an id becomes a problem.

    A progress bar is shown on a terminal.
    """
    utterances = [utterance for split in corpus.splits.values() for utterance in split]
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(_measure, utterances)
        measured = iter(list(progress.track(results, "reading audio headers", len(utterances), unit="file")))
    splits: dict[str, list[Utterance]] = {}
    problems = list(corpus.problems)
    for name, split in corpus.splits.items():
        kept: dict[str, Utterance] = {}
        for utterance in split:
            result = next(measured)
            if isinstance(result, str):
                problems.append(result)
            elif utterance.id in kept:
                problems.append(f"{utterance.audio_filepath}: id {utterance.id!r} occurs twice in {name}")
            else:
                kept[utterance.id] = result
        splits[name] = list(kept.values())
    return Corpus(splits, problems)


def _measure(utterance: Utterance) -> Utterance | str:
    try:
        total = audio_info(utterance.audio_filepath).duration
    except AudioError as error:
        return str(error)
    rest = total - utterance.offset
    if rest <= 0:
        where = (
            f"begins at {utterance.offset:g} s but the file ends at {total:g} s"
            if utterance.offset
            else "no samples"
        )
        return f"{utterance.audio_filepath}: {utterance.id}: {where}"
    if utterance.duration > rest + 0.1:  # transcribers round segment ends to a tenth or so
        return (
            f"{utterance.audio_filepath}: {utterance.id}: should last {utterance.duration:g} s from "
            f"{utterance.offset:g} s on, but the file ends at {total:g} s"
        )
    return replace(utterance, duration=min(utterance.duration, rest) or rest)


def hold_out(
    utterances: Sequence[Utterance], fraction: float, seed: int
) -> tuple[list[Utterance], list[Utterance]]:
    """Divide utterances into a large and a small part that share no speaker.

    With fewer than two speakers it divides by utterance. The order within each part is kept, and the same
    seed gives the same parts.

    Args:
        utterances: what to divide.
        fraction: about how much the small part gets, in [0, 1).
        seed: of the random choice.

    Raises:
        UsageError: `fraction` is out of range.
    """
    if not 0 <= fraction < 1:
        raise UsageError(f"a held-out fraction is {fraction:g}, but must be at least 0 and less than 1")
    groups: dict[str, list[Utterance]] = {}
    speakers = {utterance.speaker for utterance in utterances}
    for utterance in utterances:
        key = utterance.speaker if len(speakers) > 1 else utterance.id
        groups.setdefault(key or f"unknown speaker of {utterance.id}", []).append(utterance)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    wanted = math.ceil(fraction * len(utterances))
    held = set[str]()
    for key in order[1:]:  # the first stays, so that neither part is ever everything
        if sum(len(groups[name]) for name in held) >= wanted:
            break
        held.add(key)
    chosen = {id(utterance) for key in held for utterance in groups[key]}
    return (
        [utterance for utterance in utterances if id(utterance) not in chosen],
        [utterance for utterance in utterances if id(utterance) in chosen],
    )


def with_dev(splits: dict[str, list[Utterance]], fraction: float, seed: int) -> dict[str, list[Utterance]]:
    """Return the splits with a `dev` held out of `train` where the corpus has none of its own."""
    if "dev" in splits or "train" not in splits:
        return splits
    train, dev = hold_out(splits["train"], fraction, seed)
    rest = {name: split for name, split in splits.items() if name != "train"}
    return {"train": train} | ({"dev": dev} if dev else {}) | rest


def read_text(path: Path) -> list[tuple[int, str]]:
    """Return `(line number, line)` of a text file's lines that are not blank.

    Raises:
        UsageError: the file is not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def split_name(folder: str) -> str:
    """Return our word for a split: `dev` for what others call valid, val, eval_dev or validation."""
    return "dev" if folder.lower() in ("dev", "val", "valid", "validation", "development") else folder

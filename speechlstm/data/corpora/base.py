"""What the importers share: the corpus they return, finding audio and text, measuring, and holding out speakers."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from speechlstm.data import progress
from speechlstm.data.audio import AUDIO_SUFFIXES, AudioInfo, audio_info, search
from speechlstm.data.lines import read_all
from speechlstm.types import AudioError, SpeechlstmError, UsageError, Utterance

# Lossless before lossy, so that a corpus that has both is read from the better copy.
_LOSSLESS = (".wav", ".flac", ".sph", ".raw")


@dataclass(slots=True)
class Corpus:
    """What an importer found.

    Attributes:
        splits: the utterances by split name; a duration of 0 means that the audio has yet to be measured.
        problems: one line for each thing that was left out, with where and why.
        few_speakers: too few to hold one out, so that `dev` takes a share of each one's recordings.
    """

    splits: dict[str, list[Utterance]]
    problems: list[str] = field(default_factory=list)
    few_speakers: bool = False


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
    """Return every audio file below `folder`, sorted, hidden ones left out.

    Raises:
        AudioError: a folder cannot be searched.
    """
    found = search(folder)
    if found.problems:
        raise found.problems[0]
    return found.files


def measure(
    corpus: Corpus, threads: int = 8, strict_audio: bool = True, channel: int | str | None = None
) -> Corpus:
    """Fill in the durations; what cannot be read or repeats an id becomes a problem.

    All audio is decoded whose length its size does not prove. A progress bar is shown on a terminal.

    Args:
        corpus: what an importer found.
        threads: files that are read at once.
        strict_audio: damaged or truncated audio becomes a problem; False takes what can be read.
        channel: which channel the utterances are of; `"each"` makes an utterance of each; None leaves it as it is.
    """
    paths = list({utterance.audio_filepath for split in corpus.splits.values() for utterance in split})

    def look(path: str) -> AudioInfo | AudioError:
        try:
            return audio_info(path, strict=strict_audio)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        looks = progress.track(pool.map(look, paths), "reading audio", len(paths), unit="file")
        infos = dict(zip(paths, looks, strict=True))
    splits: dict[str, list[Utterance]] = {}
    problems = list(corpus.problems)
    for name, split in corpus.splits.items():
        kept: dict[str, Utterance] = {}
        for utterance in split:
            result = _measured(utterance, infos[utterance.audio_filepath])
            if isinstance(result, str):
                problems.append(result)
                continue
            channels = getattr(infos[utterance.audio_filepath], "channels", 1)
            for one in _of_channels(result, channels, channel):
                if one.channel is not None and one.channel >= channels:
                    problems.append(
                        f"{one.audio_filepath}: {one.id}: no channel {one.channel}, only {channels}"
                    )
                elif one.id in kept:
                    problems.append(f"{one.audio_filepath}: id {one.id!r} occurs twice in {name}")
                else:
                    kept[one.id] = one
        splits[name] = list(kept.values())
    return replace(corpus, splits=splits, problems=problems)


def _of_channels(utterance: Utterance, channels: int, channel: int | str | None) -> list[Utterance]:
    if channel == "each" and channels > 1:
        return [replace(utterance, id=f"{utterance.id}-{k}", channel=k) for k in range(channels)]
    return [utterance if channel in (None, "each") else replace(utterance, channel=int(channel or 0))]


def _measured(utterance: Utterance, info: AudioInfo | AudioError) -> Utterance | str:
    if isinstance(info, AudioError):
        return str(info)
    total = info.duration
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


def hold_out(utterances: list[Utterance], fraction: float, seed: int) -> set[str]:
    """Choose the ids of about a share of the utterances: all of some speakers, or any where one speaks all.

    The same seed chooses the same. Never are all of them chosen.
    """
    groups: dict[str, list[str]] = {}
    speakers = {utterance.speaker for utterance in utterances}
    for utterance in utterances:
        key = utterance.speaker if len(speakers) > 1 else utterance.id
        groups.setdefault(key or f"unknown speaker of {utterance.id}", []).append(utterance.id)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    held = set[str]()
    for key in order[1:]:
        if len(held) >= math.ceil(fraction * len(utterances)):
            break
        held.update(groups[key])
    return held


def with_dev(corpus: Corpus, fraction: float, seed: int) -> Corpus:
    """Return the corpus with a `dev` held out of `train` where it has none of its own.

    Args:
        corpus: whose utterances have been measured, so that each id occurs once.
        fraction: about how much of `train` becomes `dev`, in [0, 1).
        seed: of the choice.
    """
    train = corpus.splits.get("train", [])
    if "dev" in corpus.splits or not train:
        return corpus
    speakers = sorted({utterance.speaker or "" for utterance in train}) if corpus.few_speakers else [None]
    held = set[str]()
    for speaker in speakers:
        held |= hold_out([u for u in train if speaker in (None, u.speaker)], fraction, seed)
    parts = {
        "train": [utterance for utterance in train if utterance.id not in held],
        "dev": [utterance for utterance in train if utterance.id in held],
    }
    return replace(
        corpus, splits={name: split for name, split in (parts | corpus.splits | parts).items() if split}
    )


def text_lines(path: Path, problems: list[str]) -> list[tuple[int, str]]:
    """Return `(line number, line)` of a text file; what is no text becomes a problem, and the rest is read."""
    lines: list[tuple[int, str]] = []
    try:
        for number, line in read_all(path):
            if isinstance(line, str):
                lines.append((number, line))
            else:
                problems.append(str(line))
    except SpeechlstmError as error:
        problems.append(str(error))
    return lines


def read_text(path: Path, problems: list[str]) -> list[tuple[int, str]]:
    """Return the lines of `text_lines` that are not blank."""
    return [(number, line) for number, line in text_lines(path, problems) if line.strip()]


_SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "val", "valid", "validation", "development"),
    "test": ("test", "testing"),
}


def split_name(folder: str) -> str:
    """Return our word for a split, such as `dev` for what others call `Valid`, or the name itself."""
    return next((ours for ours, theirs in _SPLITS.items() if folder.lower() in theirs), folder)

"""A folder of audio with the text of each file in a `.txt` of the same name beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, read_text, split_name
from speechlstm.types import UsageError, Utterance, counted


def read(root: str | Path, speaker_from_folder: bool = False) -> Corpus:
    """Read every audio file below a folder; `train/`, `dev/` and `test/` are splits, or all is `train`.

    With splits, audio beside their folders is of none of them, which is a problem.

    Args:
        root: the folder.
        speaker_from_folder: the name of the folder that a file lies in is its speaker.

    Raises:
        UsageError: no such folder, or no audio in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; root= must be the folder of the audio and its .txt files")
    names = {path: split_name(path.name) for path in sorted(root.iterdir()) if path.is_dir()}
    folders = {folder: name for folder, name in names.items() if name in ("train", "dev", "test")}
    if "train" not in folders.values():
        folders = {root: "train"}
    splits: dict[str, list[Utterance]] = {name: [] for name in folders.values()}
    files = {folder: audio_files(folder) for folder in folders}
    problems = _beside(root, folders)
    if not any(files.values()):
        raise UsageError(f"{root}: no audio files in it; expected audio and a .txt of the same name for each")
    for folder, name in folders.items():
        for audio in files[folder]:
            transcript = audio.with_suffix(".txt")
            if not transcript.is_file():
                problems.append(f"{audio}: no {transcript.name} beside it")
                continue
            before = len(problems)
            text = " ".join(" ".join(line for _, line in read_text(transcript, problems)).split())
            if len(problems) > before:
                continue
            if not text:
                problems.append(f"{transcript}: empty")
                continue
            speaker = audio.parent.name if speaker_from_folder else None
            identity = audio.relative_to(folder).with_suffix("").as_posix()
            splits[name].append(Utterance(str(audio), 0.0, text, identity, speaker=speaker))
        spoken = {audio.with_suffix("") for audio in files[folder]}
        texts = sorted(path for path in folder.rglob("*.txt") if path.with_suffix("") not in spoken)
        problems += [f"{path}: no audio of that name beside it" for path in texts]
    return Corpus(splits, problems)


def _beside(root: Path, folders: Iterable[Path]) -> list[str]:
    """Return as a problem the audio below a folder that is in none of the folders of its splits."""
    beside = [path for path in audio_files(root) if not any(map(path.is_relative_to, folders))]
    if not beside:
        return []
    names = ", ".join(f"{folder.name}/" for folder in folders)
    return [f"{root}: {counted(len(beside), 'audio file')} outside {names}, such as {beside[0]}; left out"]

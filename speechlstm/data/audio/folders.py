"""Searching folders for audio."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from speechlstm.data.audio.files import AUDIO_SUFFIXES
from speechlstm.types import AudioError, counted

_KINDS = 5  # endings that are listed


@dataclass(slots=True)
class Folder:
    """What a search through a folder has found.

    Attributes:
        files: whose names end as those of audio files do, sorted.
        problems: folders that cannot be searched.
        passed: how many files there are besides, by their ending or why they were skipped.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[AudioError] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)

    def note(self) -> str | None:
        """Return how many files were skipped and why, such as `3 files skipped: 2 .txt, 1 hidden`."""
        if not self.passed:
            return None
        kinds = sorted(self.passed.items(), key=lambda item: (-item[1], item[0]))
        listed = [f"{number} {kind}" for kind, number in kinds[:_KINDS]]
        if rest := sum(number for _, number in kinds[_KINDS:]):
            listed.append(f"{rest} of other kinds")
        return f"{counted(self.passed.total(), 'file')} skipped: {', '.join(listed)}"


def search(folder: str | Path) -> Folder:
    """Find the audio files in a folder and below it; linked folders are searched once, hidden ones not."""
    found = Folder()

    def complain(error: OSError) -> None:
        found.problems.append(
            AudioError(f"{error.filename}: cannot search this folder: {error.strerror or error}")
        )

    seen = set[tuple[int, int]]()
    waiting = [str(folder)]  # links come last, so that a file is found by its own path if it has one here
    for top in waiting:
        for where, folders, files in os.walk(top, onerror=complain):
            place = Path(where)
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            found.passed["hidden"] += sum(name.startswith(".") for name in (*folders, *files))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting += [str(place / name) for name in folders if (place / name).is_symlink()]
            for name in files:
                path = place / name
                suffix = path.suffix.lower()
                if suffix in AUDIO_SUFFIXES and not name.startswith("."):
                    found.files.append(path)
                elif not name.startswith("."):
                    found.passed[suffix or "without an ending"] += 1
    found.files.sort()
    found.passed += Counter()  # drops what was counted as 0
    return found

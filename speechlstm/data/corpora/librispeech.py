"""LibriSpeech: read English books, 16 kHz; also Mini LibriSpeech and anything in the same layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechlstm.data.corpora.base import AudioFinder, Corpus, expect, read_text
from speechlstm.types import UsageError, Utterance


def read(root: str | Path, parts: Sequence[str] | None = None) -> Corpus:
    """Read `{part}/{speaker}/{chapter}/*.trans.txt`; each part becomes a split of its own name.

    Args:
        root: the folder with the parts (`train-clean-100`, `dev-clean` ...), the one above it, or one part.
        parts: which parts to read; all that are there when None.

    Raises:
        UsageError: the folder is not LibriSpeech, or a part is not there.
    """
    layouts = ("*/*/*/*.trans.txt", "LibriSpeech/*/*/*/*.trans.txt", "*/*/*.trans.txt")
    folder = expect(Path(root), "LibriSpeech", *layouts).parents[3]
    found = sorted({path.parents[2].name for path in folder.glob("*/*/*/*.trans.txt")})
    if folder.resolve() == Path(root).resolve().parent:
        found = [Path(root).resolve().name]  # root is one part
    for part in parts or []:
        if part not in found:
            raise UsageError(f"{folder}: no part {part!r}; there are: {', '.join(found)}")
    problems: list[str] = []
    return Corpus({part: _part(folder / part, problems) for part in parts or found}, problems)


def _part(folder: Path, problems: list[str]) -> list[Utterance]:
    utterances = []
    find_audio = AudioFinder()
    for transcripts in sorted(folder.glob("*/*/*.trans.txt")):
        speaker = transcripts.parents[1].name
        for number, line in read_text(transcripts, problems):
            name, _, text = line.strip().partition(" ")
            if not text.strip():
                problems.append(f"{transcripts}:{number}: expected 'id TEXT', found {line!r}")
                continue
            audio = str(find_audio(transcripts.parent / name))
            utterances.append(Utterance(audio, 0.0, text.strip(), name, speaker=speaker))
    return utterances

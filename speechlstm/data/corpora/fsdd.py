"""The Free Spoken Digit Dataset: single digits by a few speakers, 8 kHz."""

from __future__ import annotations

import re
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, expect
from speechlstm.types import UsageError, Utterance

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"(\d)_(.+)_(\d+)")


def read(root: str | Path, held_out_speaker: str | None = None) -> Corpus:
    """Read `recordings/{digit}_{speaker}_{index}`.

    The official test part is index 0 to 4 of every speaker and digit, so it shares its speakers with `train`;
    name a `held_out_speaker` to measure on a speaker that is in no other part.

    Args:
        root: the folder with `recordings/`.
        held_out_speaker: all recordings of this speaker become `test`, and nothing else does.

    Raises:
        UsageError: the folder is not this corpus, or has no such speaker.
    """
    folder = expect(Path(root), "the Free Spoken Digit Dataset", "recordings")
    splits: dict[str, list[Utterance]] = {"train": [], "test": []}
    problems: list[str] = []
    speakers = set[str]()
    for path in audio_files(folder):
        match = _NAME.fullmatch(path.stem)
        if not match:
            problems.append(f"{path}: expected a name like 7_jackson_32{path.suffix}")
            continue
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        speakers.add(speaker)
        in_test = speaker == held_out_speaker if held_out_speaker else index < 5
        utterance = Utterance(str(path), 0.0, DIGITS[digit], path.stem, speaker=speaker)
        splits["test" if in_test else "train"].append(utterance)
    if held_out_speaker and held_out_speaker not in speakers:
        raise UsageError(
            f"{folder}: no speaker {held_out_speaker!r}; there are: {', '.join(sorted(speakers))}"
        )
    return Corpus({name: split for name, split in splits.items() if split}, problems, few_speakers=True)

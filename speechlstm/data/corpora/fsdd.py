"""The Free Spoken Digit Dataset: single digits by a few speakers, 8 kHz."""

from __future__ import annotations

import re
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, expect, hold_out
from speechlstm.types import UsageError, Utterance

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"(\d)_(.+)_(\d+)")


def read(
    root: str | Path, held_out_speaker: str | None = None, dev_fraction: float = 0.1, seed: int = 0
) -> Corpus:
    """Read `recordings/{digit}_{speaker}_{index}`.

    The official test part is index 0 to 4 of every speaker and digit, so it shares its speakers with `train`;
    name a `held_out_speaker` to measure on somebody the model has never heard. `dev` is a random part of what
    is left, recordings of the speakers of `train`.

    Args:
        root: the folder with `recordings/`.
        held_out_speaker: all recordings of this speaker become `test`, and nothing else does.
        dev_fraction: share of the rest that becomes `dev`.
        seed: of the choice of `dev`.

    Raises:
        UsageError: the folder is not this corpus, or has no such speaker.
    """
    folder = expect(Path(root), "the Free Spoken Digit Dataset", "recordings")
    rest: list[Utterance] = []
    test: list[Utterance] = []
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
        (test if in_test else rest).append(utterance)
    if held_out_speaker and held_out_speaker not in speakers:
        raise UsageError(
            f"{folder}: no speaker {held_out_speaker!r}; there are: {', '.join(sorted(speakers))}"
        )
    chosen = {utterance.id for utterance in hold_out_recordings(rest, dev_fraction, seed)}
    splits = {
        "train": [utterance for utterance in rest if utterance.id not in chosen],
        "dev": [utterance for utterance in rest if utterance.id in chosen],
        "test": test,
    }
    return Corpus({name: split for name, split in splits.items() if split or name == "train"}, problems)


def hold_out_recordings(utterances: list[Utterance], fraction: float, seed: int) -> list[Utterance]:
    """Choose a share of each speaker's recordings."""
    chosen: list[Utterance] = []
    for speaker in sorted({utterance.speaker or "" for utterance in utterances}):
        own = [utterance for utterance in utterances if utterance.speaker == speaker]
        chosen += hold_out(own, fraction, seed)[1]
    return chosen

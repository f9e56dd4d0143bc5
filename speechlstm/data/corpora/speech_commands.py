"""Google Speech Commands: one command word a clip, thousands of speakers, 16 kHz."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, expect, read_text
from speechlstm.types import Utterance

_NAME = re.compile(r"(.+)_nohash_(\d+)")
_MAX_CLIPS = 2**27 - 1  # the corpus authors' MAX_NUM_WAVS_PER_CLASS


def read(root: str | Path, dev_percent: float = 10.0, test_percent: float = 10.0) -> Corpus:
    """Read `{word}/{speaker}_nohash_{n}`; `_background_noise_` has no words and is not read.

    The published `validation_list.txt` and `testing_list.txt` decide the splits where they are there;
    otherwise the rule they were made with does, a hash of the speaker's name. So a speaker is always in one
    split only, and the parts do not change when clips are added.

    Args:
        root: the folder with one folder per word.
        dev_percent: about what percentage of the speakers goes to `dev`, without lists.
        test_percent: the same for `test`.

    Raises:
        UsageError: the folder is not this corpus.
    """
    root = expect(Path(root), "Speech Commands", "*/*_nohash_*").parents[1]
    problems: list[str] = []
    listed = {
        line.strip().rpartition(".")[0]: split
        for split, name in (("dev", "validation_list.txt"), ("test", "testing_list.txt"))
        if (root / name).is_file()
        for _, line in read_text(root / name, problems)
    }
    splits: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "._"):
        for path in audio_files(folder):
            match = _NAME.fullmatch(path.stem)
            if not match:
                problems.append(f"{path}: expected a name like 0a7c2a8d_nohash_0{path.suffix}")
                continue
            split = which_split(match[1], dev_percent, test_percent)
            if listed:
                split = listed.get(f"{folder.name}/{path.stem}", "train")
            name = f"{folder.name}_{path.stem}"  # a speaker's file names repeat in every word's folder
            splits[split].append(Utterance(str(path), 0.0, folder.name, name, speaker=match[1]))
    return Corpus({name: split for name, split in splits.items() if split}, problems)


def which_split(speaker: str, dev_percent: float, test_percent: float) -> str:
    """Return the split of a speaker by `which_set` of the corpus's README, as other work has it."""
    number = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = number % (_MAX_CLIPS + 1) * (100.0 / _MAX_CLIPS)
    if percent < dev_percent:
        return "dev"
    return "test" if percent < dev_percent + test_percent else "train"

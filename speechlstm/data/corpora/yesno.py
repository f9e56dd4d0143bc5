"""The yesno corpus (OpenSLR 1): "yes" and "no" in Hebrew, eight words a file, one speaker, 8 kHz."""

from __future__ import annotations

import re
from pathlib import Path

from speechlstm.data.corpora.base import Corpus, audio_files, expect
from speechlstm.types import Utterance

_TRAIN_FILES = 31  # as in Kaldi's recipe: the first 31 of 60 by name, the other 29 to test


def read(root: str | Path) -> Corpus:
    """Read `waves_yesno/1_0_...`: the file name is the transcript, 1 for yes and 0 for no.

    Args:
        root: the folder with `waves_yesno/`, or that folder.

    Raises:
        UsageError: the folder is not this corpus.
    """
    folder = expect(Path(root), "yesno", "waves_yesno", "[01]_[01]_[01]_[01]*")
    folder = folder if folder.is_dir() else folder.parent
    utterances, problems = [], []
    for path in audio_files(folder):
        if not re.fullmatch(r"[01](_[01])*", path.stem):
            problems.append(f"{path}: expected a name like 0_1_1_0_1_0_0_1{path.suffix}")
            continue
        text = " ".join("yes" if word == "1" else "no" for word in path.stem.split("_"))
        utterances.append(Utterance(str(path), 0.0, text, path.stem, speaker="yesno"))
    splits = {"train": utterances[:_TRAIN_FILES], "test": utterances[_TRAIN_FILES:]}
    return Corpus(splits, problems)

"""CMU AN4: spelled names, addresses, numbers and commands, 16 kHz."""

from __future__ import annotations

import re
from pathlib import Path

from speechlstm.data.corpora.base import AudioFinder, Corpus, expect, read_text
from speechlstm.types import Utterance

_LINE = re.compile(r"(.*)\((\S+)\)\s*$")


def read(root: str | Path) -> Corpus:
    """Read AN4 in its published layout; audio may be sph, raw, wav or flac.

    `train` is the official train part without the utterances that `dev.ids` lists, which are `dev`, if that file is
    there. `test` is the official test part, if it is there.

    Args:
        root: the folder with `etc/` and `wav/`.

    Raises:
        UsageError: the folder is not AN4.
    """
    root = expect(Path(root), "AN4", "etc/an4_train.fileids", "an4/etc/an4_train.fileids").parents[1]
    problems: list[str] = []
    splits = {"train": _part(root, "train", problems)}
    if (root / "etc" / "an4_test.fileids").is_file():
        splits["test"] = _part(root, "test", problems)
    if (root / "dev.ids").is_file():
        dev = {line.split()[0] for _, line in read_text(root / "dev.ids", problems)}
        unknown = sorted(dev - {utterance.id for utterance in splits["train"]})
        problems += [f"{root / 'dev.ids'}: {name} is not in an4_train.fileids" for name in unknown]
        official = splits.pop("train")
        splits = {
            "train": [utterance for utterance in official if utterance.id not in dev],
            "dev": [utterance for utterance in official if utterance.id in dev],
        } | splits
    return Corpus(splits, problems)


def _part(root: Path, part: str, problems: list[str]) -> list[Utterance]:
    transcription = expect(root, "AN4", f"etc/an4_{part}.transcription")
    texts: dict[str, str] = {}
    for number, line in read_text(transcription, problems):
        match = _LINE.match(line)
        if match:
            texts[match[2]] = " ".join(word for word in match[1].split() if word not in ("<s>", "</s>"))
        else:
            problems.append(f"{transcription}:{number}: expected 'TEXT (id)', found {line!r}")
    utterances = []
    find_audio = AudioFinder()
    for number, line in read_text(root / "etc" / f"an4_{part}.fileids", problems):
        stem = root / "wav" / line.strip()
        if stem.name not in texts:
            problems.append(
                f"{root / 'etc'}/an4_{part}.fileids:{number}: {stem.name} is not in {transcription.name}"
            )
            continue
        audio = str(find_audio(stem))
        utterances.append(Utterance(audio, 0.0, texts[stem.name], stem.name, speaker=stem.parent.name))
    return utterances

"""Mozilla Common Voice: read sentences in many languages, one folder per language."""

from __future__ import annotations

from pathlib import Path

from speechlstm.data.corpora.base import Corpus, expect, read_text
from speechlstm.types import Utterance

_COLUMNS = ("path", "sentence")


def read(root: str | Path) -> Corpus:
    """Read `train.tsv`, `dev.tsv` and `test.tsv`, whichever are there, and the audio in `clips/`.

    Args:
        root: a language's folder, with `clips/` and the `.tsv` files.

    Raises:
        UsageError: the folder is not Common Voice.
    """
    root = expect(Path(root), "one language of Common Voice", "train.tsv", "test.tsv", "dev.tsv").parent
    expect(root, "one language of Common Voice", "clips")
    problems: list[str] = []
    tables = [root / f"{name}.tsv" for name in ("train", "dev", "test")]
    return Corpus({table.stem: _table(table, problems) for table in tables if table.is_file()}, problems)


def _table(table: Path, problems: list[str]) -> list[Utterance]:
    lines = read_text(table, problems)
    columns = lines[0][1].split("\t") if lines else []
    absent = [column for column in _COLUMNS if column not in columns]
    if absent:
        problems.append(f"{table}:1: no column {' and no column '.join(absent)}; found {columns}")
        return []
    utterances = []
    for number, line in lines[1:]:
        row = dict(zip(columns, line.split("\t"), strict=False))  # nothing is quoted
        if not row.get("path") or not row.get("sentence"):
            problems.append(f"{table}:{number}: no {'sentence' if row.get('path') else 'path'}")
            continue
        clip = table.parent / "clips" / row["path"]
        if not clip.suffix:  # early releases leave it out
            clip = clip.with_suffix(".mp3")
        speaker, lang = row.get("client_id"), row.get("locale")
        utterance = Utterance(
            str(clip), 0.0, row["sentence"], clip.stem, speaker=speaker or None, lang=lang or None
        )
        utterances.append(utterance)
    return utterances

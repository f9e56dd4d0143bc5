"""A lexicon whose pronunciations have probabilities, as a text and as a file."""

from __future__ import annotations

from pathlib import Path

LEXICON = "ay 0.7 A\nay(2) 0.3 B\nbee B\nba 0.5 B A\nba(2) 0.25 A\nba(3) 0.25 B B\n"


def phones_file(folder: Path, content: str) -> Path:
    path = folder / "p.dic"
    path.write_text(content)
    return path

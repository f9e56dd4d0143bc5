"""Warmed processes, and a folder with all that a command needs."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm import Server

import speechlstm

SAMPLES = Path(speechlstm.__file__).parent / "data/samples"


@pytest.fixture(scope="session")
def warm() -> Iterator[Server]:
    """A process that has imported the commands."""
    server = Server(
        "transcribe", "evaluate", "align", "train", "lm", "inspect", "listen", "validate", "compare", "tune"
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def cold() -> Iterator[Server]:
    """A process that has imported nothing."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with recordings, their manifest, and texts."""
    folder = tmp_path / "work"
    shutil.copytree(SAMPLES, folder)
    chance = random.Random(0)  # words as uneven as in speech: enough for the discounts of an n-gram model
    lengths = (chance.randint(2, 5) for _ in range(150))
    sentences = [[f"word{int(60 * chance.random() ** 3)}" for _ in range(length)] for length in lengths]
    (folder / "text.txt").write_text("".join(" ".join(words) + "\n" for words in sentences))
    return folder

"""A process that is not warm, and folders and files that many tests of this kind need."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from warm import Server

import speechlstm

SAMPLES = Path(speechlstm.__file__).parent / "data/samples"


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


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the whole file of an ending, which is written when it is first asked for."""
    from speech_files import whole  # imports PyAV: not for tests without audio

    folder = tmp_path_factory.mktemp("audio")

    @cache
    def make(ending: str) -> Path:
        return whole(folder, ending)

    return make


@pytest.fixture(scope="session")
def sound_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a bundle that is as it should be, to be left so."""
    from tiny_bundle import make  # imports torch: not for tests without a model

    from speechlstm.model.selftest import save_bundle

    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(make(), folder, "")
    return folder


@pytest.fixture
def tiny(sound_bundle: Path, tmp_path: Path) -> Path:
    """Return the folder of a bundle that may be damaged."""
    return Path(shutil.copytree(sound_bundle, tmp_path / "tiny"))


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Return a function that trains, and returns the status and the errors; no traceback is ever printed."""
    from tones import command

    def call(*overrides: str) -> tuple[int, str]:
        capfd.readouterr()
        status = command(monkeypatch, "out=run", *overrides)
        shown = capfd.readouterr().err
        assert "Traceback" not in shown
        errors = [line for line in shown.splitlines() if line.startswith("error: ")]
        assert len(errors) == (status in (1, 2)), shown
        return status, shown

    return call

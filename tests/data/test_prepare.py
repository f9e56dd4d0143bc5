"""`speechlstm prepare`: manifests, the table, and what is said when something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlstm.cli import prepare
from speechlstm.data.manifest import read_manifest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs the command in an empty folder and gives exit status, stdout and stderr."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
        status = 0
        try:
            prepare.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty files of half a second by two speakers, each with its text."""
    for number in range(20):
        path = tmp_path / "corpus" / f"speaker{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(4000, 0.1), 8000)
        path.with_suffix(".txt").write_text("one two")
    return tmp_path / "corpus"


def test_manifests_and_table(run: Run, folder: Path) -> None:
    status, out, err = run(
        "corpus=text_files", f"root={folder}", "out=made/here", "corpus.speaker_from_folder=true"
    )
    assert (status, err) == (0, "")
    header, train, dev = (line.split() for line in out.splitlines())
    assert header == ["split", "utterances", "speakers", "hours", "words", "manifest"]
    assert train == ["train", "10", "1", "0.00", "20", "made/here/train.jsonl"]
    assert dev == ["dev", "10", "1", "0.00", "20", "made/here/dev.jsonl"]
    made = read_manifest("made/here/train.jsonl")
    assert {(u.duration, u.text) for u in made} == {(0.5, "one two")}
    assert len({u.speaker for u in made}) == 1
    assert sorted(path.name for path in Path.cwd().rglob("*")) == ["dev.jsonl", "here", "made", "train.jsonl"]


def test_the_folder_is_named_after_the_corpus_and_may_move_with_its_audio(run: Run, folder: Path) -> None:
    assert run("corpus=text_files", f"root={folder}")[0] == 0
    assert Path("data/text_files/train.jsonl").is_file()
    assert run("corpus=text_files", f"root={folder}", f"out={folder}")[0] == 0
    entry = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    assert entry["audio_filepath"] == "speaker0/0.wav"
    moved = folder.rename(folder.parent / "elsewhere")
    assert Path(read_manifest(moved / "train.jsonl")[0].audio_filepath) == moved / "speaker0" / "0.wav"


def test_broken_files_are_named_and_the_others_written(run: Run, folder: Path) -> None:
    (folder / "speaker0" / "0.wav").write_bytes(b"")
    (folder / "speaker1" / "1.txt").unlink()
    status, out, err = run("corpus=text_files", f"root={folder}")
    assert status == 3
    assert f"left out: {folder}/speaker0/0.wav: empty (0 bytes)" in err
    assert f"left out: {folder}/speaker1/1.wav: no 1.txt beside it" in err
    assert "2 left out, named above" in err
    assert sum(len(read_manifest(f"data/text_files/{name}.jsonl")) for name in ("train", "dev")) == 18
    assert "data/text_files/train.jsonl" in out


def test_nothing_usable_writes_nothing(run: Run, folder: Path) -> None:
    for path in folder.rglob("*.wav"):
        path.write_text("no sound")
    status, out, err = run("corpus=text_files", f"root={folder}")
    assert (status, out) == (1, "")
    assert f"error: {folder}: no usable utterances (20 left out), nothing written" in err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "corpus is not set: add corpus=... with one of: an4, audiofolder, common_voice"),
        (["corpus=an5"], "no corpus 'an5'; did you mean 'an4'?; there are: an4, audiofolder"),
        (["corpus=an4"], "root is not set: add root=..."),
        (
            ["corpus=an4", "root=/nowhere"],
            "/nowhere: no such folder; root= must be the folder that holds AN4",
        ),
        *(
            ([f"{setting}", "corpus=an4", "root=."], f"{setting.partition('=')[0]} is ")
            for setting in (
                "threads=0",
                "threads=x",
                "seed=-1",
                "seed=x",
                "seed=1e20",
                "dev_fraction=1",
                "dev_fraction=x",
            )
        ),
        (["corpus=an4", "root=."], ".: not AN4: expected etc/an4_train.fileids"),
        (["corpus=fsdd", "root=.", "corpus.held_out_speker=0"], "did you mean 'corpus.held_out_speaker'"),
        (["corpus=an4", "rot=."], "no setting 'rot'; did you mean 'root'"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_place_that_cannot_be_written(run: Run, folder: Path) -> None:
    Path("file").write_text("in the way")
    status, _, err = run("corpus=text_files", f"root={folder}", "out=file/below")
    assert status == 2
    assert err == "error: out=file/below: file is a file, but must be a folder; choose another out=\n"

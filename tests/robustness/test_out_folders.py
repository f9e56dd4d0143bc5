"""A file where a command is to make a folder: wrong usage, one sentence, and the file stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from warm import Server

COMMANDS = {
    "align": "manifest=samples.jsonl bundle=small",
    "compare": "tasks=[adding:30] networks=[rnn] workers=1",
    "inspect": "stop.flac bundle=small png=false",
    "listen": "manifest=samples.jsonl",
    "prepare": "corpus=text_files root=spoken",
    "train": "data.train=samples.jsonl data.dev=samples.jsonl",
    "transcribe": "stop.flac bundle=small",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("out", ["text.txt", "text.txt/new", "text.txt/new/newer"])
def test_a_file_is_no_folder(warm: Server, work: Path, command: str, out: str) -> None:
    if out == "text.txt" and command == "transcribe":
        (work / "text.txt").rename(work / "text")
        out = "text"
    (work / "spoken").mkdir()
    shutil.copy(work / "stop.flac", work / "spoken")
    (work / "spoken/stop.txt").write_text("stop")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    ended = warm.run(work, command, *COMMANDS[command].split(), f"out={out}")
    assert (ended.status, ended.out) == (2, ""), ended
    assert ended.err.startswith(f"error: out={out}") and ended.err.count("\n") == 1
    assert " is a file, but must be a folder" in ended.err and "choose another out=" in ended.err
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()} == before

"""Where commands write: files of others, inputs, folders, and the standard output, alike for each."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from spelling import SpellingBundle, write

import speechlstm
from speechlstm.cli import align, evaluate, lexicon, listen, lm, prepare, train, transcribe
from speechlstm.data.files import write_atomically
from speechlstm.types import SpeechlstmError, UsageError

Run = Callable[..., tuple[int, str, str]]


ONE_FILE: dict[str, tuple[ModuleType, list[str], str]] = {  # module, arguments, what it reads
    "lm": (lm, ["text=in.txt", "order=1", "out={}"], "in.txt"),
    "lexicon": (lexicon, ["lexicon=in.dic", "words=in.txt", "out={}"], "in.dic"),
    "align": (align, ["manifest=in.jsonl", "out={}.ctm"], "in.jsonl"),
    "transcribe": (transcribe, ["a.wav", "b.wav", "format=txt", "out={}.txt"], "a.wav"),
    "evaluate": (evaluate, ["manifest=in.jsonl", "out={}"], "in.jsonl"),
    "report": (evaluate, ["manifest=in.jsonl", "report_audio=0", "report={}"], "in.jsonl"),
}
MANY_FILES: dict[str, tuple[ModuleType, list[str], str]] = {
    "align": (align, ["manifest=in.jsonl", "format=json", "out=o"], "json"),
    "transcribe": (transcribe, ["a.wav", "b.wav", "format=srt", "out=o"], "srt"),
    "listen": (listen, ["manifest=in.jsonl", "augment=none", "out=o"], "wav"),
}


@pytest.fixture
def work(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with two recordings, their manifest and texts, on the spelling bundle."""
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    lines = []
    for name in "ab":
        write(Path(f"{name}.wav"), "yes", 0.5)
        lines.append({"audio_filepath": f"{name}.wav", "duration": 0.5, "text": "yes"})
    Path("in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("in.txt").write_text("yes no\n" * 3)
    Path("in.dic").write_text("yes Y EH S\nno N OW\n")
    return empty


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ONE_FILE)
def test_a_command_that_writes_one_file(name: str, work: Path, run_command: Run) -> None:
    command, arguments, read = ONE_FILE[name]

    def run(out: str, *more: str) -> tuple[int, str]:
        status, _, err = run_command(command, *(each.format(out) for each in arguments), *more)
        assert "Traceback" not in err
        return status, err

    suffix = {"transcribe": ".txt", "align": ".ctm"}.get(name, "")
    before = contents()
    if not suffix:  # else no input can have the name of an output
        status, err = run(read, "overwrite=true")
        assert status == 2 and f"error: {read}: is read by this command" in err
    Path("mine" + suffix).write_text("by hand")
    status, err = run("mine")
    assert status == 2 and f"error: mine{suffix}: exists" in err and err.count("\n") == 1
    if not suffix:  # else a folder is where files go
        Path("folder").mkdir()
        status, err = run("folder")
        assert status == 2 and "folder: a folder, but must be a file" in err
        for absent in ("new/", "a/new/.", "folder/"):
            status, err = run(absent)
            assert status == 2 and f"{absent}: a folder, but must be a file" in err
        Path("folder").rmdir()
    os.mkfifo("fifo" + suffix)
    status, err = run("fifo")
    assert status == 2 and f"fifo{suffix}: a FIFO, but must be a file" in err
    assert contents() == before | {f"mine{suffix}": b"by hand"}, "nothing is written"
    for more in ("overwrite=true", "overwrite=false"):  # the second time it is the program's own
        status, err = run("mine", more)
        assert status == 0, err
    assert contents()["mine" + suffix] not in (b"", b"by hand")
    assert contents().keys() == before.keys() | {f"mine{suffix}"}


DATA = {  # what begins the data, and a part of the messages
    "lm": ("\\data\\\n", "perplexity"),
    "lexicon": ("yes Y EH S\n", "as in the lexicon"),
    "align": ("a 1 0.", ""),
    "transcribe": ("a.wav: yes\nb.wav: yes\n", ""),
    "evaluate": ('{"audio_filepath":', "real-time factor"),
    "report": ("<!doctype html>", "real-time factor"),
}


@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
@pytest.mark.parametrize("name", DATA)
def test_data_on_the_standard_output_is_alone_there(
    name: str, out: str, work: Path, run_command: Run
) -> None:
    command, arguments, _ = ONE_FILE[name]
    given = [re.sub(r"{}.*", out, each) for each in arguments] + ["format=ctm"] * (name == "align")
    before = contents()
    status, printed, err = run_command(command, *given)
    begin, message = DATA[name]
    assert status == 0 and printed.lower().startswith(begin.lower()), err
    assert message in err and (not message or message not in printed)
    assert contents() == before
    for line in printed.splitlines() if name == "evaluate" else ():
        assert json.loads(line)["pred_text"] == "yes"


def test_two_files_on_the_standard_output_are_refused(work: Path, run_command: Run) -> None:
    status, out, err = run_command(evaluate, "manifest=in.jsonl", "out=-", "report=/dev/stdout")
    assert (status, out) == (2, "") and "out and report are the same file" in err


@pytest.mark.parametrize("absent", ["new/", "new/.", "a/new.srt/", "./new.json/"])
def test_a_name_that_ends_in_a_slash_is_a_folder(absent: str, work: Path, run_command: Run) -> None:
    assert run_command(transcribe, "a.wav", "format=srt", f"out={absent}")[0] == 0
    assert [path.name for path in Path(absent).iterdir()] == ["a.srt"]
    status, _, err = run_command(align, "manifest=in.jsonl", "format=ctm", "out=words.ctm/")
    assert status == 2 and "name a file, not out=words.ctm/" in err
    assert run_command(align, "manifest=in.jsonl", "format=json", f"out={absent}")[0] == 0
    assert {path.name for path in Path(absent).iterdir()} == {"a.srt", "a.json", "b.json"}


@pytest.mark.parametrize("name", MANY_FILES)
def test_a_command_that_writes_many_files(name: str, work: Path, run_command: Run) -> None:
    command, arguments, kind = MANY_FILES[name]
    Path(f"o/a.{kind}").mkdir(parents=True)
    status, _, err = run_command(command, *arguments)
    assert status == 3 and f"failed: o/a.{kind}: a folder, but must be a file" in err
    assert Path(f"o/b.{kind}").read_bytes(), "the other is there"
    Path(f"o/a.{kind}").rmdir()
    Path(f"o/a.{kind}").write_text("by hand")
    Path(f"o/b.{kind}").unlink()
    status, _, err = run_command(command, *arguments)
    assert Path(f"o/a.{kind}").read_text() == "by hand" and Path(f"o/b.{kind}").read_bytes()
    assert status == (0 if name == "transcribe" else 3) and (
        "there already" in err or f"a.{kind}: exists" in err
    )
    assert run_command(command, *arguments, "overwrite=true")[0] == 0
    assert Path(f"o/a.{kind}").read_bytes() != b"by hand"


def test_listening_never_replaces_the_recordings(work: Path, run_command: Run) -> None:
    before = contents()
    status, _, err = run_command(listen, "manifest=in.jsonl", "augment=none", "out=.", "overwrite=true")
    assert status == 1 and "failed: a.wav: is read by this command" in err
    assert {name: content for name, content in contents().items() if name in before} == before


def test_a_manifest_edited_by_hand_is_kept(work: Path, run_command: Run) -> None:
    for name in "ab":
        Path(f"{name}.txt").write_text("yes")
    arguments = ["corpus=text_files", "root=.", "out=o", "dev_fraction=0"]
    assert run_command(prepare, *arguments)[0] == 3  # in.txt is no recording's
    assert run_command(prepare, *arguments)[0] == 3
    edited = Path("o/train.jsonl").read_text().replace("yes", "no")
    Path("o/train.jsonl").write_text(edited)
    status, _, err = run_command(prepare, *arguments)
    assert status == 2 and "o/train.jsonl: exists" in err
    assert Path("o/train.jsonl").read_text() == edited


def test_one_output_that_cannot_be_written_does_not_take_the_other(work: Path, run_command: Run) -> None:
    Path("file").touch()
    status, out, err = run_command(
        evaluate, "manifest=in.jsonl", "out=file/x.jsonl", "report=r.html", "report_audio=0"
    )
    assert status in (1, 3) and "file/x.jsonl: Not a directory" in err
    assert status == 1 or (Path("r.html").exists() and "words" in out)


def test_a_bundle_belongs_to_one_training(empty: Path) -> None:
    first, second, bundle = (Path(name).resolve() for name in ("first", "second", "bundle"))
    with contextlib.ExitStack() as held:
        train.reserve(bundle, first, held)
        with (
            contextlib.ExitStack() as also,
            pytest.raises(SpeechlstmError, match="has been writing here since"),
        ):
            train.reserve(bundle, second, also)
    write_atomically(bundle / "config.json", "{}")
    write_atomically(first / "score.json", json.dumps({"bundle": str(bundle)}))
    with contextlib.ExitStack() as held:
        train.reserve(bundle, first, held)  # again, for some more epochs
    with contextlib.ExitStack() as held, pytest.raises(UsageError, match="is another training's bundle"):
        train.reserve(bundle, second, held)

"""The command line of `align`: one file an utterance or one for all, and every failure named."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from spelling import SpellingBundle, write

import speechlstm
from speechlstm.cli import align as command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SpellingBundle:
    """Put the spelling bundle where the shipped one is loaded, and work in a folder with a manifest."""
    made = SpellingBundle()
    monkeypatch.setattr(speechlstm, "load", lambda path, device: made)
    monkeypatch.chdir(tmp_path)
    manifest("m.jsonl", "yes no", "go", "what is it")
    return made


@pytest.fixture
def run(bundle: SpellingBundle, run_command: Run) -> Run:
    """Return a function that runs the command and gives exit status, stdout and stderr."""
    return partial(run_command, command)


def manifest(path: str, *texts: str, ids: tuple[str, ...] = ()) -> None:
    """Write a manifest and audio that spells its texts."""
    lines = []
    for number, text in enumerate(texts):
        audio = write(Path(f"audio/{number}.wav"), text, 0.5)
        entry = {"audio_filepath": str(audio), "duration": 0.5, "text": text}
        lines.append(json.dumps(entry | ({"id": ids[number]} if ids else {})))
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def written(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_textgrids_by_default_one_an_utterance(run: Run) -> None:
    assert run("manifest=m.jsonl", "out=o") == (0, "", "")
    assert written("o") == ["0.TextGrid", "1.TextGrid", "2.TextGrid"]
    grid = Path("o/2.TextGrid").read_text()
    assert re.findall(r'name = "(\w+)"', grid) == ["words", "tokens"]
    assert [text for text in re.findall(r'text = "(\w+)"', grid) if len(text) > 1] == ["what", "is", "it"]


@pytest.mark.parametrize(
    ("format", "begins"), [("json", '{"audio"'), ("srt", "1\n00:00:00,"), ("VTT", "WEBVTT\n"), ("textgrid", "File")]
)  # fmt: skip
def test_every_format(format: str, begins: str, run: Run) -> None:
    assert run("manifest=m.jsonl", "out=o", f"format={format}") == (0, "", "")
    files = list(Path("o").iterdir())
    assert len(files) == 3
    assert all(path.read_text().startswith(begins) for path in files)


def test_ctm_is_one_file_in_the_order_of_the_manifest(run: Run) -> None:
    assert run("manifest=m.jsonl", "out=deep/all.ctm", "format=ctm", "batch_seconds=0.1") == (0, "", "")
    lines = [line.split() for line in Path("deep/all.ctm").read_text().splitlines()]
    assert [(line[0], line[4]) for line in lines] == [
        ("0", "yes"), ("0", "no"), ("1", "go"), ("2", "what"), ("2", "is"), ("2", "it"),
    ]  # fmt: skip
    assert all(len(line) == 6 and float(line[2]) >= 0 and float(line[3]) > 0 for line in lines)


def test_a_name_that_ends_in_a_format_is_a_file(run: Run) -> None:
    assert run("manifest=m.jsonl", "out=all.json")[0] == 0
    lines = Path("all.json").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["yes no", "go", "what is it"]
    assert run("manifest=m.jsonl", "out=all.ctm")[0] == 0
    assert Path("all.ctm").read_text().startswith("0 1 ")
    status, _, err = run("manifest=m.jsonl", "out=all.srt")
    assert status == 2 and "out=all.srt is one file, but m.jsonl has 3 utterances" in err
    assert run("manifest=m.jsonl", "out=o", "format=srt,json") == (0, "", "")
    assert len(written("o")) == 6
    manifest("one.jsonl", "yes")
    assert run("manifest=one.jsonl", "out=one.srt")[0] == 0
    assert Path("one.srt").read_text().startswith("1\n00:00:00,")


def test_stretches_of_one_file_are_told_apart_by_their_ids(run: Run) -> None:
    audio = str(write(Path("long.wav"), "abcd"))
    lines = [
        {"audio_filepath": audio, "duration": 0.12, "text": "ab", "offset": 0.0},
        {"audio_filepath": audio, "duration": 0.12, "text": "cd", "offset": 0.12},
    ]
    Path("s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("manifest=s.jsonl", "out=s.ctm", "format=ctm")[0] == 0
    first, second = (line.split() for line in Path("s.ctm").read_text().splitlines())
    assert (first[0], first[4], second[0], second[4]) == ("long", "ab", "long@0.12", "cd")
    assert first[2] == second[2] == "0.000"


def test_ids_become_file_names_and_ctm_names(run: Run) -> None:
    ids = ("a/../b", ".hidden", "50%", "日本 \x1b\n語.x")
    manifest("i.jsonl", "a", "b", "c", "d", ids=ids)
    assert run("manifest=i.jsonl", "out=o", "format=json") == (0, "", "")
    assert written("o") == sorted(["a/%2E./b.json", "%2Ehidden.json", "50%25.json", "日本 %1B%0A語.x.json"])
    assert run("manifest=i.jsonl", "out=i.ctm", "format=ctm") == (0, "", "")
    names = [line.split()[0] for line in Path("i.ctm").read_text().splitlines()]
    assert names == ["a%2F%2E.%2Fb", "%2Ehidden", "50%25", "日本_%1B%0A語.x"]


def test_failures_are_named_and_the_others_go_on(run: Run) -> None:
    manifest("f.jsonl", "yes", "a", "go", "no")
    lines = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    lines[1]["text"] = "7"
    lines[2]["text"] = "go much more than anyone can speak in half the time"
    Path("f.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("audio/3.wav").write_bytes(b"nothing")
    status, out, err = run("manifest=f.jsonl", "out=o")
    assert (status, out) == (3, "")
    assert "failed: 1: '7' (1) not in the tokenizer's characters" in err
    lost = "'much more than anyone can speak in half the time' at 0.1"
    assert f"failed: 2: no speech for {lost}" in err
    assert "failed: " in err and "audio/3.wav: " in err
    assert err.endswith("3 of 4 failed, named above\n")
    assert "Traceback" not in err
    assert written("o") == ["0.TextGrid", "2.TextGrid"]
    assert run("manifest=f.jsonl", "out=f.ctm", "format=ctm")[0] == 3
    assert {line.split()[0] for line in Path("f.ctm").read_text().splitlines()} == {"0", "2"}


def test_nothing_but_failures_writes_nothing(run: Run) -> None:
    for path in Path("audio").iterdir():
        path.unlink()
    assert run("manifest=m.jsonl", "out=o.ctm", "format=ctm")[0] == 1
    assert run("manifest=m.jsonl", "out=o")[0] == 1
    assert not Path("o.ctm").exists() and not Path("o").exists()


def test_what_is_done_is_whole_and_the_rest_is_not_there(run: Run, bundle: SpellingBundle) -> None:
    bundle.power_cut_after = 2
    assert run("manifest=m.jsonl", "out=o", "format=json", "batch_seconds=0.1", "threads=1")[0] == 130
    assert all(json.loads(path.read_text())["words"] for path in Path("o").iterdir())
    assert len(written("o")) == 2
    bundle.batches.clear()
    assert run("manifest=m.jsonl", "out=o.ctm", "format=ctm", "batch_seconds=0.1", "threads=1")[0] == 130
    assert not Path("o.ctm").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["out=o"], 2, "nothing to align: set manifest=FILE, or audio=FILE and text=FILE"),
        (["audio=a.wav", "out=o"], 2, "audio is set, but must be manifest=, or audio= and text="),
        (["manifest=m.jsonl", "text=t", "out=o"], 2, "manifest and text are set, but must be manifest=,"),
        (["audio=a.wav", "text=no.txt", "out=o"], 1, "error: no.txt: "),
        (["manifest=m.jsonl"], 2, "out is not set: add out=..."),
        (["manifest=none.jsonl", "out=o"], 1, "error: none.jsonl: cannot read the manifest"),
        (
            ["manifest=m.jsonl", "out=o", "format=doc"],
            2,
            "no format 'doc'; there are: TextGrid, json, ctm, srt, vtt",
        ),
        (["manifest=m.jsonl", "out=o", "format=textgird"], 2, "did you mean 'TextGrid'?"),
        (["manifest=m.jsonl", "out=o", "formt=json"], 2, "did you mean 'format'?"),
        (
            ["manifest=m.jsonl", "out=m.jsonl"],
            2,
            "out=m.jsonl is a file, but must be a folder, or end in .TextGrid, .json",
        ),
        (
            ["manifest=m.jsonl", "out=audio", "format=ctm"],
            2,
            "format=ctm is one file for all the words: name a file, not out=audio",
        ),
        (["manifest=m.jsonl", "out=o", "threads=0"], 2, "error: threads is 0"),
        (["manifest=case.jsonl", "out=o"], 2, "ids 'A' and 'a' differ only in case"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], status: int, message: str, run: Run) -> None:
    manifest("case.jsonl", "yes", "no", ids=("A", "a"))
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert message in err
    assert "Traceback" not in err


def test_the_shipped_recognizer_aligns_the_samples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = Path(speechlstm.__file__).parent / "data" / "samples" / "samples.jsonl"
    monkeypatch.setattr(
        sys, "argv", ["align.py", f"manifest={samples}", f"out={tmp_path / 'o'}", "format=json"]
    )
    command.main()
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "o").iterdir()}
    assert len(found) == 6
    words = found["number"]["words"]
    assert [word["text"] for word in words] == ["four", "one", "two", "five", "five", "oh", "one", "nine"]
    assert 0.1 < words[0]["start"] < 0.5 < words[1]["start"] < words[-1]["end"] <= found["number"]["duration"]

"""The command `transcribe`: any file name, any order, any broken file, and what it prints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from spelling import write

Run = Callable[..., tuple[int, str, str]]

ODD = [
    "an odd, name=1.wav",
    "${x} \\${y}'\".wav",
    "é€ 日本=[a].wav",
    "weird=name.wav",
    "~tilde",
    "-dash.wav",
    "???",
]


def test_one_file_prints_its_text(transcribe: Run) -> None:
    write(Path("a.wav"), "hello there")
    assert transcribe("a.wav") == (0, "hello there\n", "")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_transcribed(name: str, transcribe: Run) -> None:
    write(Path("a.wav"), "yes").rename(name)
    assert transcribe("threads=1", name, "format=json", "out=o") == (0, "", "")
    (document,) = Path("o").rglob("*.json")
    assert document.name == name.removesuffix(".wav") + ".json"
    assert json.loads(document.read_text())["audio"] == name
    assert not list(Path().glob("*.log"))


def test_a_name_that_is_not_unicode(transcribe: Run) -> None:
    name = os.fsdecode(b"bad\xff.wav")
    try:
        write(Path("a.wav"), "yes").rename(name)
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert transcribe(name, "format=json")[0] == 0
    assert transcribe(name, "out=o") == (0, "", "")
    assert Path(os.fsdecode(b"o/bad\xff.txt")).read_text() == "yes\n"


def test_several_files_are_printed_in_the_order_given(transcribe: Run) -> None:
    for name, seconds in (("t/b.wav", 3), ("t/a.wav", 2), ("z.wav", 4), ("y.wav", 1)):
        write(Path(name), Path(name).stem, seconds)
    status, out, err = transcribe("z.wav", "batch_seconds=2", "t", "decoder=greedy", "y.wav")
    assert (status, out, err) == (0, "z.wav: z\nt/a.wav: a\nt/b.wav: b\ny.wav: y\n", "")


def test_other_formats_follow_each_other(transcribe: Run) -> None:
    for name in "ab":
        write(Path(f"{name}.wav"), name)
    assert transcribe("a.wav", "b.wav", "format=ctm")[1].split("\n")[:2] == [
        "a 1 0.000 0.060 a 0.9034",
        "b 1 0.000 0.060 b 0.9034",
    ]
    assert [
        json.loads(line)["text"] for line in transcribe("a.wav", "b.wav", "format=JSON")[1].splitlines()
    ] == [
        "a",
        "b",
    ]


def test_a_part_is_transcribed(transcribe: Run) -> None:
    write(Path("a.wav"), "no go on")
    assert transcribe("a.wav", "start=0:00.18", "duration=0.12")[:2] == (0, "go\n")
    assert transcribe("a.wav", "start=0:00.18", "format=labels")[1].startswith("0.180\t")
    status, _, err = transcribe("a.wav", "start=1:x")
    wanted = "seconds, 0 or more and written as in 12.5, or a time such as 1:30 or 1:02:03.5, with minutes and seconds"
    assert (status, err) == (2, f"error: start=1:x, but must be {wanted} below 60 after a colon\n")
    assert (
        "a.wav: segment begins at 3600 s, but the file ends before" in transcribe("a.wav", "start=1:00:00")[2]
    )
    assert "a.wav: no track 1; its only audio track is 0" in transcribe("a.wav", "track=1")[2]
    assert transcribe("a.wav", "duration=5", "channel=each")[:2] == (0, "no go on\n")


def test_subtitles_have_the_limits_that_are_set(transcribe: Run) -> None:
    write(Path("a.wav"), "one two three")
    arguments = ("a.wav", "format=vtt", "subtitles.max_words=2", "subtitles.karaoke=true")
    assert re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "T", transcribe(*arguments)[1]) == (
        "WEBVTT\n\nT --> T\none <T>two\n\nT --> T\nthree\n"
    )
    status, _, err = transcribe("a.wav", "subtitles.max_width=0")
    assert status == 2 and "subtitles.max_width is 0, but must be" in err


@pytest.mark.parametrize("kind", ["srt", "vtt", "TextGrid"])
def test_formats_that_do_not_name_the_recording_get_a_heading(kind: str, transcribe: Run) -> None:
    for name in "ab":
        write(Path(f"{name}.wav"), name)
    first, second = (transcribe(f"{name}.wav", f"format={kind}")[1] for name in "ab")
    assert transcribe("a.wav", "b.wav", f"format={kind}") == (
        0,
        f"==> a.wav <==\n{first}\n==> b.wav <==\n{second}\n",
        "",
    )


def test_one_broken_file_stops_nothing(transcribe: Run) -> None:
    write(Path("good.wav"), "good")
    Path("broken.wav").write_bytes(b"RIFF then nothing")
    Path("empty").mkdir()
    status, out, err = transcribe("broken.wav", "good.wav", "missing.wav", "empty")
    assert (status, out) == (3, "good.wav: good\n")
    assert "failed: broken.wav: " in err
    assert "failed: missing.wav: " in err
    assert "failed: empty: no audio files" in err
    assert err.endswith("3 of 4 failed, named above\n")
    assert "Traceback" not in err


def test_nothing_but_broken_files_is_a_failure(transcribe: Run) -> None:
    assert transcribe("missing.wav")[0] == 1
    Path("empty").mkdir()
    assert transcribe("empty")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: no audio given; usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]"),
        (["", "a.wav"], "error: one of the files is '', an empty name; was a variable of the shell not set?"),
        (["a.wav", "format=str"], "error: no format 'str'; did you mean 'srt'?; there are: txt, json,"),
        (["a.wav", "formt=srt"], "did you mean 'format'?"),
        (["a.wav", "decoder=gready"], "greedy"),
        (
            ["a.wav", "out=b.mp4"],
            "error: out=b.mp4 is a .mp4 file by its name, but must be a folder, or end in .txt",
        ),
        (["a.wav", "out=x/b.docx"], "error: out=x/b.docx is a .docx file by its name, but must be a folder"),
        (["a.wav", "out=a.wav"], "error: out=a.wav is a file, but must be a folder, or end in .txt, .json,"),
        (
            ["a.wav", "out=x.srt", "format=json"],
            "out=x.srt is a file in the format srt by its name, but format=json",
        ),
        (
            ["a.wav", "b.wav", "out=x.srt"],
            "error: out=x.srt is one file, but 2 recordings are given: name a folder",
        ),
        (["a.wav", "format=srt,json"], "error: several formats are for files: add out=FOLDER"),
        (["a.wav", "format=srt,jsn", "out=o"], "error: no format 'jsn'; did you mean 'json'?"),
        (["a.wav", "threads=0"], "error: threads is 0, but must be"),
        (["a.wav", "batch_seconds=0"], "error: batch_seconds is 0, but must be"),
        (
            ["a.wav", "device=cpu"],
            "error: no setting 'device'; devices are chosen by trainer=cpu, trainer=gpu",
        ),
        (["a.wav", "inputs=[b.wav]"], "error: files are given both by name and as inputs=[...]"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str, transcribe: Run) -> None:
    write(Path("a.wav"), "a")
    status, out, err = transcribe(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err

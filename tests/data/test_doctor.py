"""The data doctor: each kind of problem is found, with its line, and nothing else is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.cli import validate
from speechlstm.data.doctor import cheap_checks, examine
from speechlstm.data.report import Problem, Report
from speechlstm.data.sound import clipped_share, loudest
from speechlstm.model.tokenizer import Characters
from speechlstm.types import ManifestError, Utterance

RATE = 8000


def noise(seed: int, seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-level, level, round(seconds * RATE)).astype(np.float32)


class Folder:
    """Makes a manifest line by line, with sound that has nothing wrong unless told otherwise."""

    def __init__(self, path: Path, name: str = "m.jsonl") -> None:
        self.path, self.manifest, self.lines = path, path / name, list[str]()
        for seed in range(10):
            self.add(f"{name}{seed}", noise(seed + 100 * len(name)))

    def add(self, name: str, samples: np.ndarray | None, text: str = "one two", **keys: Any) -> int:
        """Add a line and return its number."""
        if samples is not None:
            soundfile.write(self.path / f"{name}.wav", samples, RATE, subtype="FLOAT")
        entry = {"audio_filepath": f"{name}.wav", "duration": 1.0, "text": text, "id": name}
        return self.raw(json.dumps(entry | keys))

    def raw(self, line: str) -> int:
        self.lines.append(line)
        self.manifest.write_text("".join(f"{line}\n" for line in self.lines))
        return len(self.lines)

    def found(self, **options: Any) -> list[tuple[str, int | None]]:
        return [(problem.kind, problem.line) for problem in examine(self.manifest, **options).problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_good_manifest_has_no_problems(folder: Folder) -> None:
    report = examine(folder.manifest, Characters.from_texts(["one two"]), lambda seconds: round(seconds * 25))
    assert (report.problems, report.wrong, report.utterances, report.seconds) == ([], False, 10, 10.0)
    assert report.characters == {" ": 10, "e": 10, "n": 10, "o": 20, "t": 10, "w": 10}


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8000])


BROKEN: dict[str, tuple[str, str, Callable[[Folder], int]]] = {
    "json": ("bad line", "not JSON", lambda f: f.raw('{"audio_filepath": ')),
    "keys": ("bad line", "no duration", lambda f: f.raw('{"audio_filepath": "x.wav"}')),
    "missing": ("missing audio", "no file", lambda f: f.add("gone", None)),
    "unreadable": ("unreadable audio", "not audio", lambda f: f.add("m.jsonl", None, audio_filepath="m.jsonl")),
    "header only": ("unreadable audio", "no samples", lambda f: f.add("x", noise(99, 0))),
    "nan": ("unreadable audio", "not finite", lambda f: f.add("x", noise(99) * np.nan)),
    "zeros": ("silence", "only zeros", lambda f: f.add("x", np.zeros(RATE))),
    "hiss": ("silence", "never louder than -75 dB", lambda f: f.add("x", noise(99, level=0.0003))),
    "clipped": ("clipping", "of the samples", lambda f: f.add("x", np.clip(noise(99, level=1.5), -1, 1))),
    "too long": ("wrong duration", "the file ends at 1.00 s", lambda f: f.add("x", noise(99), duration=2)),
    "too short": ("wrong duration", "should end at 0.50 s", lambda f: f.add("x", noise(99), duration=0.5)),
    "past the end": ("wrong duration", "end at 6.00 s", lambda f: f.add("x", noise(99), offset=5)),
    "nothing": ("wrong duration", "lasts 0 s", lambda f: f.add("x", noise(99, 0.05), duration=0.0)),
    "id": ("duplicate id", "stands in line 3 already", lambda f: f.add("x", noise(99), id="m.jsonl2")),
    "audio": ("duplicate audio", "same audio as m.jsonl1 in line 2", lambda f: f.add("x", noise(701))),
    "texts": (
        "duplicate audio, different text",
        "texts differ: 'one two', 'one owt'",
        lambda f: f.add("x", noise(701), text="one owt"),
    ),
    "text": ("empty text", "there is no text", lambda f: f.add("x", noise(99), text="  ")),
    "letters": ("unknown text", "without a token: 'é' (2), '5' (1)", lambda f: f.add("x", noise(99), text="né e 5é")),
    "alignment": ("too short for its text", "its text needs 29", lambda f: f.add("x", noise(99), text="n" * 15)),
    "slow": ("unusual rate", "characters a second, but 7.0 is usual", lambda f: f.add("x", noise(99), text="o")),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_problem_is_found_and_no_other(folder: Folder, name: str) -> None:
    kind, message, spoil = BROKEN[name]
    line = spoil(folder)
    report = examine(folder.manifest, Characters.from_texts(["one two"]), lambda seconds: round(seconds * 25))
    assert [(problem.kind, problem.line) for problem in report.problems] == [(kind, line)]
    problem = report.problems[0]
    assert message in problem.message and problem.file == str(folder.manifest)
    assert report.wrong == (kind not in ("clipping", "duplicate audio", "unusual rate"))


def test_truncated_audio(folder: Folder) -> None:
    line = folder.add("x", noise(99))
    truncated(folder.path / "x.wav")
    (problem,) = examine(folder.manifest).problems
    assert (problem.kind, problem.line) == ("unreadable audio", line)
    assert "truncated" in problem.message


def test_all_problems_in_one_pass_in_the_order_of_the_lines(folder: Folder) -> None:
    lines = [folder.raw("?"), folder.add("gone", None), folder.add("x", np.zeros(RATE)), folder.raw("[]")]
    expected = list(zip(["bad line", "missing audio", "silence", "bad line"], lines, strict=True))
    assert folder.found() == expected
    # one line can be wrong in several ways
    line = folder.add("y", noise(99, level=0.0003), text="", duration=3)
    expected += [("empty text", line), ("wrong duration", line), ("silence", line)]
    assert folder.found() == expected


def test_characters_that_are_hard_to_learn_come_with_the_setting_that_helps(folder: Folder) -> None:
    text = "Yes, no. " * 20
    for number in range(20):
        folder.add(
            f"x{number}", noise(900 + number, 20.0), text=text + ("ß" if not number else ""), duration=20.0
        )
    found = {problem.kind: problem for problem in examine(folder.manifest).problems}
    assert set(found) == {"punctuation", "rare characters"}
    marks = found["punctuation"].message
    assert "2 punctuation marks (',' 400, '.' 400) that nobody says; text.punctuation=strip" in marks
    rare = found["rare characters"].message
    assert "1 character below 10 occurrences ('ß' 1)" in rare
    assert "tokenizer.alphabet='enostwy'" in rare


@pytest.mark.parametrize(
    ("text", "setting"),
    [("IĞDIR İzmir", "tr"), ("İki", "tr"), ("Gəncə I", "az"), ("I can", None), ("ışık", None)],
)
def test_two_kinds_of_i_name_the_language(folder: Folder, text: str, setting: str | None) -> None:
    folder.add("x", noise(99), text=text)
    found = [problem.message for problem in examine(folder.manifest).problems if problem.kind == "case of i"]
    assert [f"text.language={setting} " in message for message in found] == ([True] if setting else [])


def test_segments_of_one_file_are_not_too_short(folder: Folder) -> None:
    soundfile.write(folder.path / "long.wav", noise(5, 3.0), RATE)
    for number in range(3):
        folder.add(f"s{number}", None, audio_filepath="long.wav", offset=float(number))
    assert folder.found() == []
    line = folder.add("s3", None, audio_filepath="long.wav", offset=2.5)
    assert folder.found() == [("wrong duration", line)]


def test_what_two_manifests_share(tmp_path: Path) -> None:
    train, test = Folder(tmp_path, "train"), Folder(tmp_path, "tested")
    train.add("a", noise(1), text="shared words", speaker="anna")
    line = test.add("b", noise(1), text="another", speaker="anna")
    test.add("c", noise(2), text="shared words", speaker="bert")
    report = examine(test.manifest, against=train.manifest)
    audio, speakers, texts = report.problems
    assert (audio.kind, audio.severity, audio.line) == ("audio in both", "error", line)
    assert audio.message == f"same audio as a in {train.manifest}:11"
    assert (speakers.kind, speakers.severity) == ("speakers in both", "warning")
    assert speakers.numbers["shared"] == 1 and "'anna'" in speakers.message
    assert texts.numbers == {"shared": 2, "of": 3, "utterances": 11}  # "one two" ten times
    assert examine(test.manifest).problems == []


def test_a_wrong_duration_is_found_beside_another_manifest_with_the_file(tmp_path: Path) -> None:
    train, test = Folder(tmp_path, "train"), Folder(tmp_path, "tested")
    train.add("a", noise(1, 3.0), duration=3.0)
    wrong = ("wrong duration", test.add("a", None))
    assert test.found() == [wrong] and wrong in test.found(against=train.manifest)


@settings(max_examples=60)
@given(st.text("ab ", min_size=1, max_size=8).filter(str.strip), st.integers(0, 12))
def test_alignment_agrees_with_the_loss(text: str, frames: int) -> None:
    """CTC's loss is finite exactly when the doctor says that the text fits."""
    tokenizer = Characters.from_texts(["ab "])
    utterance = Utterance(__file__, 1.0, text, "x")
    kinds = [problem.kind for problem in cheap_checks([utterance], tokenizer, lambda seconds: frames)]
    ids = tokenizer.encode(text)
    log_probs = torch.full((max(frames, 1), 1, 4), 0.25).log()
    loss = torch.nn.functional.ctc_loss(
        log_probs, torch.tensor([ids]), torch.tensor([frames]), torch.tensor([len(ids)]), reduction="none"
    )
    assert kinds == ([] if bool(torch.isfinite(loss)) else ["too short for its text"])


def test_cheap_checks_open_no_audio(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound at all")
    utterances = [
        Utterance(str(tmp_path / "a.wav"), 1.0, "fine", "a"),
        Utterance(str(tmp_path / "b.wav"), 0.0, "", "b"),
    ]
    found = [(problem.utterance, problem.kind) for problem in cheap_checks(utterances)]
    assert found == [("b", "missing audio"), ("b", "wrong duration"), ("b", "empty text")]


def test_measures_of_samples() -> None:
    assert loudest(np.array([0, 0, 3, 4, 1], np.float32), 2) == pytest.approx(np.sqrt(25 / 2))
    assert loudest(np.array([0.5], np.float32), 200) == 0.5
    assert clipped_share(np.array([1, 0, -1, -1, 1, 0.5, 0, 0], np.float32)) == 3 / 8  # a lone peak is none
    assert clipped_share(np.zeros(1, np.float32)) == 0


def test_manifests_that_cannot_be_examined(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("empty", "gone"):
        with pytest.raises(ManifestError, match=name):
            examine(tmp_path / name)


def test_the_table_shows_examples_and_counts_the_rest() -> None:
    problems = [Problem("silence", "error", "only zeros", f"u{n}", "m", n) for n in range(7)]
    problems.append(Problem("texts in both", "warning", "1 of 2 texts", file="m"))
    table = Report("m", 7, 3600.0, 0, {"a": 1}, problems).table(examples=2)
    assert table.splitlines() == [
        "m: 7 utterances, 1.00 hours, 0 speakers named, 1 different character",
        "",
        "error: silence: 7",
        "  m:0: u0: only zeros",
        "  m:1: u1: only zeros",
        "  ... and 5 more (format=json names all)",
        "",
        "warning: texts in both: 1",
        "  1 of 2 texts",
        "",
        "7 errors, 1 warning",
    ]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command and gives exit status, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["validate.py", *arguments])
        status = 0
        try:
            validate.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_command(run: Callable[..., tuple[int, str, str]], folder: Folder) -> None:
    status, out, err = run(f"manifest={folder.manifest}")
    assert (status, err) == (0, "") and out.endswith("\n0 errors, 0 warnings\n")
    line = folder.add("x", noise(99), text="onetwo" * 5)
    status, out, _ = run(f"manifest={folder.manifest}", "format=json")
    report = json.loads(out)
    assert status == 3 and report["wrong"] is True
    found = [(problem["kind"], problem["line"]) for problem in report["problems"]]
    assert ("too short for its text", line) in found
    status, out, _ = run(f"manifest={folder.manifest}", "encoder.subsampling=1")
    assert status == 0 and "too short" not in out


def test_command_finds_letters_the_training_has_not(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    train, test = Folder(tmp_path, "train"), Folder(tmp_path, "tested")
    test.add("x", noise(99), text="one zwo")
    status, out, _ = run(f"manifest={test.manifest}", f"alphabet={train.manifest}")
    assert status == 3 and "x: characters without a token: 'z' (1)" in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "manifest is not set: add manifest=..."),
        (["manifest=gone.jsonl"], 1, "gone.jsonl: cannot read the manifest"),
        (["manifest=gone.jsonl", "threads=0"], 2, "threads is 0, but must be a whole number from 1 to 1024"),
        (["manifest=gone.jsonl", "examples=x"], 2, "examples is 'x', but must be a"),
        (["manifest=gone.jsonl", "format=xml"], 2, "format is 'xml', but must be one of table, json"),
        (["manifest=gone.jsonl", "agianst=x"], 2, "did you mean 'against'"),
    ],
)
def test_wrong_usage(
    run: Callable[..., tuple[int, str, str]], arguments: list[str], status: int, message: str
) -> None:
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert message in err and err.count("\n") == 1

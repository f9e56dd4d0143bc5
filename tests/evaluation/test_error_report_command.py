"""The error report that `evaluate` writes: the figures it prints, recordings, and another system to compare with."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jiwer
import pytest
import soundfile
from browser import embedded
from spelling import SpellingBundle, write, write_said

import speechlstm
from speechlstm.cli import evaluate as command

SAID = [  # id, reference, what the audio spells, speaker
    ("one", "YES  no", "yes no", "ann"),
    ("two", "yes no no", "yes now no", "ann"),
    ("three", "oh", "", "bob"),
    ("four", "", "uh", "bob"),
    ("five", "naïve no", "nave now", None),
]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_command: Run) -> Run:
    """Return a function that runs the command in a folder with a manifest, on the spelling bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    Path("m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in write_said(SAID)))
    return partial(run_command, command)


def recordings(path: str | Path) -> dict[int, bytes]:
    found = re.findall(r'id="audio-(\d+)">(.*?)</script>', Path(path).read_text("utf-8"))
    return {int(index): base64.b64decode(text) for index, text in found}


def test_the_command_writes_the_figures_it_prints(run: Run) -> None:
    status, out, err = run("manifest=m.jsonl", "format=json", "report=deep/errors.html")
    assert (status, err) == (0, "")
    printed, shown = json.loads(out), embedded("deep/errors.html")
    references, hypotheses = [" ".join(a.lower().split()) for _, a, *_ in SAID], [b for _, _, b, _ in SAID]
    assert shown["words"]["rate"] == printed["wer"] == pytest.approx(jiwer.wer(references, hypotheses))
    assert shown["words"]["interval"] == printed["wer_interval"]
    assert shown["characters"]["rate"] == printed["cer"]
    assert [(u["id"], u["reference"], u["hypothesis"]) for u in shown["utterances"]] == [
        (name, reference, b) for (name, _, b, _), reference in zip(SAID, references, strict=True)
    ]
    assert [u.get("cause") for u in shown["utterances"]] == [None, "model", "model", "model", "unreachable"]
    assert {group["label"] for group in shown["groups"]["speaker"]} == {"ann", "bob"}
    assert shown["setup"] | {"version": 0} == {
        "manifest": "m.jsonl", "bundle": "spelling", "decoder": "greedy", "compare_with": None, "failed": 0,
        "version": 0,
    }  # fmt: skip
    assert printed["comparison"] is shown["comparison"] is None


def test_recordings_are_the_utterances(run: Run, tmp_path: Path) -> None:
    assert run("manifest=m.jsonl", "report=errors.html")[0] == 0
    found = recordings("errors.html")
    assert sorted(found) == [0, 1, 2, 3, 4]
    Path("heard.ogg").write_bytes(found[1])
    info = soundfile.info("heard.ogg")
    assert (info.format, info.subtype, info.duration) == ("OGG", "OPUS", pytest.approx(1.0, abs=0.05))
    assert run("manifest=m.jsonl", "report=silent.html", "report_audio=0")[0] == 0
    assert recordings("silent.html") == {}


def test_what_could_not_be_read_is_said(run: Run) -> None:
    Path("audio/two.wav").write_bytes(b"nothing")
    assert run("manifest=m.jsonl", "report=errors.html")[0] == 3
    shown = embedded("errors.html")
    assert shown["setup"]["failed"] == 1
    assert [(u["id"], u.get("cause")) for u in shown["utterances"]] == [
        ("one", None), ("three", "model"), ("four", "model"), ("five", "unreachable"),
    ]  # fmt: skip


def test_two_systems_are_compared(run: Run) -> None:
    assert run("manifest=m.jsonl", "out=first.jsonl")[0] == 0
    write(Path("audio/two.wav"), "yes no no", 1.0)
    write(Path("audio/five.wav"), "nave new", 1.0)
    status, out, _ = run("manifest=m.jsonl", "compare_with=first.jsonl", "report=errors.html", "format=json")
    assert status == 0
    found, shown = json.loads(out)["comparison"], embedded("errors.html")
    assert found == shown["comparison"]
    assert (found["utterances"], found["better"], found["worse"], found["changed"]) == (5, 1, 0, 2)
    assert found["difference"] == pytest.approx(-1 / 8)
    assert [u["other"]["text"] for u in shown["utterances"]] == [b for _, _, b, _ in SAID]
    table = run("manifest=m.jsonl", "compare_with=first.jsonl")[1]
    assert "difference -12.50%, 95 % interval" in table
    assert "1 utterance better, 0 worse, 2 changed" in table


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["report=e.html", "report_audio=many"],
            2,
            "report_audio is 'many', but must be a number, 0 or more, as in report_audio=20",
        ),
        (
            ["report=e.html", "report_audio=-1"],
            2,
            "report_audio is -1, but must be a number, 0 or more, as in report_audio=20",
        ),
        (["report=e.html", "compare_with=none.jsonl"], 1, "none.jsonl: cannot read the manifest"),
        (["report=e.html", "compare_with=m.jsonl"], 1, "m.jsonl:1: no pred_text; compare_with takes what"),
    ],
)
def test_wrong_usage_is_explained_before_anything_is_recognized(
    arguments: list[str], status: int, message: str, run: Run
) -> None:
    got, out, err = run("manifest=m.jsonl", *arguments)
    assert (got, out) == (status, "")
    assert message in err
    assert "Traceback" not in err
    assert not Path("e.html").exists()

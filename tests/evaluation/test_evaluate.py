"""The figures `evaluate` reports are those of its hypotheses, and what it could not hear is said."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jiwer
import pytest
from spelling import SpellingBundle, write, write_said

import speechlstm
from speechlstm.cli import evaluate as command
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation import results
from speechlstm.evaluation.metrics import Counts
from speechlstm.model.tokenizer import Phones
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import Utterance

SAID = [  # id, reference, what the audio spells
    ("one", "YES  no", "yes no"),
    ("two", "yes no no", "yes now no"),
    ("three", "oh", ""),
    ("four", "", "uh"),
    ("five", "naïve 7", "nave"),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_command: Run) -> Run:
    """Return a function that runs the command in a folder with a manifest, on the spelling bundle."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    lines = write_said(SAID)
    lines[0]["mood"] = "calm"
    Path("m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return partial(run_command, command)


def test_json_report_agrees_with_jiwer(run: Run) -> None:
    status, out, err = run("manifest=m.jsonl", "format=json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    references, hypotheses = [" ".join(said.lower().split()) for _, said, _ in SAID], [s for *_, s in SAID]
    words, characters = (
        jiwer.process_words(references, hypotheses),
        jiwer.process_characters(references, hypotheses),
    )
    assert (report["wer"], report["cer"]) == (pytest.approx(words.wer), pytest.approx(characters.cer))
    assert report["words"] == {
        "reference": 8,
        "errors": words.insertions + words.deletions + words.substitutions,
        "insertions": words.insertions,
        "deletions": words.deletions,
        "substitutions": words.substitutions,
    }
    assert report["ser"] == 4 / 5
    assert report["wer_interval"][0] <= report["wer"] <= report["wer_interval"][1]
    assert {"reference": "no", "hypothesis": "now", "count": 1} in report["confusions"]
    assert (report["utterances"], report["failed"], report["audio_seconds"]) == (5, 0, 5.0)
    assert report["real_time_factor"] == pytest.approx(report["seconds"] / 5, abs=0.001)
    assert (report["bundle"], report["decoder"]) == ("spelling", "greedy")
    assert [worst["id"] for worst in report["worst"]] == ["five", "four", "three", "two"]
    assert (report["worst"][0]["text"], report["worst"][0]["pred_text"]) == ("naïve 7", "nave")


def test_table_shows_the_same_figures(run: Run) -> None:
    report = json.loads(run("manifest=m.jsonl", "format=json")[1])
    status, out, _ = run("manifest=m.jsonl")
    assert status == 0
    low, high = report["wer_interval"]
    w = report["words"]
    row = [
        f"{report['wer']:.2%}",
        *(str(w[key]) for key in ("insertions", "deletions", "substitutions", "reference")),
    ]
    assert re.search(r"words +" + " +".join(map(re.escape, row)), out)
    assert f"95 % interval {low:.2%} to {high:.2%}" in out
    assert re.search(rf"characters +{report['cer']:.2%}", out)
    assert re.search(r"sentences +80\.00% +5", out)
    assert "no -> now" in out
    assert "oh -> (nothing)" in out
    assert "(nothing) -> uh" in out
    assert re.search(r"2  five\n +ref: naïve 7\n +hyp: nave\n", out)


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        (None, False),
        ("basic", False),
        ("english", True),
    ],
)
def test_texts_are_made_comparable(kind: str | None, right: bool, run: Run) -> None:
    pytest.importorskip("whisper_normalizer")
    write(Path("audio/six.wav"), "you are my favourite colour", 4.0)
    line = {"audio_filepath": "audio/six.wav", "duration": 4.0, "text": "you're my favorite color"}
    Path("six.jsonl").write_text(json.dumps(line) + "\n")
    status, out, _ = run("manifest=six.jsonl", "format=json", f"normalize={kind or 'null'}")
    report = json.loads(out)
    assert status == 0 and (report["words"]["errors"] == 0) == right
    assert report.get("normalize") == kind


def test_normalizing_needs_its_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper_normalizer", None)
    status, out, err = run("manifest=m.jsonl", "normalize=basic")
    assert (status, out) == (2, "") and "pip install 'speechlstm[normalize]'" in err
    status, _, err = run("manifest=m.jsonl", "normalize=french")
    assert status == 2 and "must be one of english, basic" in err


def test_perfect_recognition_lists_no_mistakes(run: Run) -> None:
    Path("m.jsonl").write_text(Path("m.jsonl").read_text().splitlines()[0])
    status, out, _ = run("manifest=m.jsonl")
    assert status == 0
    assert re.search(r"words +0\.00%", out)
    assert "worst" not in out
    assert "confusions" not in out


def test_hypotheses_are_a_manifest_with_pred_text(run: Run) -> None:
    assert run("manifest=m.jsonl", "out=deep/hyps.jsonl")[0] == 0
    lines = [json.loads(line) for line in Path("deep/hyps.jsonl").read_text().splitlines()]
    assert [(line["id"], line["text"], line["pred_text"]) for line in lines] == SAID
    assert lines[0]["mood"] == "calm"
    assert all(Path(utterance.audio_filepath).exists() for utterance in read_manifest("deep/hyps.jsonl"))


def test_a_very_long_text_is_cut_in_the_table_and_whole_in_json(run: Run) -> None:
    lines = [json.loads(line) for line in Path("m.jsonl").read_text().splitlines()]
    lines[2]["text"] = "oh" * 20_000
    Path("long.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, table, _ = run("manifest=long.jsonl")
    assert status == 0 and max(map(len, table.splitlines())) < 2_100
    assert re.search(r"ref: (oh)+o?\.\.\. \(40,013 characters\)", table)
    assert "oh" * 20_000 in run("manifest=long.jsonl", "format=json")[1]


def test_segments_are_scored_each_by_itself(run: Run) -> None:
    write(Path("long.wav"), "abcd")
    lines = [
        {"audio_filepath": "long.wav", "duration": 0.12, "text": "ab", "offset": 0.0},
        {"audio_filepath": "long.wav", "duration": 0.12, "text": "cd", "offset": 0.12},
    ]
    Path("s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert json.loads(run("manifest=s.jsonl", "format=json")[1])["wer"] == 0


def test_broken_audio_is_named_and_counted(run: Run) -> None:
    Path("audio/two.wav").write_bytes(b"nothing")
    Path("audio/three.wav").unlink()
    status, out, err = run("manifest=m.jsonl", "out=h.jsonl")
    assert status == 3
    assert "not in the score, because it could not be read: 2 of 5" in out
    assert "3 utterances, 3.0 s" in out
    assert [bool(re.search(rf"failed: \S*audio/{name}\.wav: ", err)) for name in ("one", "two", "three")] == [
        False,
        True,
        True,
    ]
    assert "Traceback" not in err
    assert len(Path("h.jsonl").read_text().splitlines()) == 3


def test_a_score_of_nothing_is_refused(run: Run) -> None:
    for path in Path("audio").iterdir():
        path.unlink()
    status, out, err = run("manifest=m.jsonl", "out=h.jsonl")
    assert (status, out) == (1, "")
    assert "error: m.jsonl: none of 5 utterances could be read" in err
    assert not Path("h.jsonl").exists()


def test_infinite_rates_are_null_in_json(run: Run) -> None:
    Path("m.jsonl").write_text(Path("m.jsonl").read_text().splitlines()[3])
    report = json.loads(run("manifest=m.jsonl", "format=json")[1], parse_constant=pytest.fail)
    assert (report["wer"], report["wer_interval"], report["words"]["insertions"]) == (None, [None, None], 1)
    status, out, err = run("manifest=m.jsonl")
    assert status == 0 and re.search(r"words +inf%", out)
    assert "warning: m.jsonl: none of the utterances has a text, so all words count as inserted" in err


def test_manifests_may_have_any_name(run: Run) -> None:
    Path("m.jsonl").rename("список.jsonl")
    assert run("manifest=список.jsonl")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "manifest is not set: add manifest=..."),
        (["manifest=none.jsonl"], 1, "error: none.jsonl: cannot read the manifest"),
        (["manifest=m.jsonl", "format=xml"], 2, "error: format is 'xml', but must be one of table, json"),
        (["manifest=m.jsonl", "manifst=x"], 2, "did you mean 'manifest'?"),
        (["manifest=m.jsonl", "threads=none"], 2, "error: threads is 'none'"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], status: int, message: str, run: Run) -> None:
    got, out, err = run(*arguments)
    assert (got, out) == (status, "")
    assert message in err
    assert "Traceback" not in err


def test_phones_are_counted_against_first_pronunciations() -> None:
    lexicon = {"read": [["R", "IY", "D"], ["R", "EH", "D"]], "it": [["IH", "T"]]}
    phones = Phones(["<blank>", "|", "D", "EH", "IH", "IY", "R", "T"], lexicon)

    def heard(*tokens: str) -> Transcript:
        return Transcript("x.wav", "", [], -1.0, 1.0, tokens=list(tokens))

    said = [Utterance("x.wav", 1.0, text, text) for text in ("Read it", "it", "it all")]
    found = [heard("R", "EH", "D", "IH", "T"), heard("|", "T", "T"), heard("R")]
    counts = results.phone_errors(phones, said, found)
    assert (counts.substitutions, counts.deletions, counts.insertions, counts.length) == (2, 0, 0, 7)
    assert results.phone_errors(SpellingBundle.tokenizer, said, found) is None


def test_phones_are_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = json.loads(run("manifest=m.jsonl", "format=json")[1])
    assert report["phones"] is None
    monkeypatch.setattr(results, "phone_errors", lambda *_: Counts(7, 1, 2, 3))
    assert json.loads(run("manifest=m.jsonl", "format=json")[1])["phones"]["deletions"] == 2
    assert re.search(r"phones +60\.00% +3 +2 +1 +10\n", run("manifest=m.jsonl")[1])

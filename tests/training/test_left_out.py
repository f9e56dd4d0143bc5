"""Utterances of a training: which are left out, and what those that stay are used for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tones import fit, load, write

from speechlstm.training import parts, summary
from speechlstm.types import ManifestError


def test_unusable_training_utterances_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    utterances = write(here, "train", ["a b", "b", "", "a " * 200, "a"])
    (here / "train1.wav").unlink()
    bad = "b" * 40
    with (here / "train.jsonl").open("a") as manifest:
        line = {"audio_filepath": "train0.wav", "duration": 0.4, "text": bad, "id": "hasty"}
        manifest.write(json.dumps(line) + "\n")
    parts.prepare(load())
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 5 and shown[-1] == "  and 1 more; verbose=true names them all"
    _, data = parts.prepare(load("verbose=true"))
    assert [utterance.id for utterance in data.train_set.utterances] == ["train0", "train4"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "train: left out 4 of 6 utterances:"
    named = dict(line.strip().split(": ", 1) for line in said[1:])
    assert named.keys() == {"train1", "train2", "train3", "hasty"}
    assert "no file" in named["train1"] and "no text" in named["train2"]
    assert (
        named["train3"]
        == f"{utterances[3].duration:.2f} s long, outside 0.1 to 30 s (data.min_seconds, data.max_seconds)"
    )
    assert "10 encoder frames" in named["hasty"] or "11 encoder frames" in named["hasty"]


def test_dev_utterances_are_left_out_for_want_of_audio_only(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be spelled, or is too long to align, counts as wrong; leaving it out would flatter."""
    write(here, "dev", ["a x y", "", "a", "b"])
    (here / "dev3.wav").unlink()
    with (here / "dev.jsonl").open("a") as manifest:
        line = {"audio_filepath": "dev0.wav", "duration": 0.6, "text": "a" * 99, "id": "hasty"}
        manifest.write(json.dumps(line) + "\n")
    model, data = parts.prepare(load())
    assert [utterance.id for utterance in data.dev_set.utterances] == ["dev0", "dev1", "dev2", "hasty"]
    said = capsys.readouterr().err
    assert said.startswith("dev: left out 1 of 5 utterances:\n  dev3: no file") and said.count("\n") == 2
    score = summary.validate(model, data).score()
    assert score.words.length == 5 and model.validation.pairs == []


def test_words_that_training_never_had_are_scored(here: Path) -> None:
    write(here, "dev", ["a zebra", "b"])
    model, _ = fit("tokenizer=words", "trainer.max_epochs=1", "out=run")
    model, data = parts.prepare(load("tokenizer=words"))
    assert summary.validate(model, data).score().words.length == 3


def test_nothing_left_is_an_error(here: Path) -> None:
    for path in here.glob("train*.wav"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"no utterance of the train part can be used; .*validate"):
        parts.prepare(load())


def test_global_normalization_is_of_the_training_part(here: Path) -> None:
    model, data = parts.prepare(load("features.normalize=global"))
    plain, _ = parts.prepare(load("features.normalize=none"))
    frames = []
    for index in range(len(data.train_set)):
        waveform = torch.from_numpy(data.train_set[index, 1.0, 0][0])[None]
        frames.append(plain.acoustic.features(waveform, torch.tensor([waveform.shape[1]]))[0][0])
    wanted = torch.cat(frames)
    torch.testing.assert_close(model.acoustic.features.mean, wanted.mean(0), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(model.acoustic.features.std, wanted.std(0, correction=0), atol=1e-3, rtol=1e-3)


def test_several_manifests_are_one_training_part(here: Path) -> None:
    cfg = load("data.train=[train.jsonl,dev.jsonl]")
    _, data = parts.prepare(cfg)
    assert len(data.train_set) == 8


def test_an_id_that_stands_in_two_manifests(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "dev"):
        lines = [json.loads(line) for line in (here / f"{part}.jsonl").read_text().splitlines()]
        numbered = (json.dumps({**line, "id": f"{k:03}"}) + "\n" for k, line in enumerate(lines))
        (here / f"{part}.jsonl").write_text("".join(numbered))
    (here / "train0.wav").unlink()
    (here / "train1.wav").unlink()
    (here / "dev1.wav").unlink()
    _, data = parts.prepare(load("data.train=[train.jsonl,dev.jsonl]", "verbose=true"))
    kept = [Path(utterance.audio_filepath).name for utterance in data.train_set.utterances]
    assert kept == ["train2.wav", "train3.wav", "train4.wav", "train5.wav", "dev0.wav"]
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "train: left out 3 of 8 utterances:"
    assert [line.split(": ")[0] for line in said[1:4]] == ["  000", "  001", "  001"]

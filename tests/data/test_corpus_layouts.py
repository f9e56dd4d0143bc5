"""Importers of layouts that anybody's corpus may have: Kaldi's, an audio folder's, and texts beside recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_corpora import sound, texts, write

from speechlstm.data.corpora import (
    audiofolder,
    kaldi,
    text_files,
)
from speechlstm.data.corpora.base import AudioFinder, measure, with_dev
from speechlstm.types import UsageError


def data_directory(folder: Path) -> Path:
    sound(folder / "a.wav", 2.0)
    sound(folder / "b.wav", 1.0)
    write(folder / "wav.scp", "a a.wav", f"b {folder}/b.wav")
    write(folder / "segments", "a-1 a 0.0 0.5", "a-2 a 0.5 1.25", "b-1 b 0.2 -1")
    write(folder / "text", "a-1 one two", "a-2 three", "b-1 four", "c-9 nothing")
    write(folder / "utt2spk", "a-1 anna", "a-2 anna", "b-1 bert")
    return folder


def test_kaldi_segments(tmp_path: Path) -> None:
    corpus = measure(kaldi.read(data_directory(tmp_path)))
    found = [(u.id, u.text, u.offset, round(u.duration, 6), u.speaker) for u in corpus.splits["train"]]
    assert found == [
        ("a-1", "one two", 0.0, 0.5, "anna"),
        ("a-2", "three", 0.5, 0.75, "anna"),
        ("b-1", "four", 0.2, 0.8, "bert"),
    ]
    assert corpus.problems == [f"{tmp_path}/text:4: c-9 is not in segments"]


def test_kaldi_without_segments_and_with_several_directories(tmp_path: Path) -> None:
    for name in ("train", "valid", "eval"):
        (data_directory(tmp_path / name) / "segments").unlink()
        write(tmp_path / name / "text", "a A", "b B")
    corpus = kaldi.read(tmp_path)
    assert sorted(corpus.splits) == ["dev", "eval", "train"]
    assert texts(corpus.splits["dev"]) == {"a": "A", "b": "B"}
    assert [u.duration for u in measure(corpus).splits["eval"]] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        ("wav.scp", ["a a.wav", "b sox b.mp3 -t wav - |"], r"wav.scp:2: b is the output of a command \(sox"),
        ("wav.scp", ["a a.wav", "a b.wav"], r"wav.scp:2: a stands in line 1 already"),
        (
            "segments",
            ["a-1 a 0 0.5", "a-2 a 1.0 0.5"],
            "segments:2: expected 'utterance recording begin end'",
        ),
        ("segments", ["a-1 a zero 0.5"], "segments:1: expected"),
        ("segments", ["a-1 a 0"], "segments:1: expected"),
        ("segments", ["a-1 a nan 0.5"], "segments:1: expected"),
    ],
)
def test_kaldi_refuses(tmp_path: Path, file: str, lines: list[str], message: str) -> None:
    write(data_directory(tmp_path) / file, *lines)
    with pytest.raises(UsageError, match=message):
        kaldi.read(tmp_path)


def test_audiofolder_csv_with_commas(tmp_path: Path) -> None:
    sound(tmp_path / "sub" / "a.wav")
    sound(tmp_path / "left.wav")
    write(
        tmp_path / "metadata.csv",
        "file_name,transcription,speaker_id",
        'sub/a.wav,"one, ""two""",s1',
        "",
        "sub/b.wav,,s2",
    )
    corpus = audiofolder.read(tmp_path)
    assert texts(corpus.splits["train"]) == {"sub/a": 'one, "two"'}
    assert corpus.splits["train"][0].speaker == "s1"
    assert corpus.problems == [
        f"{tmp_path}/metadata.csv:4: no transcription",
        f"{tmp_path}/left.wav: not in metadata.csv",
    ]


def test_audiofolder_csv_with_a_stray_quote(tmp_path: Path) -> None:
    rows = [
        "a.wav,one",
        'b.wav,"two',
        "c.wav,three",
        'd.wav,four"',
        "e.wav,five",
        'f.wav,"six',
        "g.wav,seven",
    ]
    write(tmp_path / "metadata.csv", "file_name,text", *rows)
    corpus = audiofolder.read(tmp_path)
    assert texts(corpus.splits["train"]) == {"a": "one", "e": "five"}
    assert corpus.problems == [
        f"{tmp_path}/metadata.csv:3: a row that goes on to line 5; is a quote missing?",
        f"{tmp_path}/metadata.csv:7: a row that goes on to line 8; is a quote missing?",
    ]
    write(tmp_path / "metadata.csv", "file_name,text", *rows, *["h.wav,eight"] * 20_000)
    with pytest.raises(UsageError, match=r"metadata.csv:7: field larger than .*; is a quote missing\?"):
        audiofolder.read(tmp_path)


@pytest.mark.parametrize("above", ["", "data"])
def test_audiofolder_jsonl_per_split(tmp_path: Path, above: str) -> None:
    for split in ("train", "validation"):
        for number in range(3):
            sound(tmp_path / above / split / f"{number}.wav")
        lines = (json.dumps({"file_name": f"{number}.wav", "text": split}) for number in range(3))
        write(tmp_path / above / split / "metadata.jsonl", *lines)
    corpus = audiofolder.read(tmp_path)
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 3, "dev": 3}
    assert not measure(corpus).problems


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"file_name": "a.wav"}'], "metadata.jsonl:1: needs file_name and one of transcription, text"),
        (['{"file_name": "a.wav", "text": "x"}', "{"], "metadata.jsonl:2: not JSON"),
        (["[1]"], "metadata.jsonl:1: a JSON list"),
        (['{"file_name": ' + "9" * 5000 + "}"], "metadata.jsonl:1: not JSON .a number of 5000 digits"),
        (["[" * 100_000], "metadata.jsonl:1: not JSON .nested too deeply"),
    ],
)
def test_audiofolder_refuses(tmp_path: Path, lines: list[str], message: str) -> None:
    write(tmp_path / "metadata.jsonl", *lines)
    with pytest.raises(UsageError, match=message):
        audiofolder.read(tmp_path)


def test_text_files(tmp_path: Path) -> None:
    for number in range(10):
        write(sound(tmp_path / "train" / "anna" / f"{number}.wav").with_suffix(".txt"), " one", "", "two ")
    sound(tmp_path / "train" / "bert" / "lost.wav")
    write(sound(tmp_path / "test" / "0.flac").with_suffix(".txt"), "three")
    write(sound(tmp_path / "test" / "1.flac").with_suffix(".txt"), " ")
    write(tmp_path / "train" / "bert" / "silent.txt", "no sound")
    corpus = with_dev(text_files.read(tmp_path, speaker_from_folder=True), 0.1, 0)
    assert {name: len(split) for name, split in corpus.splits.items()} == {"train": 9, "dev": 1, "test": 1}
    assert set(texts(corpus.splits["train"]).values()) == {"one two"}
    assert corpus.splits["train"][0].speaker == "anna"
    assert corpus.problems == [
        f"{tmp_path}/test/1.txt: empty",
        f"{tmp_path}/train/bert/lost.wav: no lost.txt beside it",
        f"{tmp_path}/train/bert/silent.txt: no audio of that name beside it",
    ]


def test_two_folders_for_one_split_are_both_read(tmp_path: Path) -> None:
    for name in ("dev", "train", "valid"):
        write(sound(tmp_path / name / f"{name}.wav").with_suffix(".txt"), name)
        write(tmp_path / name / "wav.scp", f"{name} {name}.wav")
        write(tmp_path / name / "text", f"{name} {name}")
    for splits in (kaldi.read(tmp_path).splits, text_files.read(tmp_path).splits):
        assert texts(splits["dev"]) == {"dev": "dev", "valid": "valid"}
        assert texts(splits["train"]) == {"train": "train"}


def test_splits_are_known_however_they_are_written(tmp_path: Path) -> None:
    for name in ("Training", "DEV", "Test"):
        write(sound(tmp_path / name / "a.wav").with_suffix(".txt"), name)
    lost = sound(tmp_path / "more" / "b.wav")
    corpus = text_files.read(tmp_path)
    found = {name: list(texts(split).values()) for name, split in corpus.splits.items()}
    assert found == {"train": ["Training"], "dev": ["DEV"], "test": ["Test"]}
    assert corpus.problems == [
        f"{tmp_path}: 1 audio file outside DEV/, Test/, Training/, such as {lost}; left out"
    ]


def test_lossless_audio_is_preferred(tmp_path: Path) -> None:
    for suffix in (".mp3", ".FLAC", ".opus", ".txt"):
        write(tmp_path / f"a.b{suffix}", "?")
    find = AudioFinder()
    assert find(tmp_path / "a.b") == tmp_path / "a.b.FLAC"
    assert find(tmp_path / "nowhere" / "a") == tmp_path / "nowhere" / "a.wav"

"""Manifests: what is written is read back, and what is wrong is named with its line."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import read_manifest, write_manifest
from speechlstm.types import ManifestError, Utterance

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=20)
JSON = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def utterances(draw: st.DrawFn) -> list[Utterance]:
    ids = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    return [
        Utterance(
            audio_filepath=f"/audio/{draw(st.text(string.ascii_letters, min_size=1))}.wav",
            duration=draw(st.integers(0, 10**6)) / 1000,
            text=draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
            id=name,
            offset=draw(st.integers(0, 10**6)) / 1000,
            speaker=draw(st.none() | NAMES),
            lang=draw(st.none() | st.sampled_from(["en", "he"])),
            extra=draw(st.dictionaries(st.sampled_from(["pred_text", "score", "ünknown"]), JSON)),
        )
        for name in ids
    ]


@settings(max_examples=25)  # each waits for the disk
@given(utterances())
def test_round_trip(written: list[Utterance]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        write_manifest(path, written)
        assert read_manifest(path) == written
        assert [entry.name for entry in Path(folder).iterdir()] == ["a.jsonl"]


def test_nemo_manifests_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "nemo.json"
    lines = [
        {"audio_filepath": "a.wav", "duration": 3, "text": "hello", "source": {"book": 1}},
        {"audio_filepath": "/b.wav", "duration": 1.5, "offset": 2.25, "speaker": 7},
        {"audio_filepath": "/b.wav", "duration": 1.5, "offset": None, "speaker": None},
    ]
    path.write_text("\ufeff" + "\n\n".join(json.dumps(line) for line in lines))  # as Windows writes it
    first, second, third = read_manifest(path)
    assert first == Utterance(str(tmp_path / "a.wav"), 3.0, "hello", "a", extra={"source": {"book": 1}})
    assert second == Utterance("/b.wav", 1.5, "", "b@2.25", 2.25, "7")
    assert third == Utterance("/b.wav", 1.5, "", "b")


def test_ids_tell_channels_and_places_of_a_file_apart(tmp_path: Path) -> None:
    places = [(0, 0), (0, 1), (12000.01, 0), (12000.04, 0), (12000.04, None)]
    lines = [
        json.dumps({"audio_filepath": "call.wav", "duration": 1, "offset": offset, "channel": channel})
        for offset, channel in places
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    ids = [utterance.id for utterance in read_manifest(tmp_path / "m.jsonl")]
    assert ids == ["call-0", "call-1", "call@12000.01-0", "call@12000.04-0", "call@12000.04"]


def test_ids_take_as_many_parts_of_the_path_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    names = ("x/a/001.wav", "y/a/001.wav", "y/b/001.wav", "002.wav", "b/003.wav", "c/003.wav")
    path.write_text("".join(json.dumps({"audio_filepath": name, "duration": 1}) + "\n" for name in names))
    ids = [utterance.id for utterance in read_manifest(path)]
    assert ids == ["x/a/001", "y/a/001", "y/b/001", "002", "b/003", "c/003"] or ids[2] == "b/001"
    assert len(set(ids)) == 6
    path.write_text(
        path.read_text() + json.dumps({"audio_filepath": "z.wav", "duration": 1, "id": "002"}) + "\n"
    )
    assert [utterance.id for utterance in read_manifest(path)][3] == f"{tmp_path.name}/002"


def test_texts_in_files_and_durations_of_files(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(12000), 8000)
    (tmp_path / "a.txt").write_text("one\n two\n")
    entry = {"audio_filepath": "a.wav", "duration": None, "text_filepath": "a.txt", "offset": 0.5}
    (tmp_path / "m.jsonl").write_text(
        json.dumps(entry) + "\n" + json.dumps(entry | {"offset": 0, "text": None})
    )
    first, second = read_manifest(tmp_path / "m.jsonl")
    assert (first.duration, first.text, second.duration, second.text) == (1.0, "one two", 1.5, "one two")


def test_lines_that_cannot_be_used_are_given_back_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    good = [json.dumps({"audio_filepath": f"{name}.wav", "duration": 1}).encode() for name in "ab"]
    path.write_bytes(b"\n".join([good[0], b"\xff", b"{", good[1], good[0], b""]))
    problems: list[ManifestError] = []
    assert [utterance.id for utterance in read_manifest(path, problems)] == ["a", "b"]
    assert [str(problem).split(" ")[0] for problem in problems] == [f"{path}:{line}:" for line in (2, 3, 5)]


def test_a_file_named_in_latin_1_is_found_and_written_back(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio_filepath": "caf\\udce9.wav", "duration": 1}\n')
    (utterance,) = read_manifest(path)
    assert utterance.audio_filepath == os.fsdecode(bytes(tmp_path) + b"/caf\xe9.wav")
    assert utterance.id == "caf\\udce9"
    write_manifest(path, [utterance])
    assert read_manifest(path) == [utterance]


@pytest.mark.parametrize(
    ("length", "message"),
    [(1_000_001, "a text of 1,000,001 characters"), (12_000_000, "a line of more than 4 MB")],
)
def test_a_text_that_is_none_is_named_and_the_others_are_read(
    tmp_path: Path, length: int, message: str
) -> None:
    line = '{"audio_filepath": "%s.wav", "duration": 1, "text": "%s"}\n'
    (tmp_path / "m.jsonl").write_text(line % ("a", "x" * length) + line % ("b", "yes"))
    problems: list[ManifestError] = []
    assert [utterance.id for utterance in read_manifest(tmp_path / "m.jsonl", problems)] == ["b"]
    assert str(problems[0]).startswith(f"{tmp_path}/m.jsonl:1: {message}")


def test_a_tilde_is_a_letter(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "~x.wav", "duration": 1}')
    assert read_manifest(tmp_path / "m.jsonl")[0].audio_filepath == str(tmp_path / "~x.wav")


def test_utf_16_is_known_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"audio_filepath": "é.wav", "duration": 1}\r\n', encoding="utf-16")
    assert read_manifest(path)[0].id == "é"


def test_audio_below_the_manifest_is_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = Utterance("data/clips/a.wav", 1.0, "", "a")
    outside = Utterance("b.wav", 1.0, "", "b")
    write_manifest("data/a.jsonl", [inside, outside])
    paths = [json.loads(line)["audio_filepath"] for line in Path("data/a.jsonl").read_text().splitlines()]
    assert paths == ["clips/a.wav", str(tmp_path / "b.wav")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio_filepath": "a.wav"', "not JSON"),
        ("[1, 2]", "a JSON list, but each line must be one JSON object"),
        ('{"audio_filepath": "a\\u0000b", "duration": 1}', "which no file can be called"),
        ('{"audio_filepath": "\\ud83d.wav", "duration": 1}', "which no file can be called"),
        ('{"audio_filepath": ".", "duration": 1}', "which no file can be called"),
        (
            '{"audio_filepath": "https://a.b/c.wav", "duration": 1}',
            "'https://a.b/c.wav', but must be the name of a file on this machine",
        ),
        (
            '{"audio_filepath": "a", "duration": 1, "text": "x\\ud83d"}',
            "text holds \\ud83d, half of a surrogate pair",
        ),
        ('{"audio_filepath": "a", "duration": 1, "id": "\\udc00"}', "id holds \\udc00"),
        ('{"audio_filepath": "a", "duration": 1, "more": [{"x": "\\ud83d"}]}', "more holds \\ud83d"),
        ('{"audio_filepath": "a", "duration": 1, "\\ud83d": 1}', "\\ud83d holds \\ud83d"),
        ('{"audio_filepath": "a", "duration": 1, "text": "x\\u0000"}', "text holds a NUL character"),
        ('{"audio_filepath": "a", "duration": 1, "speaker": ["x"]}', "speaker is ['x'], but must be a word"),
        ('{"audio_filepath": "a", "duration": 1, "id": ""}', "id is '', but must be a word"),
        ('{"audio_filepath": "a", "duration": null}', "duration is null, and cannot be read"),
        (
            '{"audio_filepath": "a", "duration": 1, "text_filepath": "gone"}',
            "text_filepath is 'gone': cannot be read: No such file",
        ),
        ("{}", "no audio_filepath and no duration (found no keys)"),
        (json.dumps({"k" * 999: 1}), f"(found {'k' * 80}...)"),
        ('{"audio_filepath": "a.wav", "text": "x"}', "no duration (found audio_filepath, text)"),
        ('{"audio_filepath": "", "duration": 1}', "audio_filepath is ''"),
        ('{"audio_filepath": 5, "duration": 1}', "audio_filepath is 5"),
        ('{"audio_filepath": "a", "duration": 1, "text": 5}', "text is 5, but must be a string"),
        ('{"audio_filepath": "a", "duration": "1"}', "duration is '1', but must be seconds from 0 to 1e9"),
        ('{"audio_filepath": "a", "duration": true}', "duration is True"),
        ('{"audio_filepath": "a", "duration": -1}', "duration is -1"),
        ('{"audio_filepath": "a", "duration": NaN}', "duration is nan"),
        ('{"audio_filepath": "a", "duration": Infinity}', "duration is inf"),
        ('{"audio_filepath": "a", "duration": 1, "offset": -2}', "offset is -2"),
        ('{"audio_filepath": "good.wav", "duration": 1}', "id 'good' stands in line 1 already"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON (a number of 5000 digits, but at most 1000 can be read)"),
        ('{"audio_filepath": "a", "duration": -' + "9" * 5000 + "}", "not JSON (a number of 5001 digits"),
        (f'{{"audio_filepath": "a", "duration": {"9" * 400}}}', "must be seconds from 0 to 1e9"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"audio_filepath": "good.wav", "duration": 1}}\n\n{line}\n')
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert message in str(error.value)


def test_all_bad_lines_are_named_up_to_ten(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("{}\n" * 12)
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    lines = str(error.value).splitlines()
    assert [line.split(" ")[0] for line in lines[:10]] == [f"{path}:{number}:" for number in range(1, 11)]
    assert lines[10:] == ["... and 2 more"]


def test_files_that_are_no_manifests(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b'{"audio_filepath": "caf\xe9.wav", "duration": 1}')
    for name, message in {
        "empty": "no utterances",
        "latin": r"latin:1: not UTF-8 text \(byte 0xe9 at 24\); convert it, as in iconv",
        "gone": "No such file",
        ".": "directory",
    }.items():
        with pytest.raises(ManifestError, match=message):
            read_manifest(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new" * 1000)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]

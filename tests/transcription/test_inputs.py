"""What is to be transcribed: recordings that are found, names of their outputs, and times that are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechlstm.transcription.inputs import Recording, find, output_paths, parse_time
from speechlstm.types import UsageError


def test_folders_are_searched_through_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t/b.WAV", "t/a.mp3", "t/c/d.flac", "t/notes.txt", "t/.hidden.wav", "t/.git/x.wav", "z.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    recordings, problems, _ = find(
        ["z.wav", "t/", "t/a.mp3", "./z.wav", str(tmp_path / "t/c"), "missing.wav"]
    )
    assert [r.path for r in recordings] == ["z.wav", "t/a.mp3", "t/b.WAV", "t/c/d.flac"]
    assert [str(problem) for problem in problems] == ["missing.wav: no such file; check the name"]


def test_names_keep_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t/u").mkdir(parents=True)
    (tmp_path / "t/u/a.wav").touch()
    monkeypatch.chdir(tmp_path / "t")

    def names(*paths: str) -> list[str]:
        return [recording.name for recording in find(paths)[0]]

    assert names("u/a.wav") == names("./u/a.wav") == names("u") == names(".") == ["u/a.wav"]
    assert names(str(tmp_path / "t/u/a.wav")) == names("../t/u/a.wav") == ["a.wav"]
    assert names(str(tmp_path / "t")) == ["t/u/a.wav"]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    recordings, (problem,), _ = find([str(tmp_path)])
    assert recordings == []
    assert str(problem).startswith(f"{tmp_path}: no audio files in this folder")
    assert ".wav" in str(problem)


def outputs(*names: str) -> list[str]:
    recordings = [Recording(name, name) for name in names]
    return [str(path) for path in output_paths(recordings, Path("o"), "srt")]


def test_outputs_never_collide() -> None:
    assert outputs("a.wav", "b/a.wav", "c.tar.wav") == ["o/a.srt", "o/b/a.srt", "o/c.tar.srt"]
    assert outputs("a.wav", "a.mp3", "b.wav") == ["o/a.wav.srt", "o/a.mp3.srt", "o/b.srt"]
    assert outputs("a.wav", "A.mp3") == ["o/a.wav.srt", "o/A.mp3.srt"]
    with pytest.raises(UsageError, match=r"x/a\.wav and y/a\.wav would both become o/a\.wav\.srt"):
        output_paths([Recording("x/a.wav", "a.wav"), Recording("y/a.wav", "a.wav")], Path("o"), "srt")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), (90, 90.0), ("1.5", 1.5), ("99", 99.0), ("1:30", 90.0), ("90:00", 5400.0), ("99:59.75", 5999.75),
        ("0:59.", 59.0), ("1:02:03.5", 3723.5), ("1:2:3", 3723.0), ("00:00:07", 7.0), ("100:59:59", 363599.0),
    ],
)  # fmt: skip
def test_times_are_numbers_or_clocks(value: object, seconds: float | None) -> None:
    assert parse_time("duration", value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "-1", "1:", ":30", "1:2:3:4", "inf", "nan", True, 0, "0:00", "١", "9" * 400, "1e3", "1:-1", "-1:00",
        "1:99:99", "1:60:00", "1:00:60", "1:60", "0:75.5", "1:060", "1:100", "1:59:060", "1:nan", "inf:00", "1.5:00",
    ],
)  # fmt: skip
def test_other_times_are_refused(value: object) -> None:
    with pytest.raises(
        UsageError,
        match=f"duration={value}, but must be seconds, above 0 and written as in 12.5, or a time such as 1:30",
    ):
        parse_time("duration", value)
    assert parse_time("start", 0) == 0.0

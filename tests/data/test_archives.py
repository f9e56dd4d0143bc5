"""Files inside tar archives are heard, and refused, as files are."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from chirps import FORMATS, RATE, chirp, cut, error, write

from speechlstm.data.audio import audio_info, holder, load_audio, tar
from speechlstm.types import AudioError


def packed(folder: Path, *files: Path, kind: str = "w") -> dict[str, str]:
    """Put files into `shard.tar`, below a folder with a long name, and return their paths in it."""
    with tarfile.open(folder / "shard.tar", kind) as archive:  # type: ignore[call-overload]
        for file in files:
            archive.add(file, f"{'длинное ' * 20}/{file.name}")
    return {Path(name).name: path for path, name in tar.members(folder / "shard.tar")}


def test_members_are_heard_as_files_are(tmp_path: Path) -> None:
    files = [write(tmp_path, name) for name in [*FORMATS, "a.wav"]]
    inside = packed(tmp_path, *files)
    assert list(inside) == [file.name for file in files]
    for file in files:
        path = inside[file.name]
        assert holder(path) == tmp_path / "shard.tar" and holder(str(file)) == file
        assert audio_info(path) == audio_info(file)
        np.testing.assert_array_equal(load_audio(path, RATE), load_audio(file, RATE))
        np.testing.assert_array_equal(load_audio(path, RATE, 1.25, 0.5), load_audio(file, RATE, 1.25, 0.5))


def test_a_member_is_read_no_further_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(100 * RATE), RATE)
    path = packed(tmp_path, write(tmp_path, "a.wav"), tmp_path / "long.wav")["long.wav"]
    amounts: list[int] = []
    original = tarfile.ExFileObject.readinto

    def readinto(self: Any, buffer: Any) -> int:
        amounts.append(original(self, buffer))
        return amounts[-1]

    monkeypatch.setattr(tarfile.ExFileObject, "readinto", readinto)
    load_audio(path, RATE, 90.0, 1.0)
    assert 2 * RATE <= sum(amounts) < 4 * RATE


def test_broken_members_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = cut(write(tmp_path, "a.ogg"))
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    inside = packed(
        tmp_path, short, tmp_path / "empty.wav", tmp_path / "folder.wav", write(tmp_path, "b.wav")
    )
    assert error(Path(inside["a.ogg"])) == error(short)
    assert "empty (0 bytes)" in error(Path(inside["empty.wav"]))
    assert "not a regular file in the archive" in error(Path(inside["folder.wav"]))
    archive, byte, name = tar.split(inside["b.wav"]) or ("", 0, "")
    for place, found in (
        (f"{byte}/other.wav", name),
        (f"7/{name}", "nothing"),
        (f"99999999/{name}", "nothing"),
    ):
        begins = f"at byte {place.partition('/')[0]} of shard.tar begins {found}; prepare the manifest again"
        assert error(Path(f"{archive}@{place}")) == begins
    cut(Path(archive), 0.9)
    assert "the archive is truncated" in error(Path(inside["b.wav"]))
    Path(archive).unlink()
    assert "no such file" in error(Path(inside["b.wav"]))
    assert capfd.readouterr() == ("", "")


def test_only_plain_archives_have_places(tmp_path: Path) -> None:
    with pytest.raises(
        AudioError, match=r"shard\.tar: not a plain tar archive .*compressed one must be unpacked"
    ):
        packed(tmp_path, write(tmp_path, "a.wav"), kind="w:gz")
    with pytest.raises(AudioError, match=r"shard\.tar: cannot be read \(No such file"):
        list(tar.members(tmp_path / "none" / "shard.tar"))
    folder = tmp_path / "odd.tar@5"  # a folder that only looks like a place in an archive
    folder.mkdir()
    assert len(load_audio(write(folder, "a.wav"), RATE)) == len(chirp())

"""Every kind of broken file is named, with its reason."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from chirps import FORMATS, RATE, cut, error, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechlstm.data.audio import audio_info, load_audio
from speechlstm.types import AudioError


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("a.raw", "bare.mp3")] + ["a.wav"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    message = error(cut(write(tmp_path, name), share))
    assert "truncated" in message or "damaged" in message


def test_half_a_sample_of_raw_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(b"\0" * 101)
    assert "truncated, 0.031 ms missing at 0.0 s" in error(path)


@pytest.mark.parametrize("name", ["a.mp3", "bare.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a", "a.webm"])
def test_damage_is_refused(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, name)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = random.Random(1).randbytes(third)
    path.write_bytes(data)
    assert "damaged" in error(path)
    assert capfd.readouterr() == ("", "")  # the decoders' own complaints would tear up a progress bar


def header(rate: int = RATE, channels: int = 1, samples: int = 100) -> bytes:
    size = samples * channels * 2
    fields = [
        (16, 4),
        (1, 2),
        (channels, 2),
        (rate, 4),
        (rate * channels * 2 % 2**32, 4),
        (channels * 2, 2),
        (16, 2),
    ]
    body = b"WAVEfmt " + b"".join(value.to_bytes(size_, "little") for value, size_ in fields)
    body += b"data" + size.to_bytes(4, "little") + bytes(size)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


NOT_AUDIO = {
    "empty": (b"", "empty"),
    "text": (b"hello there\n" * 100, "not audio"),
    "zeros": (bytes(10_000), "not audio"),
    "header": (header(samples=0), "no samples"),
    "slow": (header(rate=10), "sample rate 10 Hz"),
    "fast": (header(rate=2**31 - 1), "sample rate"),
    "crowd": (header(channels=1000), "1,000 channels"),
    "playlist": (b"#EXTM3U\n#EXTINF:5,\nother.aac\n#EXT-X-ENDLIST\n", "not audio"),
}


@pytest.mark.parametrize("name", NOT_AUDIO)
@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a"])
def test_what_is_not_audio_is_refused(
    tmp_path: Path, name: str, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{name}.{suffix}"
    content, reason = NOT_AUDIO[name]
    path.write_bytes(content)
    message = error(path)
    assert reason in message or (suffix != "wav" and name in ("header", "slow", "fast", "crowd"))
    with pytest.raises(AudioError):
        audio_info(path)
    assert capfd.readouterr() == ("", "")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS\0", b"ID3", b"\xff\xfb", b"NIST_1A\n"]),
)
def test_no_bytes_raise_anything_else(tmp_path: Path, content: bytes, start: bytes) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(start + content)
    try:
        assert len(load_audio(path, RATE))
    except AudioError as refused:
        assert str(refused).startswith(str(path))


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "bare.mp3", "a.m4a"])
def test_segments_outside_the_file_are_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    assert "ends at" in error(path, offset=2.0, duration=2.0)
    assert error(path, offset=4.0)
    for segment in (
        {"offset": -1.0},
        {"duration": 0.0},
        {"offset": float("nan")},
        {"duration": float("inf")},
    ):
        assert "must be offset >= 0, duration > 0" in error(path, **segment)
    assert len(load_audio(path, RATE, 2.0, 1.05)) == pytest.approx(RATE, abs=RATE // 20)  # rounded times pass


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert "no such file" in error(tmp_path / "missing.wav")
    assert "folder" in error(tmp_path)
    assert "cannot be read" in error(tmp_path / ("a" * 300))
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a regular file" in error(tmp_path / "pipe.wav")
    path = write(tmp_path, "a.wav")
    path.chmod(0)
    if not os.access(path, os.R_OK):  # root may read everything
        assert "Permission denied" in error(path)

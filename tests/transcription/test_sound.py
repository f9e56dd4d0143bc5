"""Live sound from pipes and microphones."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from spelling import RATE

from speechlstm.transcription import sound
from speechlstm.types import AudioError, UsageError


def wav(samples: np.ndarray, rate: int, **options: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", **options)
    return file.getvalue()


class Dripping(io.RawIOBase):
    """A pipe that gives odd numbers of bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        part = self.content[self.at : self.at + min(len(buffer), 333)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


def piped(content: bytes, rate: int = RATE, channels: int = 1) -> np.ndarray:
    return np.concatenate(list(sound.from_pipe(io.BufferedReader(Dripping(content)), rate, channels, RATE)))


def test_pipes_are_read_exactly() -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 5000).astype("<i2")
    wanted = samples.astype(np.float32) / 2**15
    np.testing.assert_array_equal(piped(samples.tobytes()), wanted)
    np.testing.assert_array_equal(piped(samples.tobytes() + b"x"), wanted)  # a torn sample
    np.testing.assert_array_equal(piped(np.repeat(samples, 2).tobytes(), channels=2), wanted)
    np.testing.assert_array_equal(piped(wav(samples, RATE), rate=8000), wanted)
    stereo = np.stack([samples, samples], 1)
    np.testing.assert_array_equal(piped(wav(stereo, RATE)), wanted)
    endless = bytearray(wav(samples, RATE))
    endless[4:8] = endless[40:44] = b"\xff" * 4  # as ffmpeg writes to a pipe
    np.testing.assert_array_equal(piped(bytes(endless)), wanted)
    tagged = wav(samples, RATE) + b"id3 \x04\0\0\0" + b"\xff\x7f" * 2
    np.testing.assert_array_equal(piped(tagged), wanted)  # with a chunk after the samples
    assert len(piped(samples.tobytes(), rate=8000)) == pytest.approx(10_000, abs=2)
    assert len(piped(b"RIF")) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF",
        b"RIFF....AVI LIST",
        b"RIFF....WAVEdata",
        b"RIFF....WAVEfmt \xff\xff\xff\x7f",
        wav(np.zeros(9), RATE, subtype="FLOAT"),
    ],
)
def test_other_wavs_are_refused(content: bytes) -> None:
    with pytest.raises(AudioError, match=r"standard input: .*; convert it with `ffmpeg"):
        piped(content)


@pytest.mark.usefixtures("microphone")
def test_a_microphone_is_read_until_it_goes_away() -> None:
    assert sound.list_microphones() == ["0  built-in, 2 channels, 16000 Hz"]
    blocks: Iterator[np.ndarray] = sound.from_microphone(None, RATE)
    assert [next(blocks).mean() for _ in range(2)] == [0.25, 0.5]
    with pytest.raises(AudioError, match="the microphone has gone away"):
        next(blocks)
    with pytest.raises(UsageError, match=r"device=7 cannot be opened \(no device 7\); devices=true lists"):
        sound.from_microphone(7, RATE)


def test_what_a_microphone_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"pip install 'speechlstm\[live\]'"):
        sound.list_microphones()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no samples"),
        (b"x", "no samples"),
        (b"fLaC" + bytes(99), "neither raw PCM nor wav"),
        (b"ID3\3" + bytes(99), "neither raw PCM nor wav"),
        (b"\x1aE\xdf\xa3" + bytes(99), "neither raw PCM nor wav"),
        (b"\xff\xfb\x90\xc4" + bytes(99), "neither raw PCM nor wav"),
        (b"\xff\xf3\x50\x64" + bytes(99), "neither raw PCM nor wav"),
        (b"#!AMR\n" + bytes(99), "neither raw PCM nor wav"),
        (b"\xff\xf1\x50\x80" + bytes(99), "neither raw PCM nor wav"),
        (b"\0\0\0\x1cftypM4A " + bytes(99), "neither raw PCM nor wav"),
    ],
)
def test_a_pipe_without_samples_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=f"standard input: {message}"):
        list(sound.from_pipe(io.BytesIO(content), RATE, 1, RATE))

"""Small files that stand for much, and long ones in blocks: never much memory."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech_files import RATE, mux

from speechlstm.data.audio import load_audio, stream_audio, tar
from speechlstm.types import AudioError


def test_blocks_are_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    samples = np.random.default_rng(0).standard_normal((44_100 * 90, 2)).astype(np.float32) / 9
    soundfile.write(path, samples, 44_100, subtype="FLOAT")
    blocks = list(stream_audio(path, RATE))
    assert len(blocks) > 3
    whole = load_audio(path, RATE)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    array = load_audio((samples, 44_100), RATE)
    np.testing.assert_allclose(whole, array, atol=1e-5)


MEASURE = """
import resource, sys
import av, soundfile, soxr, numpy
from speechlstm.data.audio import audio_info, load_audio
from speechlstm.types import AudioError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    sound = load_audio(sys.argv[1], 16000, strict=False)
    size = sound.nbytes
except AudioError as error:
    assert str(error).startswith(sys.argv[1]), error
    size = 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before * 1024 - size)
"""


def bombs(folder: Path) -> Iterator[Path]:
    """Yield small files that stand for much."""
    with soundfile.SoundFile(folder / "wide.flac", "w", 192_000, 8) as file:
        for _ in range(20):
            file.write(np.zeros((192_000 * 5, 8), np.int16))
    yield folder / "wide.flac"
    head = b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt "
    for name, channels, rate in (("channels.wav", 64, 768_000), ("crowd.wav", 65_535, 48_000)):
        form = struct.pack(
            "<IHHIIHH", 16, 1, channels, rate, channels * rate * 2 % 2**32, channels * 2 % 65536, 16
        )
        with (folder / name).open("wb") as sparse:
            sparse.write(head + form + b"data" + struct.pack("<I", 2**31))
            sparse.truncate(700 << 20)
        yield folder / name
    path = mux(folder / "gap.mkv", "matroska", "pcm_s16le", late=3000.0)
    yield path
    yield mux(folder / "far.mkv", "matroska", "pcm_s16le", late=2_000_000.0)
    record = tarfile.TarInfo("a")
    record.type, record.size = tarfile.GNUTYPE_LONGNAME, 2**33
    with (folder / "name.tar").open("wb") as archive:
        archive.write(record.tobuf(tarfile.GNU_FORMAT))
        archive.truncate(2**33)


def test_memory_is_bounded(tmp_path: Path) -> None:
    for path in bombs(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        assert int(done.stdout) < 300e6, path.name
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AudioError, match=r"name\.tar: not a plain tar archive \(a name of 8589934592 bytes"):
        list(tar.members(tmp_path / "name.tar"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000

"""Audio of every ending and code: found, whole, and as long as its samples are, whatever a header says."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from speech_files import CODED, RATE, SECONDS, mux, read, shift, speech, strictly

from speechlstm.data.audio import audio_info, load_audio, search

IN_WAV = [
    "ac3",
    "g722",
    "g726",
    "adpcm_yamaha",
    "adpcm_ima_wav",
    "adpcm_ms",
    "libmp3lame",
    "pcm_alaw",
    "pcm_f64le",
]


@pytest.mark.parametrize("ending", CODED)
def test_every_ending_is_read_and_found(ending: str, made: Callable[[str], Path]) -> None:
    path, slack = made(ending), CODED[ending][3]
    sound, missing = read(path)
    assert sound is not None and not missing
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=slack + 1e-6)
    assert audio_info(path).duration == pytest.approx(len(sound) / RATE, abs=1e-3)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(np.sqrt(np.mean(speech() ** 2)), rel=0.25)
    assert path in search(path.parent).files


@pytest.mark.parametrize(
    "ending", ["mp3", "m4a", "mov", "webm", "opus", "mka", "flac", "wv", "tta", "w64", "au", "avi"]
)
def test_priming_is_cut(ending: str, made: Callable[[str], Path]) -> None:
    sound, _ = read(made(ending))
    assert sound is not None and abs(shift(sound, speech())) < 1e-3


@pytest.mark.parametrize("codec", IN_WAV)
def test_every_code_in_a_wav(codec: str, tmp_path: Path) -> None:
    rate = {"ac3": 48_000, "g726": 8_000}.get(codec, RATE)
    sound, missing = read(mux(tmp_path / "a.wav", "wav", codec, rate))
    assert sound is not None and not missing
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("stated", [0.5, 1.0, 1.25, 4.0])
def test_a_bit_rate_is_no_length(stated: float, tmp_path: Path) -> None:
    coded = mux(tmp_path / "a.aac", "adts", "aac").read_bytes()
    rate = round(len(coded) / SECONDS / stated)
    form = struct.pack("<HHIIHHH", 0x1600, 1, RATE, rate, 1, 16, 0)  # AAC in ADTS frames
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(coded)) + coded
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    sound, missing = read(path)
    assert sound is not None and not missing and strictly(path) is None
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("total", [0, 1, 4096, 32_000, 63_999, 64_001, 2**36 - 1])
def test_a_flac_header_may_say_any_length(total: int, made: Callable[[str], Path], tmp_path: Path) -> None:
    content = bytearray(made("flac").read_bytes())
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    content[18:26] = fields.to_bytes(8, "big")
    path = tmp_path / "a.flac"
    path.write_bytes(content)
    sound, missing = read(path)
    assert sound is not None and len(sound) == len(speech())
    assert bool(missing) == (total > len(speech()) + 0.1 * RATE)
    part = load_audio(path, RATE, 1.0, 0.5, strict=False)
    np.testing.assert_allclose(part, sound[RATE : RATE + RATE // 2], atol=1e-4)


def test_folders(tmp_path: Path) -> None:
    inside = tmp_path / "talks" / "deep"
    inside.mkdir(parents=True)
    for name in (
        "a.AVI",
        "b.ts",
        "c.flv",
        "d.wmv",
        "e.mp2",
        "f.ac3",
        "g.w64",
        "h.mpg",
        "i.wv",
        "notes.txt",
        "x",
        ".h.wav",
    ):
        (inside / name).touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "z.amr").touch()
    (tmp_path / "talks" / "link").symlink_to(elsewhere)
    (tmp_path / "talks" / "again").symlink_to(inside)
    (elsewhere / "circle").symlink_to(tmp_path / "talks")
    found = search(tmp_path / "talks")
    assert [path.name for path in found.files] == [
        *sorted(p.name for p in inside.iterdir() if p.suffix not in ("", ".txt") and p.name[0] != "."),
        "z.amr",
    ]
    assert found.note() == "3 files skipped: 1 .txt, 1 hidden, 1 without an ending"
    assert not found.problems

"""Metadata of every container that claim a gigabyte or two: no reader takes memory for what a file does not have."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fuzzing import Reader, attempt
from speech_files import RATE, mux, speech

from speechlstm.data.audio import load_audio

CLAIM = 1_500_000_000
BIG, LITTLE, LONG = struct.pack(">I", CLAIM), struct.pack("<I", CLAIM), struct.pack(">Q", CLAIM)
EBML = (CLAIM | 1 << 56).to_bytes(8, "big")
SEVENS = b"\x7f\x7f\x7f\x7f"  # 28 bits, the most that an ID3 tag can claim
LIST = (
    b"LIST" + LITTLE + b"INFOIART" + struct.pack("<I", CLAIM - 100) + bytes(32)
)  # FFmpeg refuses a tag beyond its chunk
STUFF = BIG * 8  # numbers that claim more
MUXED = {
    "mp4": "aac", "caf": "pcm_s16be", "matroska": "libopus", "w64": "pcm_s16le", "mp3": "libmp3lame", "wv": "wavpack",
    "tta": "tta", "asf": "wmav2", "ogg": "libopus",
}  # fmt: skip
FLAC_PICTURE = struct.pack(">II9sI", 3, 9, b"image/png", 0) + bytes(16) + BIG
APE_ITEM = LITTLE + struct.pack("<I", 2) + b"Cover Art (Front)\0a.png\0" + bytes(40)
APE = b"APETAGEX" + struct.pack("<IIIIQ", 2000, len(APE_ITEM) + 32, 1, 0x8000_0000, 0)
ASF_TAGS = bytes.fromhex("941c23449894d149a1411d134e457054")

# What is put before (+), after (-) or over (=) some bytes of a file; "" is its beginning, or its end.
CASES: dict[str, tuple[str, str, bytes, bytes]] = {
    "LIST of a wav": ("WAV", "+", b"data", LIST),
    "LIST at the end of a wav": ("WAV", "-", b"", LIST),
    "bext of a wav": ("WAV", "+", b"data", b"bext" + LITTLE + STUFF),
    "LIST of an RF64": ("RF64", "+", b"data", LIST),
    "LIST at the end of an RF64": ("RF64", "-", b"", LIST),
    "NAME of an AIFF": ("AIFF", "+", b"COMM", b"NAME" + BIG),
    "ID3 at the end of an AIFF": ("AIFF", "-", b"", b"ID3 " + BIG + STUFF),
    "header of an AU": ("AU", "=", b".snd", b".snd" + BIG),
    "kuki of a CAF": ("caf", "+", b"data", b"kuki" + LONG + STUFF),
    "info of a CAF": ("caf", "+", b"data", b"info" + LONG + STUFF),
    "pakt of a CAF": ("caf", "+", b"data", b"pakt" + LONG + LONG * 3),
    "stsz of an MP4": ("mp4", "=", b"stsz", b"stsz" + bytes(8) + BIG),
    "ctts of an MP4": ("mp4", "-", b"trak", BIG + b"ctts" + bytes(4) + b"\x05\xf5\xe1\x00"),
    "covr of an MP4": ("mp4", "-", b"udta", BIG + b"covr" + STUFF),
    "private data of a Matroska": ("matroska", "=", b"\x63\xa2", b"\x63\xa2" + EBML),
    "tags of a Matroska": ("matroska", "+", b"\x16\x54\xae\x6b", b"\x12\x54\xc3\x67" + EBML + b"\x73\x73" + EBML),
    "attachment of a Matroska": ("matroska", "+", b"\x16\x54\xae\x6b", b"\x19\x41\xa4\x69" + EBML + b"\x61\xa7" + EBML),
    "comments of an Ogg": ("ogg", "=", b"OpusTags", b"OpusTags" + LITTLE),
    "picture of an ID3": ("mp3", "+", b"", b"ID3\4\0\0" + SEVENS + b"APIC\x7f\x7f\0\0\0\0"),
    "compressed frame of an ID3": ("mp3", "+", b"", b"ID3\3\0\0" + SEVENS + b"TIT2\0\0\0\x28\0\x80" + BIG + b"x\x9c"),
    "APE tag of an mp3": ("mp3", "-", b"", APE_ITEM + APE),
    "APE tag of a WavPack": ("wv", "-", b"", APE_ITEM + APE),
    "APE tag of a TTA": ("tta", "-", b"", APE_ITEM + APE),
    "picture of a FLAC": ("FLAC", "+", b"\x84\0\0", b"\x06\xff\xff\xff" + FLAC_PICTURE),
    "comments of a FLAC": ("FLAC", "=", b"\x84\0\0", b"\x84\0\0\x28" + LITTLE * 2),
    "chunk of a W64": ("w64", "+", b"data\xf3\xac", b"bext" + bytes(12) + struct.pack("<Q", CLAIM) + STUFF),
    "object of an ASF": ("asf", "+", bytes.fromhex("9107dcb7"), ASF_TAGS + struct.pack("<Q", CLAIM) + STUFF),
}  # fmt: skip


def content(form: str, folder: Path) -> bytes:
    if form in MUXED:
        return mux(
            folder / f"good.{form}", form, MUXED[form], 48_000 if MUXED[form] == "libopus" else RATE
        ).read_bytes()
    file = io.BytesIO()
    soundfile.write(file, np.asarray(speech()), RATE, format=form, subtype="PCM_16")
    return file.getvalue()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory by /proc")
@pytest.mark.parametrize("name", CASES)
def test_no_container_claims_memory(name: str, tmp_path: Path) -> None:
    form, how, place, piece = CASES[name]
    good = content(form, tmp_path)
    at = good.index(place) if place or how == "+" else len(good)
    end = at if how == "+" else at + len(place) if how == "-" else at + len(piece)
    hostile = good[: end if how == "-" else at] + piece + good[end:]
    attempt(
        Reader(Path, lambda path: load_audio(path, RATE, strict=False)),
        tmp_path / f"a.{form.lower()}",
        hostile,
    )


def test_tags_cut_off_at_the_end_of_a_wav_leave_its_sound(tmp_path: Path) -> None:
    tags = b"LIST" + struct.pack("<I", 500) + b"INFOIART" + struct.pack("<I", 480) + b"somebody"
    (tmp_path / "a.wav").write_bytes(content("WAV", tmp_path) + tags)
    assert np.allclose(load_audio(tmp_path / "a.wav", RATE), speech(), atol=1e-3)

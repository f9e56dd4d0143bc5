"""Wav files whose headers and chunks are wrong or odd: the right samples, or an error that names the file."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from speech_files import RATE, SECONDS, read, speech, strictly

from speechlstm.data.audio import audio_info, load_audio
from speechlstm.types import AudioError


def test_a_wav_with_two_chunks_of_sound_is_read_to_the_end(tmp_path: Path) -> None:
    data = (speech() * 2**15).astype("<i2").tobytes()
    chunk = b"data" + struct.pack("<I", len(data)) + data
    path = tmp_path / "two.wav"
    path.write_bytes(wav(data, after=chunk))
    sound, missing = read(path)
    assert sound is not None and not missing
    assert len(sound) == pytest.approx(2 * len(speech()), abs=100)
    path.write_bytes(wav(data, after=b"note" + struct.pack("<I", len(data)) + data))
    sound, missing = read(path)
    assert sound is not None and not missing and len(sound) == len(speech())


def wav(
    data: bytes, size: int | None = None, riff: bytes = b"RIFF", before: bytes = b"", after: bytes = b""
) -> bytes:
    """Return a wav of 16-bit samples at 16 kHz whose header says what it is told to."""
    order = ">" if riff == b"RIFX" else "<"
    form = b"fmt " + struct.pack(f"{order}IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    size = len(data) if size is None else size
    body = b"WAVE" + before + form + b"data" + struct.pack(f"{order}I", size) + data + after
    return riff + struct.pack(f"{order}I", min(len(body), 2**32 - 1)) + body


def chunk(name: bytes, size: int, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", size) + b"\1" * (size + size % 2)


@pytest.mark.parametrize("size", [0, 2, 1000, 64_000, 2**32 - 1, 2**31 - 1, 0x7FFF_F000, 127_000, 128_000])
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", 27), chunk(b"JUNK", 28) + chunk(b"bext", 602)])
def test_an_interrupted_wav_is_read_to_its_end(size: int, before: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = np.round(speech() * 32767).astype("<i2").tobytes()
    path.write_bytes(wav(data, size, before=before))
    sound, missing = read(path)
    assert sound is not None and not missing
    np.testing.assert_allclose(sound, speech(), atol=1e-4)
    assert audio_info(path).duration == SECONDS


def aac() -> bytes:
    """Return the speech as frames of AAC, each with a header of its own, an odd number of bytes in all."""
    file = io.BytesIO()
    with av.open(file, "w", "adts") as container:
        stream = container.add_stream("aac", RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(speech()[None], "fltp", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def frames(coded: bytes) -> list[bytes]:
    """Return frames of AAC, which say how long they are."""
    cut = []
    while coded:
        size = (coded[3] & 3) << 11 | coded[4] << 3 | coded[5] >> 5
        cut.append(coded[:size])
        coded = coded[size:]
    return cut


@pytest.mark.parametrize("fact", [b"", b"fact" + struct.pack("<II", 4, round(RATE * SECONDS))])
def test_the_byte_that_makes_aac_in_a_wav_even_is_no_loss(fact: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    whole = frames(aac())
    while sum(map(len, whole)) % 2 == 0:
        whole.pop()

    def missing(coded: bytes) -> list[str]:
        rate = round(len(coded) / SECONDS)
        form = b"fmt " + struct.pack("<IHHIIHHH", 18, 0x1600, 1, RATE, rate, 1, 16, 0)
        data = b"data" + struct.pack("<I", len(coded)) + coded + bytes(len(coded) % 2)
        body = b"WAVE" + form + fact + data
        path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
        sound, lost = read(path)
        assert sound is not None
        return lost

    assert not missing(b"".join(whole)) and strictly(path) is None
    assert missing(b"".join(whole)[:-1]), "a frame that is cut off is a loss, be it by a byte"
    at = len(whole) // 2
    assert missing(b"".join([*whole[:at], bytes(len(whole[at])), *whole[at + 1 :]])), "and so is one of zeros"


@pytest.mark.parametrize("tags", [{b"LIST": 30}, {b"id3 ": 501}, {b"cue ": 4, b"LIST": 9}])
@pytest.mark.parametrize("riff", [b"RIFF", b"RIFX"])
def test_chunks_after_the_sound_are_no_sound(tags: dict[bytes, int], riff: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    order = ">" if riff == b"RIFX" else "<"
    kind = f"{order}i2"
    after = b"".join(chunk(name, size, order) for name, size in tags.items())
    path.write_bytes(wav(np.round(speech() * 32767).astype(kind).tobytes(), riff=riff, after=after))
    sound, _ = read(path)
    assert sound is not None
    assert len(sound) == len(speech()) or riff == b"RIFX"


@pytest.mark.parametrize("extra", [2, 1000, 128_000, 10**6, 10**9])
def test_a_wav_that_promises_more_is_short_of_it(extra: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    data = np.round(speech() * 32767).astype("<i2").tobytes()
    path.write_bytes(wav(data, len(data) + extra))
    sound, missing = read(path)
    assert sound is not None and len(sound) == len(speech())
    assert len(missing) == 1 and missing[0].endswith(" at 4.0 s")
    assert "at 4.0 s" in (strictly(path) or "")


@pytest.mark.parametrize("order", ["<", ">"], ids=["RIFF", "RIFX"])
def test_tags_of_a_wav_cannot_claim_memory(order: str, tmp_path: Path) -> None:
    """FFmpeg allocates what a LIST chunk says that it has, be it gigabytes."""
    form = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    tags = struct.pack(f"{order}4sI4s4sI", b"LIST", 1_400_000_000, b"INFO", b"IART", 1_300_000_000)
    sound = struct.pack(f"{order}4sI", b"data", 2000) + bytes(2000)
    head = struct.pack(f"{order}4sI4s", b"RIFF" if order == "<" else b"RIFX", 1 << 30, b"WAVE")
    (tmp_path / "a.wav").write_bytes(head + form + tags + sound)
    with pytest.raises(AudioError, match=r"a\.wav: damaged: its LIST chunk is longer than the file"):
        load_audio(str(tmp_path / "a.wav"), RATE, strict=False)

"""Odd, damaged, and hostile audio: the right samples, or an error that names the file, and never much memory."""

from __future__ import annotations

import random
import resource
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechlstm.data.audio import audio_info, load_audio, search, stream_audio, tar
from speechlstm.types import AudioError

RATE = 16_000
SECONDS = 4.0
FOLDER = Path(__file__).parent


def speech(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """Return pulses of a tone that rises, so that every moment can be told from the others."""
    time = np.arange(round(rate * seconds)) / rate
    beat = 0.3 + 0.7 * (np.sin(2 * np.pi * 3.1 * time) > 0)
    return (0.3 * beat * np.sin(2 * np.pi * (200 + 180 * time) * time)).astype(np.float32)


def mux(
    path: Path,
    form: str,
    codec: str,
    rate: int = RATE,
    channels: int = 1,
    late: float = 0.0,
    picture: float = 0.0,
    drop: tuple[float, float] | None = None,
    **options: str,
) -> Path:
    """Write the speech with ffmpeg, from `late` seconds on, beside a picture, with packets of a time dropped."""
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format=form, options=options) as file:
        video = file.add_stream("flv1" if form == "flv" else "mpeg4", rate=10) if picture else None
        stream: Any = file.add_stream(codec, rate=rate, layout=layout)
        stream.time_base, stream.bit_rate = Fraction(1, rate), 64_000
        if video is not None:
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            for number in range(round(picture * 10)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        data = np.stack([speech(rate)] * channels)
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format="fltp", layout=layout)
        sound.sample_rate, sound.pts, sound.time_base = rate, round(late * rate), Fraction(1, rate)
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name,
            layout=layout,
            rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(sound), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                time = float((packet.pts or 0) * packet.time_base)
                if drop is None or not drop[0] <= time < drop[1]:
                    file.mux(packet)
    return path


# ending: container, codec, rate, and by how much the length may be off because nothing says how long it is
CODED: dict[str, tuple[str, str, int, float]] = {
    "mp3": ("mp3", "libmp3lame", RATE, 0.002),
    "mp2": ("mp2", "mp2", RATE, 0.12),
    "m4a": ("ipod", "aac", RATE, 0.002),
    "mp4": ("mp4", "aac", RATE, 0.002),
    "mov": ("mov", "pcm_s16le", RATE, 0.002),
    "aac": ("adts", "aac", RATE, 0.15),
    "ac3": ("ac3", "ac3", 48_000, 0.05),
    "eac3": ("eac3", "eac3", 48_000, 0.05),
    "webm": ("webm", "libopus", 48_000, 0.03),
    "mkv": ("matroska", "aac", RATE, 0.1),
    "mka": ("matroska", "flac", RATE, 0.01),
    "opus": ("ogg", "libopus", 48_000, 0.002),
    "ogg": ("ogg", "flac", RATE, 0.002),
    "flac": ("flac", "flac", RATE, 0.0),
    "wma": ("asf", "wmav2", 44_100, 0.1),
    "avi": ("avi", "pcm_s16le", RATE, 0.01),
    "flv": ("flv", "aac", 44_100, 0.1),
    "ts": ("mpegts", "mp2", RATE, 0.12),
    "mpg": ("mpeg", "mp2", 44_100, 0.12),
    "wv": ("wv", "wavpack", RATE, 0.002),
    "tta": ("tta", "tta", RATE, 0.002),
    "caf": ("caf", "alac", RATE, 0.1),
    "amr": ("amr", "libopencore_amrnb", 8_000, 0.05),
    "w64": ("w64", "pcm_s16le", RATE, 0.0),
    "au": ("au", "pcm_s16be", RATE, 0.0),
    "aiff": ("aiff", "pcm_s16be", RATE, 0.0),
    "nut": ("nut", "pcm_s16le", RATE, 0.01),
}
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the whole file of an ending, which is written when it is first asked for."""
    folder = tmp_path_factory.mktemp("audio")

    @cache
    def make(ending: str) -> Path:
        path = folder / f"whole.{ending}"
        if ending == "wav":
            soundfile.write(path, speech(), RATE)
        elif ending == "vorbis":
            path = path.with_suffix(".oga")
            soundfile.write(path, np.tile(speech(), 4), RATE, format="OGG", subtype="VORBIS")
        else:
            form, codec, rate, _ = CODED[ending]
            mux(path, form, codec, rate)
        return path

    return make


def read(path: Path) -> tuple[np.ndarray | None, list[str]]:
    """Return what can be read of a file and what is missing, or None and the error, which names the file."""
    warnings: list[str] = []
    try:
        return load_audio(path, RATE, strict=False, warnings=warnings), warnings
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")
        return None, [str(error)]


def strictly(path: Path) -> str | None:
    """Return the error with which training refuses a file."""
    try:
        load_audio(path, RATE)
    except AudioError as error:
        assert str(error).startswith(f"{path}: ")
        return str(error)
    return None


def shift(sound: np.ndarray, wanted: np.ndarray) -> float:
    """Return by how many seconds a sound is late."""
    size = 1 << (len(sound) + len(wanted)).bit_length()
    match = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(wanted, size)))
    place = int(np.argmax(match))
    return (place if place < size // 2 else place - size) / RATE


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


@pytest.mark.parametrize("form", ["asf", "matroska", "mp4", "avi"])
def test_a_picture_that_is_longer_is_no_missing_sound(form: str, tmp_path: Path) -> None:
    codec, rate = ("wmav2", 44_100) if form == "asf" else (LATE[form], RATE)
    path = mux(tmp_path / f"a.{form}", form, codec, rate, picture=3 * SECONDS)
    sound, missing = read(path)
    assert sound is not None and not missing and strictly(path) is None
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)


LATE = {"mp4": "aac", "mov": "aac", "matroska": "aac", "mpegts": "mp2", "avi": "pcm_s16le", "flv": "aac"}


@pytest.mark.parametrize("form", LATE)
def test_sound_lies_where_its_time_stamps_say(form: str, tmp_path: Path) -> None:
    rate = 44_100 if form == "flv" else RATE
    plain, _ = read(mux(tmp_path / "plain", form, LATE[form], rate, picture=5.0))
    late, missing = read(mux(tmp_path / "late", form, LATE[form], rate, late=2.0, picture=7.0))
    assert plain is not None and late is not None and not missing
    delay = shift(late, speech()) - shift(plain, speech())
    assert delay == pytest.approx(0.0 if form == "avi" else 2.0, abs=0.07)  # avi has no time stamps
    assert len(plain) / RATE == pytest.approx(SECONDS, abs=0.2)  # the picture lasts longer


@pytest.mark.parametrize("form", ["mp4", "matroska", "webm", "mpegts", "flv", "asf"])
@pytest.mark.parametrize("drop", [(1.0, 1.5), (2.0, 3.0), (0.5, 0.9)])
def test_lost_packets_become_silence(form: str, drop: tuple[float, float], tmp_path: Path) -> None:
    codec = {"webm": "libopus", "mpegts": "mp2", "asf": "wmav2"}.get(form, "aac")
    rate = {"webm": 48_000, "flv": 44_100, "asf": 44_100}.get(form, RATE)
    path = mux(tmp_path / "a", form, codec, rate, drop=drop)
    sound, missing = read(path)
    assert sound is not None
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.2)
    quiet = sound[round((drop[0] + 0.15) * RATE) : round((drop[1] - 0.1) * RATE)]
    assert np.abs(quiet).max() < 0.02
    if form != "mp4":  # whose header gives the packet before the whole time
        assert len(missing) == 1
        assert "missing at" in (strictly(path) or "")


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def hole(content: bytes, share: float) -> bytes:
    at = int(len(content) * share)
    return content[:at] + content[at + len(content) // 10 :]


def noise(content: bytes, share: float) -> bytes:
    at, size = int(len(content) * share), len(content) // 10
    return content[:at] + random.Random(at).randbytes(size) + content[at + size :]


def zeros(content: bytes, share: float) -> bytes:
    at, size = int(len(content) * share), len(content) // 10
    return content[:at] + bytes(size) + content[at + size :]


HARM = [cut, hole, noise, zeros]
UNPROTECTED = {
    "wav",
    "w64",
    "au",
    "aiff",
    "mov",
    "avi",
    "nut",
    "aac",
    "amr",
    "wma",
    "flv",
    "ac3",
    "eac3",
    "mp2",
    "ts",
    "mpg",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("ending", [*CODED, "wav"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_damage(
    ending: str,
    harm: Callable[[bytes, float], bytes],
    share: float,
    made: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / f"harmed.{ending}"
    path.write_bytes(harm(made(ending).read_bytes(), share))
    sound, missing = read(path)
    if sound is None:
        return
    assert np.isfinite(sound).all() and len(sound) / RATE < SECONDS + 1.0
    if harm is cut:
        assert len(sound) / RATE <= SECONDS * share + 0.6
    elif ending not in ("webm", "mkv", "mka", "nut", "tta"):  # whose demuxers skip far
        assert len(sound) / RATE > SECONDS * 0.5
    if harm is not zeros and ending not in UNPROTECTED:  # a code with checksums or stated lengths
        assert missing, "nobody would learn that something is missing"
        assert "missing at" in (strictly(path) or "") or "cut off" in (strictly(path) or "")


def pages(content: bytes) -> list[tuple[int, int]]:
    """Return where the pages of an Ogg file begin and end."""
    found: list[tuple[int, int]] = []
    place = 0
    while (place := content.find(b"OggS", place)) >= 0:
        count = content[place + 26]
        end = place + 27 + count + sum(content[place + 27 : place + 27 + count])
        found.append((place, end))
        place = end
    return found


@pytest.mark.parametrize("ending", ["vorbis", "opus"])
@pytest.mark.parametrize("way", ["lost", "damaged", "headless"])
@pytest.mark.parametrize("number", range(-2, 6))
def test_one_page_of_ogg(
    ending: str, way: str, number: int, made: Callable[[str], Path], tmp_path: Path
) -> None:
    content = made(ending).read_bytes()
    whole, _ = read(made(ending))
    begin, end = pages(content)[number]
    middle = (begin + end) // 2
    changed = {
        "lost": content[:begin] + content[end:],
        "damaged": content[:middle]
        + bytes(byte ^ 85 for byte in content[middle : middle + 9])
        + content[middle + 9 :],
        "headless": content[:begin] + b"XXXX" + content[begin + 4 :],
    }[way]
    path = tmp_path / "a.ogg"
    path.write_bytes(changed)
    sound, missing = read(path)
    if number in (0, 1):  # without the decoder's headers there is no sound; Opus needs no comments
        assert (sound is None) == (number == 0 or ending == "vorbis")
        return
    assert sound is not None and whole is not None and len(missing) == 1
    assert (
        end > len(content) - 1000 or number == -2 or len(sound) == pytest.approx(len(whole), abs=0.05 * RATE)
    )
    assert strictly(path)


def joined(tmp_path: Path, *files: Path) -> np.ndarray:
    path = tmp_path / f"joined{files[0].suffix}"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    sound, missing = read(path)
    assert sound is not None and not missing and strictly(path) is None
    return sound


@pytest.mark.parametrize("ending", ["mp3", "aac", "opus", "vorbis", "ac3", "mp2", "ts", "ogg"])
@pytest.mark.parametrize("times", [2, 3])
def test_joined_files_are_read_to_the_end(
    ending: str, times: int, made: Callable[[str], Path], tmp_path: Path
) -> None:
    one, _ = read(made(ending))
    assert one is not None
    sound = joined(tmp_path, *[made(ending)] * times)
    assert len(sound) == pytest.approx(times * len(one), abs=0.1 * times * RATE)


@pytest.mark.parametrize(
    ("form", "codec"), [("adts", "aac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("ogg", "flac")]
)
@pytest.mark.parametrize("rates", [(48_000, 48_000), (24_000, 48_000), (48_000, 16_000)])
def test_layout_and_rate_may_change(form: str, codec: str, rates: tuple[int, int], tmp_path: Path) -> None:
    files = [
        mux(tmp_path / f"{number}.{form}", form, codec, rate, channels)
        for number, (rate, channels) in enumerate(zip(rates, (1, 2), strict=True))
    ]
    sound = joined(tmp_path, *files)
    assert len(sound) / RATE == pytest.approx(2 * SECONDS, abs=0.3)


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


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    quiet = 0.5 * speech()
    soundfile.write(path, np.stack([quiet, -speech()], 1), RATE, subtype="FLOAT")
    soundfile.write(path.with_name("b.wav"), np.stack([speech(), -speech()], 1), RATE, subtype="FLOAT")
    soundfile.write(path.with_name("c.wav"), np.stack([speech(), 0 * speech()], 1), RATE, subtype="FLOAT")
    for name, canceled, scale in (("b.wav", True, 1.0), ("c.wav", False, 0.5), ("a.wav", False, -0.25)):
        sound, warnings = read(path.with_name(name))
        assert sound is not None
        np.testing.assert_allclose(sound, scale * speech(), atol=1e-6)
        assert warnings == (
            ["channels cancel each other at 0.0 s; channel 0 was taken there"] if canceled else []
        )


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_channel_that_is_not_finite(tmp_path: Path, broken: int, value: float) -> None:
    path = tmp_path / "a.wav"
    begin = RATE // 2
    channels = np.stack([speech(), speech()], 1)
    channels[begin:, broken] = value
    soundfile.write(path, channels, RATE, subtype="FLOAT")
    said = f"channel {broken} has values that are not finite (NaN or infinity) at 0.5 s"
    sound, warnings = read(path)
    np.testing.assert_allclose(sound, speech(), atol=1e-6)
    assert warnings == [f"{said}; the others were taken there"]
    with pytest.raises(AudioError) as caught:
        load_audio(path, RATE, strict=True)
    assert str(caught.value).startswith(f"{path}: {said}; ") and "strict_audio=false" in str(caught.value)
    channels[begin : begin + RATE // 4] = value  # in both
    soundfile.write(path, channels, RATE, subtype="FLOAT")
    sound, warnings = read(path)
    assert sound is not None and warnings[0] == "0.25 s missing at 0.5 s" and len(warnings) == 2
    np.testing.assert_allclose(sound[begin + RATE // 4 :], speech()[begin + RATE // 4 :], atol=1e-6)


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


def test_a_file_that_cannot_be_read_is_named() -> None:
    place = Path("/proc/self/mem")
    if not place.exists():
        pytest.skip("no /proc here")
    assert "cannot be read" in (strictly(place) or "")


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


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(
        ["wav", "flac", "mp3", "m4a", "webm", "opus", "vorbis", "aac", "wma", "avi", "caf", "w64"]
    ),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8), st.booleans()), max_size=6),
    keep=st.floats(0.01, 1),
)
def test_any_bytes_give_samples_or_an_error(
    ending: str,
    edits: list[tuple[float, bytes, bool]],
    keep: float,
    made: Callable[[str], Path],
    scratch: Path,
) -> None:
    content = bytearray(made(ending).read_bytes())
    for share, piece, early in edits:
        at = int(share * (min(300, len(content)) if early else len(content)))
        content[at : at + len(piece)] = piece
    path = scratch / f"a.{ending}"
    path.write_bytes(content[: int(len(content) * keep)])
    sound, _ = read(path)
    assert sound is None or (len(sound) and np.isfinite(sound).all())

"""Every format comes back as what went in; every kind of broken file is named, with its reason."""

from __future__ import annotations

import itertools
import os
import random
import tarfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechlstm.data.audio import AUDIO_SUFFIXES, audio_info, holder, load_audio, tar
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.mixing import Mixer
from speechlstm.types import AudioError

RATE = 16_000
SECONDS = 3.0


def chirp(rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.4 * np.sin(2 * np.pi * (150 + 250 * time) * time)).astype(np.float32)


def encode(path: Path, codec: str, container: str, rate: int = RATE, **options: str) -> Path:
    """Write the chirp with ffmpeg."""
    frame = av.AudioFrame.from_ndarray(chirp(rate)[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            file.mux(stream.encode(piece))
    return path


def write(folder: Path, name: str) -> Path:
    """Write the chirp in the format that the name stands for."""
    path = folder / name
    kind = path.suffix[1:]
    if kind in ("m4a", "mp4"):
        return encode(path, "aac", "ipod" if kind == "m4a" else "mp4")
    if kind == "webm":
        return encode(path, "libopus", "webm", 48_000)
    if name == "bare.mp3":
        return encode(path, "libmp3lame", "mp3", write_xing="0")
    if kind == "aac":
        return encode(path, "aac", "adts")
    if kind == "raw":
        path.write_bytes((chirp() * 32767).astype(">i2").tobytes())
        return path
    formats: dict[str, dict[str, Any]] = {
        "opus": {"format": "OGG", "subtype": "OPUS"},
        "sph": {"format": "NIST", "subtype": "PCM_16"},
    }
    soundfile.write(path, chirp(), RATE, **formats.get(kind, {}))
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """Keep only the first bytes of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def error(path: Path, **segment: Any) -> str:
    """Return the message with which the file is refused; it begins with the path and is one line."""
    with pytest.raises(AudioError) as caught:
        load_audio(path, RATE, **segment)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


WAV = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]


@pytest.mark.parametrize(("kind", "subtype"), list(itertools.product(["WAV", "WAVEX"], WAV)))
def test_every_wav(tmp_path: Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, chirp(), RATE, format=kind, subtype=subtype)
    exact = {"PCM_U8": 8e-3, "ALAW": 2e-2, "ULAW": 2e-2}.get(subtype, 4e-5)
    waveform = load_audio(path, RATE)
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, chirp(), atol=exact)


def test_a_track_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    levels = (0.25, -0.5)
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in levels]
        for level, stream in zip(levels, streams, strict=True):
            samples = np.full((1, RATE), level * 2**15, np.int16)
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.sample_rate = RATE
            file.mux([*stream.encode(frame), *stream.encode(None)])
    for track, level in enumerate(levels):
        assert audio_info(path, track=track).duration == 1.0
        np.testing.assert_allclose(load_audio(path, RATE, track=track), level)
        assert len(load_audio(path, RATE, 0.75, 9.0, track=track, clip=True)) == RATE // 4
    for track in (-1, 2):
        with pytest.raises(AudioError, match=rf"film.mkv: no track {track}; its audio tracks are 0 to 1"):
            load_audio(path, RATE, track=track)
    with pytest.raises(AudioError, match="no track 1; an array has one"):
        load_audio((np.zeros(RATE), RATE), RATE, track=1)


# tolerance of the root mean square difference, and of the length in seconds
FORMATS = {
    "a.flac": (1e-4, 0.0),
    "a.sph": (1e-4, 0.0),
    "a.raw": (1e-4, 0.0),
    "a.aiff": (1e-4, 0.0),
    "a.au": (1e-4, 0.0),
    "a.ogg": (2e-2, 0.0),
    "a.opus": (3e-2, 0.0),
    "a.mp3": (2e-2, 0.0),
    "bare.mp3": (None, 0.1),  # without a length header the encoder's delay stays in
    "a.m4a": (2e-2, 0.0),
    "a.mp4": (2e-2, 0.0),
    "a.webm": (3e-2, 0.01),
    "a.aac": (None, 0.2),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    close, late = FORMATS[name]
    info, waveform = audio_info(path), load_audio(path, RATE)
    assert path.suffix in AUDIO_SUFFIXES
    assert info.duration == pytest.approx(SECONDS, abs=late + 1e-9)
    assert info.channels == 1
    assert len(waveform) / RATE == pytest.approx(info.duration, abs=0.01 if late else 0)
    assert np.quantile(np.abs(waveform), 0.95) == pytest.approx(0.4, abs=0.05)
    if close is not None:
        size = min(len(waveform), len(chirp()))
        assert np.sqrt(np.mean((waveform[:size] - chirp()[:size]) ** 2)) < close


@pytest.mark.parametrize("name", FORMATS)
def test_segment_is_a_slice_of_the_whole(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    whole = load_audio(path, RATE)
    for offset, duration in [(0.0, 0.5), (0.01, 0.1), (0.25, 0.5), (0.501, 0.1), (1.25, 0.5), (2.0, None)]:
        start = round(offset * RATE)
        part = load_audio(path, RATE, offset, duration)
        wanted = whole[start:] if duration is None else whole[start : start + round(duration * RATE)]
        # webm's times are whole milliseconds and its codec needs a run-up; the others are exact or nearly so
        assert len(part) == pytest.approx(len(wanted), abs=16 if name == "a.webm" else 0)
        if name != "a.webm":
            np.testing.assert_allclose(part, wanted, atol=2e-2)


def test_segment_reads_only_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.wav")
    sizes: list[int] = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n, *a, **k: sizes.append(n) or read(self, n, *a, **k)
    )
    load_audio(path, RATE, offset=1.0, duration=0.5)
    assert sizes == [RATE // 2]


def test_channels_are_mixed_or_picked(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    left, right = chirp(), np.full_like(chirp(), 0.25)
    soundfile.write(path, np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    assert audio_info(path).channels == 2
    np.testing.assert_array_equal(load_audio(path, RATE, channel=0), left)
    np.testing.assert_array_equal(load_audio(path, RATE, channel=1), right)
    np.testing.assert_allclose(load_audio(path, RATE), (left + right) / 2, atol=1e-7)
    assert "no channel 2; it has 2 channels" in error(path, channel=2)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_gives_the_same_sound(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, chirp(rate), rate, subtype="FLOAT")
    waveform = load_audio(path, RATE)
    assert len(waveform) == pytest.approx(RATE * SECONDS, abs=1)
    middle = slice(RATE // 10, -RATE // 10)  # the ends ring
    np.testing.assert_allclose(waveform[: len(chirp())][middle], chirp()[middle], atol=2e-3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=st.integers(1, 500),
    channels=st.integers(1, 8),
    rate=st.sampled_from([8000, 16000, 44100]),
    kind=st.sampled_from(["wav", "flac"]),
)
def test_lengths_and_header_agree(tmp_path: Path, samples: int, channels: int, rate: int, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, np.zeros((samples, channels)), rate)
    info = audio_info(path)
    assert info.duration == samples / rate
    assert (info.sample_rate, info.channels) == (rate, channels)
    assert load_audio(path, rate).shape == (samples,)


def test_wav_written_to_a_pipe_has_no_length(tmp_path: Path) -> None:
    path = write(tmp_path, "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff" * 4
    path.write_bytes(data)
    assert len(load_audio(path, RATE)) == len(chirp())


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


@pytest.mark.parametrize(
    ("values", "reason"),
    [([0.0, np.nan], "not finite"), ([np.inf, 0.0], "not finite"), ([9e3, 0], "full scale is 1")],
)
def test_values_that_are_no_sound_are_refused(tmp_path: Path, values: list[float], reason: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array(values * 50, dtype=np.float32), RATE, subtype="FLOAT")
    assert reason in error(path)


@pytest.mark.parametrize("size", ["1e39", "1e300", "-1e300"])
@pytest.mark.parametrize("share", [1.0, 0.01])
def test_values_beyond_float32_are_beyond_full_scale(tmp_path: Path, size: str, share: float) -> None:
    values = np.where(np.arange(1000) < 1000 * share, float(size), 0.1)
    soundfile.write(tmp_path / "a.wav", values, RATE, subtype="DOUBLE")
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream: Any = file.add_stream("pcm_f64le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(values[None], format="dbl", layout="mono")
        frame.sample_rate = RATE
        file.mux([packet for given in (frame, None) for packet in stream.encode(given)])
    for audio in (tmp_path / "a.wav", tmp_path / "a.mkv", (values, RATE)):
        with pytest.raises(AudioError, match=r"reaches 3.40282e\+38, but full scale is 1"):
            load_audio(audio, RATE, strict=False)
        with pytest.raises(AudioError, match="not finite"):
            load_audio((np.where(values == 0.1, values, np.nan), RATE), RATE)


@pytest.mark.parametrize("block", [20000, 80000])
@pytest.mark.parametrize(
    ("spans", "lines"),
    [
        ([(0.0, 1)], ["0.062 ms missing at 0.0 s"]),
        ([(1.0, 1), (4.0, 1)], ["0.062 ms missing at 1.0 s", "0.062 ms missing at 4.0 s"]),
        ([(1.0, 80), (3.0, 16000)], ["0.01 s missing at 1.0 s", "1.00 s missing at 3.0 s"]),
        ([(1.0, 800), (1.06, 640)], ["0.10 s missing at 1.0 s"]),
        ([(0.25 * k, 160 if k < 10 else 960) for k in range(12)], None),
    ],
)
def test_only_what_is_not_finite_is_missing(
    block: int, spans: list[tuple[float, int]], lines: list[str] | None
) -> None:
    samples = np.full((5 * RATE, 1), 0.1, np.float32)
    for start, count in spans:
        samples[int(start * RATE) :][:count] = np.nan
    losses = Losses("a", strict=False)
    mixer = Mixer(losses, None, 0.0)
    mono = [mixer(samples[k : k + block], RATE) for k in range(0, len(samples), block)]
    assert np.array_equal(np.concatenate(mono), np.nan_to_num(samples[:, 0]))
    many = [f"0.01 s missing at {0.25 * k:.1f} s" for k in range(10)]
    assert losses.messages() == (lines or [*many, "2 more stretches missing, 0.12 s in all"])


def test_whole_blocks_that_are_not_finite_are_missing_unless_all_are(tmp_path: Path) -> None:
    samples = np.full(300 * RATE, 0.1, np.float32)
    samples[40 * RATE : 200 * RATE] = np.nan
    soundfile.write(path := tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    lines: list[str] = []
    sound = load_audio(path, RATE, strict=False, warnings=lines)
    assert lines == ["160.00 s missing at 40.0 s"]
    assert np.array_equal(sound, np.nan_to_num(samples))
    for part in ({}, {"offset": 60.0, "duration": 100.0}):
        soundfile.write(path, samples * (np.nan if not part else 1), RATE, subtype="FLOAT")
        with pytest.raises(AudioError, match="holds only values that are not finite"):
            load_audio(path, RATE, strict=False, **part)


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


@pytest.mark.parametrize("name", ["наш файл.wav", "a, b=1 'c'.wav", "声.flac", "ü.mp3"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    assert len(load_audio(write(tmp_path, name), RATE)) == len(chirp())


# files inside tar archives


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


def test_real_recordings(corpora: Path) -> None:
    paths = sorted(path for path in corpora.rglob("*") if path.suffix in AUDIO_SUFFIXES)
    for path in random.Random(0).sample(paths, 40):
        assert len(load_audio(path, RATE)) == pytest.approx(audio_info(path).duration * RATE, abs=1)

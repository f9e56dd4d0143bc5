"""Every format comes back as what went in, whole or in part, at any rate, from any channel."""

from __future__ import annotations

import io
import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from chirps import FORMATS, RATE, SECONDS, chirp, error, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechlstm.data.audio import AUDIO_SUFFIXES, audio_info, load_audio
from speechlstm.types import AudioError

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


def test_parts_of_an_open_file_are_read_at_once() -> None:
    class Slow(io.BytesIO):
        """Brings little at a time, and lets other threads go on meanwhile."""

        def read(self, size: int | None = -1, /) -> bytes:
            time.sleep(1e-4)
            return super().read(4096 if size is None or size < 0 else min(size, 4096))

    content = io.BytesIO()
    soundfile.write(content, chirp(), RATE, format="WAV", subtype="FLOAT")
    file, parts = Slow(content.getvalue()), 8
    count = len(chirp()) // parts
    with ThreadPoolExecutor(parts) as pool:
        work = [pool.submit(load_audio, file, RATE, k * count / RATE, count / RATE) for k in range(parts)]
        sound = np.concatenate([each.result() for each in work])
    np.testing.assert_allclose(sound, chirp()[: len(sound)], atol=1e-6)
    assert len(sound) == parts * count and file.tell() == 0


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


@pytest.mark.parametrize("name", ["наш файл.wav", "a, b=1 'c'.wav", "声.flac", "ü.mp3"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    assert len(load_audio(write(tmp_path, name), RATE)) == len(chirp())


def test_real_recordings(corpora: Path) -> None:
    paths = sorted(path for path in corpora.rglob("*") if path.suffix in AUDIO_SUFFIXES)
    for path in random.Random(0).sample(paths, 40):
        assert len(load_audio(path, RATE)) == pytest.approx(audio_info(path).duration * RATE, abs=1)

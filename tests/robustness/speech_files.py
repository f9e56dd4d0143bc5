"""Speech-like sound in files of every format, and how tests read them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from speechlstm.data.audio import load_audio
from speechlstm.types import AudioError

RATE = 16_000
SECONDS = 4.0


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


def whole(folder: Path, ending: str) -> Path:
    """Write the speech to the file of an ending: of CODED, `wav`, or `vorbis`, which is four times as long."""
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

"""A chirp in files of every format, and how such a file is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from speechlstm.data.audio import load_audio
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

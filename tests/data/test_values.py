"""Values of samples that are no sound: beyond full scale, or not finite, which is missing where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from chirps import RATE, error

from speechlstm.data.audio import load_audio
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.mixing import Mixer
from speechlstm.types import AudioError


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


def test_what_is_missing_is_told_in_order() -> None:
    losses = Losses("a", strict=False)
    for start, seconds in ((8.0, 2.0), (1.0, 0.5), (7.5, 0.45), (5.0, 1.0), (1.52, 0.1)):
        losses.add(start, seconds)
    lines = ["0.62 s missing at 1.0 s", "1.00 s missing at 5.0 s", "2.50 s missing at 7.5 s"]
    assert losses.messages() == lines


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

"""Recordings in the error report: how noisy they are, and how many fit into the page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlstm.data.audio import load_audio
from speechlstm.evaluation.errorreport import recording
from speechlstm.types import Utterance


def speech(snr: float, seconds: float = 3.0, rate: int = 16_000) -> np.ndarray:
    """Return a tone that comes and goes, in white noise."""
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 300 * time) * (np.sin(2 * np.pi * 1.5 * time) > 0)
    noise = np.random.default_rng(0).normal(size=len(time)) * math.sqrt(0.5) * 10 ** (-snr / 20)
    return (0.1 * (tone + noise)).astype(np.float32)


@pytest.mark.parametrize("snr", [5.0, 15.0, 30.0])
def test_noise_is_estimated_whatever_the_loudness(snr: float) -> None:
    found = recording.estimate_snr(speech(snr), 16_000)
    assert found == pytest.approx(snr, abs=1.0)
    assert recording.estimate_snr(speech(snr) * 0.1 + 0.2, 16_000) == pytest.approx(found, abs=0.1)
    padded = np.pad(speech(snr), 16_000)  # digital silence is not the background
    assert recording.estimate_snr(padded, 16_000) == pytest.approx(found, abs=0.3)


def test_noise_cannot_be_told_without_speech_or_sound() -> None:
    assert recording.estimate_snr(np.zeros(16_000, np.float32), 16_000) is None
    assert recording.estimate_snr(np.zeros(0, np.float32), 16_000) is None
    assert recording.estimate_snr(speech(-60.0), 16_000) is None


def test_recordings_are_small_and_sound_the_same(tmp_path: Path) -> None:
    waveform = speech(40.0)
    content = recording.encode_opus(waveform, 16_000)
    assert len(content) < 3 * 3_000
    (tmp_path / "a.ogg").write_bytes(content)
    heard = load_audio(tmp_path / "a.ogg", 16_000)
    assert len(heard) == pytest.approx(len(waveform), abs=1_000)
    levels = [np.square(w[:47_000].reshape(-1, 1000)).mean(1) for w in (waveform, heard)]
    assert np.corrcoef(*levels)[0, 1] > 0.98


def test_the_budget_is_kept_and_spent_on_the_first(tmp_path: Path) -> None:
    said = []
    for index in range(5):
        soundfile.write(tmp_path / f"{index}.wav", speech(20.0, 1.0, 11_025), 11_025)
        said.append(Utterance(str(tmp_path / f"{index}.wav"), 0.5, "", id=str(index), offset=0.25))
    whole = recording.embed(said, range(5), 11_025, 1e6)
    assert sorted(whole) == [0, 1, 2, 3, 4]
    size = len(whole[3]) * 4 / 3
    assert list(recording.embed(said, [3, 1, 0], 11_025, 2.2 * size)) == [3, 1]
    assert recording.embed(said, range(5), 11_025, 0) == {}
    Path(said[3].audio_filepath).unlink()
    assert list(recording.embed(said, [3, 1, 0], 11_025, 1e6)) == [1, 0]
    assert [value is None for value in recording.measure_snr(said, 16_000)] == [
        False,
        False,
        False,
        True,
        False,
    ]

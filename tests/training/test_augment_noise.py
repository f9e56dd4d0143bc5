"""Noise that is added to waveforms: as loud as asked, of the color or the recording asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from sounds import RATE, decibels, hiss, tone

from speechlstm import configs
from speechlstm.training.augment import (
    Change,
    Noise,
    Reverb,
)
from speechlstm.training.augment.noise import colored
from speechlstm.types import AudioError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two recordings, one shorter and one longer than a second."""
    (tmp_path / "deep/er").mkdir(parents=True)
    soundfile.write(tmp_path / "short.wav", hiss(4_000, 1), RATE)
    soundfile.write(tmp_path / "deep/er/long.flac", hiss(48_000, 2), RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


@pytest.mark.parametrize("snr", [-5, 0, 17])
@pytest.mark.parametrize("recorded", [False, True])
def test_noise_is_as_far_below_the_speech_as_asked(folder: Path, recorded: bool, snr: float) -> None:
    noise = Noise(RATE, str(folder) if recorded else None, [snr, snr], probability=1)
    for seed in range(4):
        noisy = noise(tone(440), np.random.default_rng(seed))
        assert decibels(tone(440), noisy - tone(440)) == pytest.approx(snr, abs=0.01)


def test_levels_are_drawn_from_all_of_their_range() -> None:
    noise = Noise(RATE, snr=[5, 15], probability=1)
    speech = tone(440, 0.1)
    found = [decibels(speech, noise(speech, np.random.default_rng(seed)) - speech) for seed in range(200)]
    assert (
        4.99 < min(found) < 5.5 and 14.5 < max(found) < 15.01 and np.mean(found) == pytest.approx(10, abs=1)
    )


def test_colored_noise_falls_with_frequency_from_white_to_brown() -> None:
    slopes = []
    for seed in range(60):
        frequency, power = scipy.signal.welch(
            colored(40_000, np.random.default_rng(seed)), RATE, nperseg=1024
        )
        inside = slice(4, 400)
        slopes.append(np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0])
    assert -2.15 < min(slopes) < -1.7 and -0.3 < max(slopes) < 0.15


def test_recorded_noise_is_an_excerpt_or_the_whole_repeated(folder: Path) -> None:
    noise = Noise(RATE, str(folder), [0, 0], probability=1)
    assert [(path.name, seconds) for path, seconds in noise.files or []] == [
        ("long.flac", 3.0),
        ("short.wav", 0.25),
    ]
    short, _ = soundfile.read(folder / "short.wav", dtype="float32")
    long, _ = soundfile.read(folder / "deep/er/long.flac", dtype="float32")
    silent_but_for_one = np.zeros(RATE, np.float32)
    silent_but_for_one[5] = 1
    kinds = set()
    for seed in range(8):
        added = noise(silent_but_for_one, np.random.default_rng(seed)) - silent_but_for_one
        repeated = np.abs(added[:12_000] - added[4_000:]).max() < 1e-6
        kinds.add(repeated)
        within = np.concatenate([short, short]) if repeated else long
        part = added[100:3_900]
        match = scipy.signal.correlate(within, part, "valid", "fft")
        place = int(match.argmax())
        assert np.corrcoef(within[place : place + len(part)], part)[0, 1] > 0.999
    assert kinds == {True, False}


def test_silence_gets_no_noise_and_silent_noise_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    assert not Noise(RATE, probability=1)(np.zeros(100, np.float32), rng).any()
    soundfile.write(tmp_path / "silence.wav", np.zeros(100), RATE)
    np.testing.assert_array_equal(Noise(RATE, str(tmp_path), probability=1)(tone(440), rng), tone(440))


@pytest.mark.parametrize("kind", [Noise, Reverb])
def test_folders_without_audio_and_unreadable_files_are_named(
    kind: Callable[..., Change], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"folder is nowhere, where there is no audio file"):
        kind(RATE, "nowhere")
    (folder / "broken.wav").write_bytes(b"RIFF....WAVE")
    with pytest.raises(
        AudioError, match=rf"^{folder}/broken.wav: .*\(1 of 3 audio files of augment: \w+.folder="
    ):
        kind(RATE, str(folder))


def test_an_unreadable_file_comes_through_the_config(folder: Path) -> None:
    cfg = configs.load("train", ["augment=noisy", f"augment.waveform.noise.folder={folder}"])
    assert len(configs.build(cfg.augment.waveform).changes[2].files) == 2
    (folder / "broken.ogg").write_bytes(b"OggS")
    with pytest.raises(AudioError, match=r"broken\.ogg"):
        configs.build(cfg.augment.waveform)

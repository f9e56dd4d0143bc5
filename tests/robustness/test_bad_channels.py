"""Channels that cancel each other or are not finite: what can be heard of them, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech_files import RATE, read, speech

from speechlstm.data.audio import load_audio, sndfile
from speechlstm.data.audio.losses import Losses
from speechlstm.data.audio.mixing import Mixer
from speechlstm.types import AudioError


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
            ["channels cancel each other from 0.0 to 4.0 s; channel 0 was taken there"] if canceled else []
        )


def test_of_two_speakers_the_one_whose_channels_cancel_each_other_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, sign = np.tile(speech(), 3), np.repeat([1, -1, 1], len(speech())).astype(np.float32)
    soundfile.write(path := tmp_path / "a.wav", np.stack([said, sign * said], 1), RATE, subtype="FLOAT")
    there = "channels cancel each other from {} to 8.0 s; channel 0 was taken there"
    for block in (1 << 20, 30_000, 1001):  # values that are read at a time
        monkeypatch.setattr(sndfile, "_BLOCK", block)
        sound, warnings = read(path)
        assert sound is not None and warnings == [there.format("4.0")]
        late = np.abs(sound - said) > 1e-6
        assert np.array_equal(late, late & np.isin(np.arange(len(said)) // (RATE // 100), [400, 800]))
        assert np.abs(np.diff(sound)).max() < 2 * np.abs(np.diff(said)).max()  # no click
        warnings = []
        part = load_audio(path, RATE, 5.1, 6.0, warnings=warnings)
        assert warnings == [there.format("5.1")]
        np.testing.assert_allclose(part, sound[round(5.1 * RATE) :][: len(part)], atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
@pytest.mark.parametrize("begin", [0.0, 0.2499, 0.3, 7.77])
def test_channels_are_mixed_alike_in_blocks_of_any_size(rate: int, begin: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (5 * rate, 2)).astype(np.float32)
    turned = np.where(np.sin(np.arange(len(noise)) / rate * 3) > 0, 1, -1)
    noise[:, 1] = turned * noise[:, 0] + 0.1 * noise[:, 1]
    mixed = []
    for block in (len(noise), rate, 777):
        mixer = Mixer(Losses("a", strict=True), None, begin)
        blocks = [(noise[start : start + block], rate) for start in range(0, len(noise), block)]
        mixed.append(np.concatenate([mono for mono, _ in mixer.all(blocks)]))
        assert len(mixer.messages()) == 2
    assert np.allclose(mixed[0], mixed[1]) and np.allclose(mixed[0], mixed[2])


def test_many_stretches_in_which_channels_cancel_each_other(tmp_path: Path) -> None:
    said = np.tile(np.abs(speech(RATE, 2.0)) + 0.01, 24)
    sign = np.repeat(np.tile([1, -1], 12), 2 * RATE)
    soundfile.write(path := tmp_path / "a.wav", np.stack([said, sign * said], 1), RATE, subtype="FLOAT")
    _, warnings = read(path)
    assert warnings[:2] == [
        f"channels cancel each other from {k}.0 to {k + 2}.0 s; channel 0 was taken there" for k in (2, 6)
    ]
    assert len(warnings) == 11 and warnings[-1] == "channels cancel each other in 2 more stretches"


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

"""Rooms, bands, and codecs that waveforms go through: each does by measure what its name says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, decibels, hiss, tone

from speechlstm.training.augment import (
    BandLimit,
    Reverb,
)
from speechlstm.training.augment.channel import compressed, within_band
from speechlstm.training.augment.reverb import in_room, simulated

CODECS = ["mulaw", "gsm", "mp3", "vorbis", "opus"]


@settings(max_examples=20)
@given(st.integers(1, 3_000), st.integers(1, 3_000), st.integers(0, 99))
def test_a_room_is_a_convolution_at_the_level_there_was(samples: int, taps: int, seed: int) -> None:
    speech, response = hiss(samples, seed), hiss(taps, seed + 1)
    wanted = scipy.signal.fftconvolve(speech.astype(float), response)[:samples]
    wanted *= np.sqrt(np.mean(np.square(speech, dtype=float)) / np.mean(wanted**2))
    np.testing.assert_allclose(in_room(speech, response), wanted, atol=1e-4)


@pytest.mark.parametrize("rt60", [0.1, 0.4, 1.5])
def test_echoes_die_away_in_the_time_asked_for(rt60: float) -> None:
    """By Schroeder's backward integration, ISO 3382: from 5 to 25 dB below the start."""
    for seed in range(5):
        response = simulated(RATE, rt60, 3.0, np.random.default_rng(seed)).astype(float)
        echoes = response[200:]
        decay = 10 * np.log10(np.cumsum(echoes[::-1] ** 2)[::-1] / np.sum(echoes**2))
        start, end = (int(np.argmax(decay < level)) for level in (-5, -25))
        assert 3 * (end - start) / RATE == pytest.approx(rt60, rel=0.15)


@pytest.mark.parametrize("drr", [-3, 0, 12])
def test_the_direct_sound_is_as_far_above_the_echoes_as_asked(drr: float) -> None:
    response = simulated(RATE, 0.3, drr, np.random.default_rng(0)).astype(float)
    assert response[0] == 1
    assert 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(drr, abs=0.01)
    silent = int(np.argmax(response[1:] != 0)) + 1
    assert 0.001 * RATE <= silent <= 0.01 * RATE


def test_a_recorded_room_delays_nothing(tmp_path: Path) -> None:
    response = np.zeros((500, 2))
    response[100, 0], response[180, 0], response[300, 1] = 0.5, 0.25, 0.5
    soundfile.write(tmp_path / "room.wav", response, RATE)
    heard = Reverb(RATE, str(tmp_path), probability=1)(hiss(), np.random.default_rng(0))
    wanted = hiss()
    wanted[80:] += 0.5 * hiss()[:-80]
    assert np.corrcoef(heard, wanted)[0, 1] > 0.9999
    assert decibels(heard, hiss()) == pytest.approx(0, abs=1e-3)


def test_what_lies_outside_the_band_is_gone_and_the_rest_as_it_was() -> None:
    inside, outside = tone(1_000), tone(150) + tone(6_000)
    np.testing.assert_allclose(within_band(inside, RATE, 300, 3_400)[800:-800], inside[800:-800], atol=1e-3)
    assert decibels(within_band(outside, RATE, 300, 3_400)[800:-800], outside[800:-800]) < -50
    np.testing.assert_allclose(within_band(hiss(), RATE, 0, 8_000), hiss(), atol=1e-5)
    frequency, power = scipy.signal.welch(
        within_band(hiss(80_000), RATE, 300, 3_400), RATE, nperseg=1600, detrend=False
    )
    passed = 10 * np.log10(power / power[50:300].mean())
    assert abs(passed[(frequency > 330) & (frequency < 3_370)]).max() < 3
    assert passed[(frequency < 200) | (frequency > 3_800)].max() < -40


def test_bands_are_drawn_from_their_ranges() -> None:
    edges = []
    band = BandLimit(RATE, [200, 600], [2_000, 4_000], probability=1)
    for seed in range(40):
        frequency, power = scipy.signal.welch(
            band(hiss(20_000), np.random.default_rng(seed)), RATE, nperseg=512
        )
        heard = frequency[power > power.max() / 20]
        edges.append((heard[0], heard[-1]))
    low, high = np.array(edges).T
    assert 125 <= low.min() < 300 and 500 < low.max() <= 625
    assert 1_900 < high.min() < 2_400 and 3_600 < high.max() <= 4_500


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_leaves_the_speech_where_it_was(codec: str) -> None:
    """What comes out goes with what went in at no delay, and repeats to the bit."""
    speech = within_band(hiss(seed=3), RATE, 300, 2_000)
    heard = compressed(speech, RATE, codec, 0.5)
    lag = scipy.signal.correlate(heard, speech, method="fft").argmax() - (len(speech) - 1)
    assert abs(lag) <= 1
    assert 0 < decibels(speech, heard - speech) < 60
    np.testing.assert_array_equal(heard, compressed(speech, RATE, codec, 0.5))


@pytest.mark.parametrize("codec", ["mulaw", "gsm"])
def test_the_telephone_has_no_high_frequencies(codec: str) -> None:
    frequency, power = scipy.signal.welch(compressed(hiss(), RATE, codec, 0), RATE, nperseg=512)
    assert power[frequency > 4_200].max() < 1e-4 * power[(frequency > 500) & (frequency < 3_000)].mean()


@pytest.mark.parametrize("codec", ["mp3", "vorbis"])
def test_quality_tells(codec: str) -> None:
    errors = [decibels(hiss(), compressed(hiss(), RATE, codec, quality) - hiss()) for quality in (0.0, 0.95)]
    assert errors[0] > errors[1] + 3

"""PCEN is librosa's on speech, its smoother is the recursion, and silence does not move it."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from speechlstm.model import registry
from speechlstm.model.features import LogMel, Pcen
from speechlstm.model.features.pcen import smooth
from speechlstm.types import UsageError

RATE = 16_000


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    loud = 0.01 + 0.2 * torch.arange(samples).mul(6 / RATE).sin().square()
    return loud * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def single(features: torch.nn.Module, waveform: torch.Tensor) -> torch.Tensor:
    return features(waveform[None], torch.tensor([len(waveform)]))[0][0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gain": 0.8, "bias": 10.0, "power": 0.25, "time_constant": 0.06, "eps": 1e-6},
        {"gain": 1.0, "time_constant": 1.0},
    ],
)
@pytest.mark.parametrize("samples", [0, 400, 16_000, 50_000])
def test_it_is_librosas_where_all_is_speech(samples: int, options: dict[str, float]) -> None:
    waveform = noise(samples)
    features = Pcen(RATE, num_mels=40, normalize="none", **options)  # type: ignore[arg-type]
    energies = LogMel(RATE, num_mels=40).energies(waveform[None])[0].double().numpy().T
    frames = options.get("time_constant", 0.4) / 0.01
    share = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    wanted = librosa.pcen(
        energies, sr=RATE, hop_length=160, zi=(1 - share) * energies.mean(axis=1, keepdims=True),
        **{"eps": 1e-9, **options},
    )  # fmt: skip
    np.testing.assert_allclose(single(features, waveform).numpy().T, wanted, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.floats(1e-4, 1.0), st.integers(0, 99))
def test_the_smoother_is_the_recursion_at_any_level(frames: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    energies = 10.0 ** rng.uniform(-12, 4, (2, frames, 3))  # falls by 16 orders of magnitude are not lost
    start = 10.0 ** rng.uniform(-9, 4, (2, 3))
    wanted, _ = lfilter([share], [1, share - 1], energies, axis=1, zi=(1 - share) * start[:, None])
    got = smooth(torch.from_numpy(energies).float(), torch.from_numpy(start).float(), share)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-30)


def test_the_level_of_the_recording_hardly_matters() -> None:
    waveform = noise(32_000)
    loud, soft = (single(Pcen(RATE), factor * waveform) for factor in (1.0, 0.03))
    assert (loud - soft).abs().max() < 0.1, "of features with a deviation of 1"
    flat = single(Pcen(RATE, gain=1.0, eps=1e-20, normalize="none"), waveform)
    same = single(Pcen(RATE, gain=1.0, eps=1e-20, normalize="none"), 0.03 * waveform)
    torch.testing.assert_close(flat, same, atol=1e-3, rtol=1e-3)


def test_a_burst_after_a_long_silence_is_no_outlier() -> None:
    waveform = torch.cat([noise(16_000), torch.zeros(20 * RATE), noise(16_000, seed=1)])
    values = single(Pcen(RATE, normalize="none"), waveform)
    assert values[-100:].max() < 2 * values[:100].max()
    assert values.isfinite().all()


def test_settings_out_of_range_are_named() -> None:
    for key, value in {"gain": 1.5, "power": 0.0, "eps": 0.0, "time_constant": 0.0, "bias": -1.0}.items():
        with pytest.raises(UsageError, match=f"features.{key} is {value}, but must be"):
            registry.create("features", name="pcen", sample_rate=RATE, **{key: value})

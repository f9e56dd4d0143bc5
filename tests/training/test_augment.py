"""Augmentation changes what it should, inside the bounds it was given, and repeats with its seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.configs import build, load
from speechlstm.training.augment import Chain, SpecAugment, SpeedPerturb, at_speed


def tone(frequency: float, samples: int = 16_000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency / 16_000 * np.arange(samples)).astype(np.float32)


@settings(deadline=None)
@given(st.floats(0.5, 2.0), st.integers(0, 2_000))
def test_speed_changes_the_length(factor: float, samples: int) -> None:
    changed = at_speed(tone(440, samples), factor)
    assert changed.dtype == np.float32
    assert len(changed) == pytest.approx(samples / factor, abs=1)
    assert len(changed) > 0 or not samples


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_speed_changes_the_pitch(factor: float) -> None:
    changed = at_speed(tone(1_000), factor)
    peak = np.abs(np.fft.rfft(changed * np.hanning(len(changed)))).argmax() * 16_000 / len(changed)
    assert peak == pytest.approx(1_000 * factor, abs=2)
    wanted = tone(1_000 * factor, len(changed))
    np.testing.assert_allclose(changed[500:-500], wanted[500:-500], atol=1e-2)


def test_speed_one_is_untouched() -> None:
    waveform = tone(440)
    assert at_speed(waveform, 1.0) is waveform


def test_speeds_cover_their_range_and_repeat_with_the_seed() -> None:
    def draw(perturb: SpeedPerturb, seed: int) -> list[float]:
        return perturb.draw(300, np.random.default_rng(seed)).tolist()

    perturb = SpeedPerturb(0.9, 1.1)
    assert draw(perturb, 1) == draw(perturb, 1) != draw(perturb, 2)
    assert 0.9 <= min(draw(perturb, 1)) < 0.91
    assert 1.09 < max(draw(perturb, 1)) <= 1.1


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=5),
    st.integers(0, 4),
    st.floats(0, 1),
    st.integers(0, 9),
)
def test_masks_keep_their_bounds(lengths: list[int], count: int, share: float, seed: int) -> None:
    torch.manual_seed(seed)
    features = torch.ones(len(lengths), max(lengths) + 3, 7)
    zeros = SpecAugment(count, share, 0, 0)(features, torch.tensor(lengths)) == 0
    assert (zeros == zeros[..., :1]).all()  # whole frames
    for row, length in enumerate(lengths):
        assert not zeros[row, length:].any()  # inside the utterance
        assert zeros[row, :, 0].sum() <= count * int(length * share + 1e-3)


@pytest.mark.parametrize("width", [0, 3, 7, 100])
def test_frequency_masks_keep_their_bounds(width: int) -> None:
    torch.manual_seed(0)
    zeros = SpecAugment(0, 0.0, 1, width)(torch.ones(500, 4, 8), torch.full((500,), 4)) == 0
    assert (zeros == zeros[:, :1]).all()  # whole features
    widths = zeros[:, 0].sum(dim=1)
    assert set(widths.tolist()) == set(range(min(width, 8) + 1))
    if width == 3:
        assert zeros[:, 0].any(dim=0).all()  # every feature can be hit, the first and the last too


def test_every_frame_can_be_masked_and_rows_differ() -> None:
    torch.manual_seed(0)
    zeros = SpecAugment(1, 0.2, 0, 0)(torch.ones(2_000, 50, 2), torch.full((2_000,), 50))[..., 0] == 0
    assert zeros.any(dim=0).all()
    assert zeros.sum(dim=1).double().mean() == pytest.approx(5, abs=0.3)  # evenly from 0 to 10 frames
    assert len(torch.unique(zeros, dim=0)) > 200


def test_masking_repeats_with_the_seed_and_leaves_its_input() -> None:
    features, lengths = torch.randn(4, 100, 80), torch.tensor([100, 80, 60, 1])
    before, masks = features.clone(), SpecAugment(freq_shift=0)

    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        masked: torch.Tensor = masks(features, lengths)
        return masked

    torch.testing.assert_close(draw(1), draw(1), atol=0, rtol=0)
    assert not torch.equal(draw(1), draw(2))
    kept = draw(1) != 0
    torch.testing.assert_close(draw(1)[kept], features[kept], atol=0, rtol=0)
    torch.testing.assert_close(features, before, atol=0, rtol=0)


def test_a_shift_moves_features_as_another_vocal_tract_would() -> None:
    ramp = torch.arange(80.0).expand(500, 3, 80)  # the value of a feature says where it came from
    torch.manual_seed(0)
    shifted = SpecAugment(0, 0.0, 0, 0, freq_shift=4)(ramp, torch.full((500,), 3))
    moved = shifted - ramp
    assert (moved == moved[:, :1]).all()  # alike in all frames
    torch.testing.assert_close(moved[:, 0, 20:75], moved[:, 0, 20:21].expand(-1, 55), atol=1e-4, rtol=0)
    assert moved[:, 0, 30].min() == pytest.approx(-4, abs=0.05)
    assert moved[:, 0, 30].max() == pytest.approx(4, abs=0.05)
    assert moved[:, 0, 30].mean() == pytest.approx(0, abs=0.3)
    torch.testing.assert_close(moved[..., 0], torch.zeros(500, 3))
    assert shifted.min() >= 0
    assert shifted.max() <= 79


def test_a_shift_keeps_padding_zero() -> None:
    features = torch.randn(3, 20, 40)
    features[1, 10:] = 0
    shifted = SpecAugment(freq_shift=5)(features, torch.tensor([20, 10, 20]))
    assert not shifted[1, 10:].any()


def test_evaluation_masks_nothing() -> None:
    features = torch.randn(2, 50, 80)
    assert SpecAugment().eval()(features, torch.tensor([50, 40])) is features


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_masks_on_the_gpu() -> None:
    masked = SpecAugment().cuda()(torch.ones(4, 100, 80).cuda(), torch.tensor([100, 90, 50, 3]).cuda())
    assert masked.device.type == "cuda"
    assert 0 < (masked == 0).float().mean() < 0.9


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("none", [type(None)] * 3),
        ("specaugment", [SpeedPerturb, Chain, SpecAugment]),
        ("noisy", [SpeedPerturb, Chain, SpecAugment]),
    ],
)
def test_configs_build(name: str, kinds: list[type]) -> None:
    augment = load("train", [f"augment={name}", "sample_rate=8000"]).augment
    made = [build(augment[part]) for part in ("speed", "waveform", "features")]
    assert [type(part) for part in made] == kinds

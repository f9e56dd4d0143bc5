"""Features are those of librosa and torchaudio, and padding changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from waveforms import KINDS, RATE, noise, single

from speechlstm.model.features import Features, KaldiFbank, LogMel, Mfcc, Spectrogram, differences


def spectrum(waveform: Tensor, window: int, hop: int, fft_size: int) -> np.ndarray:
    """Power of frames about their mean, `(bins, frames)`, by librosa's cutting and numpy's transform."""
    padded = np.pad(waveform.numpy(), (window - window // 2, window + hop))
    frames = librosa.util.frame(padded, frame_length=window, hop_length=hop)[:, : 1 + len(waveform) // hop]
    frames = (frames - frames.mean(axis=0)) * librosa.filters.get_window("hann", window)[:, None]
    return np.abs(np.fft.rfft(frames, n=fft_size, axis=0)) ** 2


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050])
@pytest.mark.parametrize("samples", [100, 5_000, 16_000])
def test_log_mel_is_librosas(rate: int, samples: int) -> None:
    waveform = noise(samples)
    features = LogMel(rate, num_mels=64, normalize="none")
    window, hop = round(0.025 * rate), round(0.01 * rate)
    fft_size = max(512, 2 ** int(np.ceil(np.log2(window))))
    mel = librosa.filters.mel(sr=rate, n_fft=fft_size, n_mels=64) @ spectrum(waveform, window, hop, fft_size)
    np.testing.assert_allclose(
        single(features, waveform).numpy().T, np.log(np.maximum(mel, 1e-10)), atol=1e-3
    )


@pytest.mark.parametrize("kind", [LogMel, Mfcc, KaldiFbank, Spectrogram])
def test_a_constant_offset_changes_nothing(kind: Callable[..., Features]) -> None:
    waveform = noise(8_000) * torch.linspace(0.01, 1, 8_000)
    inside = slice(10, -10)  # at its ends the offset is a step, which differences carry on
    features = kind(RATE, normalize="none")
    plain, shifted = (
        features(each[None], torch.tensor([8_000]))[0][0] for each in (waveform, waveform + 0.5)
    )
    torch.testing.assert_close(shifted[inside], plain[inside], atol=2e-3, rtol=2e-3)
    levels, moved = (features.levels(each[None])[0] for each in (waveform, waveform + 0.5))
    torch.testing.assert_close(moved[inside], levels[inside], atol=0.05, rtol=0)


@pytest.mark.parametrize("mels", [40, 80])
def test_no_mel_band_is_empty_at_8_khz(mels: int) -> None:
    assert LogMel(8_000, num_mels=mels).mel.sum(dim=0).min() > 0


@pytest.mark.parametrize("options", [{}, {"num_mels": 40, "low_freq": 100.0, "high_freq": -400.0}])
@pytest.mark.parametrize(("rate", "samples"), [(16_000, 16_000), (16_000, 401), (8_000, 4_321)])
def test_kaldi_fbank_is_torchaudios(rate: int, samples: int, options: dict[str, float]) -> None:
    waveform = noise(samples) + 0.05  # with a constant offset, which Kaldi removes
    wanted = torchaudio.compliance.kaldi.fbank(
        waveform[None],
        sample_frequency=rate,
        num_mel_bins=int(options.get("num_mels", 80)),
        low_freq=options.get("low_freq", 20.0),
        high_freq=options.get("high_freq", 0.0),
        dither=0.0,
    )
    got = single(KaldiFbank(rate, normalize="none", **options), waveform)  # type: ignore[arg-type]
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_kaldi_fbank_at_the_scale_of_integers() -> None:
    waveform = noise(8_000)
    wanted = torchaudio.compliance.kaldi.fbank(waveform[None] * 32768, num_mel_bins=80, dither=0.0)
    got = single(KaldiFbank(RATE, scale=32768.0, normalize="none"), waveform)
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-4)


def test_mfcc_is_torchaudios() -> None:
    waveform = noise(RATE)
    mel = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40) @ spectrum(waveform, 400, 160, 512)
    wanted = torch.from_numpy(np.log(np.maximum(mel, 1e-10))).T.float() @ torchaudio.functional.create_dct(
        13, 40, norm="ortho"
    )
    got = single(Mfcc(RATE, deltas=False, normalize="none"), waveform)
    torch.testing.assert_close(got, wanted, atol=1e-3, rtol=1e-3)


@given(st.integers(1, 30), st.integers(0, 10))
def test_differences_are_torchaudios(frames: int, padding: int) -> None:
    features = noise(2, frames + padding, 3, seed=frames)
    got = differences(features, torch.tensor([frames, frames + padding]))
    for row, length in [(0, frames), (1, frames + padding)]:
        wanted = torchaudio.functional.compute_deltas(features[row, :length].T, 5).T
        torch.testing.assert_close(got[row, :length], wanted, atol=1e-5, rtol=1e-4)


def test_spectrogram_is_librosas() -> None:
    waveform = noise(RATE)
    power = spectrum(waveform, 320, 160, 320)
    got = single(Spectrogram(RATE, normalize="none"), waveform)
    np.testing.assert_allclose(got.numpy().T, np.log(np.maximum(power, 1e-8)), atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", ["utterance", "global", "none"])
@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 4_000), min_size=1, max_size=4),
    padding=st.integers(0, 1_000),
    garbage=st.sampled_from([0.0, 1.0, float("nan"), float("inf")]),
)
def test_padding_changes_nothing(
    kind: Callable[..., Features], normalize: str, lengths: list[int], padding: int, garbage: float
) -> None:
    features = kind(RATE, normalize=normalize)
    if normalize == "global":
        features.estimate([(noise(1, 8_000, seed=9), torch.tensor([8_000]))])
    waveforms = torch.full((len(lengths), max(lengths) + padding), garbage)
    for row, length in enumerate(lengths):
        waveforms[row, :length] = noise(length, seed=row)
    batch, frames = features(waveforms, torch.tensor(lengths))
    assert batch.shape[1] == features.num_frames(max(lengths) + padding)
    for row, length in enumerate(lengths):
        count = features.num_frames(length)
        assert frames[row] == count >= 1
        alone = single(features, noise(length, seed=row))
        close = 1e-5 if length > 2_000 else 1e-4  # a deviation over a few frames magnifies rounding
        torch.testing.assert_close(batch[row, :count], alone, atol=close, rtol=1e-5)
        assert (batch[row, count:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_what_they_say(kind: Callable[..., Features]) -> None:
    features = kind(RATE)
    assert single(features, noise(5_000)).shape == (features.num_frames(5_000), features.num_features)
    assert (features.frame_shift, features.sample_rate) == (0.01, RATE)
    assert single(features, noise(5_000)).dtype == torch.float32


@given(st.integers(0, 100_000))
def test_numbers_of_frames(samples: int) -> None:
    assert LogMel(RATE).num_frames(samples) == 1 + samples // 160
    assert KaldiFbank(RATE).num_frames(samples) == (1 + (samples - 400) // 160 if samples >= 400 else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_state_is_the_global_figures_only(kind: Callable[..., Features]) -> None:
    assert not kind(RATE).state_dict()
    features, other = kind(RATE, normalize="global"), kind(RATE, normalize="global")
    features.estimate([(noise(1, 4_000), torch.tensor([4_000]))])
    assert set(features.state_dict()) == {"mean", "std"}
    torch.nn.Sequential(other).load_state_dict(torch.nn.Sequential(features).state_dict())
    waveform = noise(3_000)
    torch.testing.assert_close(single(other, waveform), single(features, waveform))
    torch.testing.assert_close(single(copy.deepcopy(features), waveform), single(features, waveform))


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_does_not_reach_the_features(kind: Callable[..., Features]) -> None:
    features, waveform = kind(RATE), noise(4_000)
    with torch.autocast("cpu", torch.bfloat16):
        got = single(features, waveform)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, single(features, waveform))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_waveform_and_not_the_padding(kind: Callable[..., Features]) -> None:
    waveforms = noise(2, 2_000).requires_grad_()
    values, _ = kind(RATE, normalize="none")(waveforms, torch.tensor([2_000, 1_200]))
    values.square().sum().backward()
    assert waveforms.grad is not None
    assert waveforms.grad.isfinite().all()
    assert waveforms.grad[1, :1_200].abs().sum() > 0
    assert (waveforms.grad[1, 1_200:] == 0).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_same_on_the_gpu(kind: Callable[..., Features]) -> None:
    waveforms, lengths = noise(2, 16_000), torch.tensor([16_000, 9_000])
    features = kind(RATE)
    wanted, _ = features(waveforms, lengths)
    got, frames = features.cuda()(waveforms.cuda(), lengths.cuda())
    assert frames.device.type == "cuda"
    torch.testing.assert_close(got.cpu(), wanted, atol=1e-3, rtol=1e-3)

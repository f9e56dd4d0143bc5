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

from speechlstm.model.features import Features, KaldiFbank, LogMel, Mfcc, Pcen, Spectrogram, differences
from speechlstm.types import UsageError

RATE = 16_000
KINDS: list[Callable[..., Features]] = [LogMel, Mfcc, KaldiFbank, Pcen, Spectrogram]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def single(features: Features, waveform: Tensor) -> Tensor:
    """Features of one utterance alone, `(frames, num_features)`."""
    return features(waveform[None], torch.tensor([len(waveform)]))[0][0]


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


def speech_of(waveform: np.ndarray, features: Features, count: int) -> np.ndarray:
    """Return which frames of an utterance count as speech, frame by frame from the definition."""
    hop, length = features.hop_length, features.window_length
    before = 0 if isinstance(features, KaldiFbank) else length - length // 2
    padded = np.pad(waveform.astype(np.float64), (before, 2 * length))
    emphasized = np.append(0.0, padded[1:] - 0.97 * padded[:-1])
    power = [np.var(emphasized[t * hop : t * hop + length]) for t in range(count)]
    levels = 10 * np.log10(np.maximum(power, 1e-20))
    loudest = levels.max()
    noise = np.quantile(levels[levels >= loudest - 60], 0.1)
    loud = np.flatnonzero(levels >= max(loudest - 30, min(noise + 10, loudest - 15)))
    return (levels >= loudest - 100) & np.array([np.abs(loud - t).min() <= 30 for t in range(count)])


@pytest.mark.parametrize("kind", KINDS)
def test_the_speech_of_an_utterance_has_mean_0_and_deviation_1(kind: Callable[..., Features]) -> None:
    waveforms, lengths = noise(3, 32_000), torch.tensor([32_000, 19_000, 30_000])
    waveforms *= 1 + 0.9 * torch.sin(torch.arange(32_000) / 500)  # as loud and soft as syllables
    waveforms[0, 12_000:] *= 1e-4  # silence after the speech
    waveforms[2, :15_000] = 0.01 * noise(15_000)  # noise before it
    features = kind(RATE)
    batch, frames = features(waveforms, lengths)
    plain, _ = kind(RATE, normalize="none")(waveforms, lengths)
    shares = []
    for row, count in enumerate(frames.tolist()):
        speech = speech_of(waveforms[row, : lengths[row]].numpy(), features, count)
        own = plain[row, :count].double()
        mean, variance = own[speech].mean(dim=0), own[speech].var(dim=0, correction=0)
        wanted = ((own - mean) / (variance + 1e-3).sqrt()).clamp(min=-3)
        torch.testing.assert_close(batch[row, :count].double(), wanted, atol=1e-3, rtol=1e-3)
        shares.append(speech.mean())
    assert shares[1] > 0.9 and 0.4 < shares[0] < 0.7 and 0.5 < shares[2] < 0.8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), [(0.0, 10.0), (5.0, 0.0), (3.0, 3.0), (0.0, 60.0)])
@pytest.mark.parametrize("background", [0.0, 1e-3])
def test_silence_around_the_speech_changes_little(
    kind: Callable[..., Features], before: float, after: float, background: float
) -> None:
    speech = syllables(4.0)
    start, end = round(before * RATE), round(after * RATE)
    quiet = background * noise(1, start + len(speech) + end)[0]
    alone, around = speech + quiet[start : start + len(speech)], quiet.clone()
    around[start : start + len(speech)] += speech
    features = kind(RATE)
    inside, surrounded = single(features, alone), single(features, around)
    shift = start // features.hop_length
    middle = slice(10, len(inside) - 10)
    difference = (inside - surrounded[shift : shift + len(inside)])[middle].abs()
    assert difference.mean() < 0.3, "of features with a deviation of 1"


@pytest.mark.parametrize("kind", KINDS)
def test_digital_zeros_around_a_short_word_have_no_part_in_its_statistics(
    kind: Callable[..., Features],
) -> None:
    word = syllables(0.6)
    surrounded = torch.cat([torch.zeros(16_000), word, torch.zeros(16_000)])
    features = kind(RATE)
    shift = 16_000 // features.hop_length
    alone, inside = single(features, word), single(features, surrounded)[shift:]
    assert (inside[4 : len(alone) - 4] - alone[4:-4]).abs().mean() < 0.1, "of features with a deviation of 1"


def syllables(seconds: float) -> torch.Tensor:
    """Return noise in bursts of 0.2 s with pauses of 0.1 s, as loud and soft as syllables are."""
    rng = np.random.default_rng(3)
    count = round(seconds / 0.3)
    loud = np.repeat(10 ** rng.uniform(-1.5, -0.5, count), round(0.3 * RATE))
    phase = np.arange(len(loud)) % round(0.3 * RATE)
    return torch.from_numpy((loud * (phase < 0.2 * RATE) * rng.standard_normal(len(loud))).astype(np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_steady_noise_is_as_low_as_pauses(kind: Callable[..., Features]) -> None:
    time = torch.arange(32_000) / RATE
    hum = 0.1 * torch.sin(2 * torch.pi * 50 * time) + 1e-4 * noise(32_000)
    features = kind(RATE)
    for steady in (hum, noise(32_000), 0.001 * noise(17_000)):
        assert (single(features, steady) == -3).all()
    for other in (hum + syllables(2.1)[:32_000], noise(14_000)):  # with speech; too short to tell
        assert (single(features, other) > -3).float().mean() > 0.5
    together, frames = features(
        torch.stack((hum, hum + syllables(2.1)[:32_000])), torch.tensor([32_000, 32_000])
    )
    assert (together[0] == -3).all() and (together[1, : frames[1]] > -3).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [0, 1, 160, 16_000])
def test_silence_is_zero(kind: Callable[..., Features], samples: int) -> None:
    assert (single(kind(RATE), torch.zeros(samples)) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_global_estimate_is_that_of_all_frames_together(kind: Callable[..., Features]) -> None:
    plain, features = kind(RATE, normalize="none"), kind(RATE, normalize="global")
    batches = [(noise(3, 4_000, seed=n), torch.tensor([4_000, 3_000 + n, 500])) for n in range(4)]
    with pytest.raises(UsageError, match="estimate"):
        features(*batches[0])
    features.estimate(iter(batches))
    outputs = [plain(*batch) for batch in batches]
    rows = [values[row, :count] for values, frames in outputs for row, count in enumerate(frames)]
    every = torch.cat(rows).double()
    torch.testing.assert_close(features.mean.double(), every.mean(dim=0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.std.double(), every.std(dim=0, correction=0), atol=1e-5, rtol=1e-4)
    wanted = (outputs[0][0][0] - features.mean) / features.std
    torch.testing.assert_close(features(*batches[0])[0][0], wanted)


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


def test_only_global_figures_are_estimated_and_not_of_nothing() -> None:
    with pytest.raises(UsageError, match="only 'global' has figures to estimate"):
        LogMel(RATE).estimate([])
    with pytest.raises(UsageError, match="no audio to estimate"):
        LogMel(RATE, normalize="global").estimate([])

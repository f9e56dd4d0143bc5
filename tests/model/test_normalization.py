"""Features are normalized by the speech alone, or by figures of the whole training data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from waveforms import KINDS, RATE, noise, single, syllables

from speechlstm.model.features import Features, KaldiFbank, LogMel
from speechlstm.model.features.base import LOWEST
from speechlstm.types import UsageError


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
        deviation = (variance + 1e-3).sqrt().clamp(min=features.least_deviation)
        wanted = ((own - mean) / deviation).clamp(min=-3)
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


@pytest.mark.parametrize("kind", [LogMel, KaldiFbank])
def test_steady_noise_is_not_raised_to_the_variation_of_speech(kind: Callable[..., Features]) -> None:
    time = torch.arange(64_000) / RATE
    hum, speech = 0.1 * torch.sin(2 * torch.pi * 50 * time), syllables(4.1)[:64_000]
    features = kind(RATE)
    for steady in (noise(64_000), hum + 0.01 * noise(64_000), 1e-4 * noise(64_000)):
        assert single(features, steady)[5:-5].std(dim=0).median() < 0.9
    for spoken in (speech, speech + 0.1 * speech.std() * noise(64_000)):
        assert single(features, spoken).std(dim=0).median() > 0.8
    spoken = single(features, hum + speech)[:, 20:] - single(features, hum)[:, 20:]
    assert spoken.abs().mean() > 0.3, "speech within hum is not erased"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [0, 1, 160, 16_000])
def test_nothing_but_zeros_is_the_silence_around_speech_not_the_mean_of_speech(
    kind: Callable[..., Features], samples: int
) -> None:
    assert (single(kind(RATE), torch.zeros(samples)) == LOWEST).all()


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


def test_only_global_figures_are_estimated_and_not_of_nothing() -> None:
    with pytest.raises(UsageError, match="only 'global' has figures to estimate"):
        LogMel(RATE).estimate([])
    with pytest.raises(UsageError, match="no audio to estimate"):
        LogMel(RATE, normalize="global").estimate([])

"""Waveforms for the tests of features, and the features that there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from speechlstm.model.features import Features, KaldiFbank, LogMel, Mfcc, Pcen, Spectrogram

RATE = 16_000
KINDS: list[Callable[..., Features]] = [LogMel, Mfcc, KaldiFbank, Pcen, Spectrogram]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def single(features: Features, waveform: Tensor) -> Tensor:
    """Features of one utterance alone, `(frames, num_features)`."""
    return features(waveform[None], torch.tensor([len(waveform)]))[0][0]


def syllables(seconds: float) -> torch.Tensor:
    """Return noise in bursts of 0.2 s with pauses of 0.1 s, as loud and soft as syllables are."""
    rng = np.random.default_rng(3)
    count = round(seconds / 0.3)
    loud = np.repeat(10 ** rng.uniform(-1.5, -0.5, count), round(0.3 * RATE))
    phase = np.arange(len(loud)) % round(0.3 * RATE)
    return torch.from_numpy((loud * (phase < 0.2 * RATE) * rng.standard_normal(len(loud))).astype(np.float32))

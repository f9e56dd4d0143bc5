"""Arrays and tensors as recordings: what is taken, and what is refused in one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from speechlstm.data.audio import load_audio
from speechlstm.types import UsageError

RATE = 16_000
SOUND = (0.5 * np.sin(np.arange(1600) / 5)).astype(np.float32)


@pytest.mark.parametrize(
    "same",
    [
        SOUND.astype(np.float64),
        SOUND[:, None],
        np.stack([SOUND, SOUND], axis=1),
        np.round(SOUND * 2**15).astype(np.int16),
        np.round(SOUND.astype(np.float64) * 2**31).astype(np.int32),
        torch.tensor(SOUND),
        torch.tensor(SOUND, requires_grad=True),
        torch.tensor(SOUND)[:, None].to(torch.float64),
        SOUND.tolist(),
    ],
)
def test_the_same_sound_in_any_form(same: Any) -> None:
    np.testing.assert_allclose(load_audio((same, RATE), RATE), SOUND, atol=1e-4)


def test_half_precision_tensors() -> None:
    for kind in (torch.float16, torch.bfloat16):
        np.testing.assert_allclose(load_audio((torch.tensor(SOUND).to(kind), RATE), RATE), SOUND, atol=1e-2)


def test_an_array_that_cannot_be_written_gives_one_that_can() -> None:
    fixed = SOUND.copy()
    fixed.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.from_numpy(load_audio((fixed, RATE), RATE))


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (
            (SOUND[None], RATE),
            r"shape \(1, 1600\), which is \(samples, channels\), .* 1 to 64 channels; transpose",
        ),
        ((np.stack([SOUND, SOUND]), RATE), "1 to 64 channels; transpose"),
        ((torch.tensor(SOUND)[None], RATE), "1 to 64 channels; transpose"),
        ((np.zeros((100, 0), np.float32), RATE), "1 to 64 channels"),
        (((SOUND * 32767).astype(np.int64), RATE), "type int64, but must be .* integers of at most 32 bits"),
        ((torch.arange(100), RATE), "type int64"),
        ((np.zeros(5, complex), RATE), "type complex128"),
        ((np.zeros((2, 3, 4)), RATE), r"shape \(2, 3, 4\)"),
        (([SOUND, SOUND[:5]], RATE), "a list that is no array of numbers"),
        ((torch.tensor(SOUND).to_sparse(), RATE), "no array of numbers"),
        ((torch.empty(5, device="meta"), RATE), "no array of numbers"),
        ((SOUND, 16000.0), r"16000\.0, but must be a whole number of Hz"),
        ((SOUND, "16000"), "'16000', but must be a whole number"),
        ((RATE, SOUND), r"a ndarray, but must be a whole number .*; give \(array, sample_rate\)"),
        ((SOUND, 10), "10, but must be a whole number of Hz from 1000"),
        ((SOUND, RATE, 1), "a tuple of 3"),
    ],
)
def test_what_is_no_recording_is_one_sentence(audio: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_audio(audio, RATE)
    assert "\n" not in str(caught.value)

"""Changes of waveforms together: they keep the length, repeat with their seed, and happen as often as asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, decibels, hiss, tone

from speechlstm.training.augment import (
    BandLimit,
    Chain,
    Codec,
    Gain,
    Noise,
    Reverb,
    SpeedPerturb,
)
from speechlstm.training.data import SpeechData
from speechlstm.types import Batch, SpeechlstmError, UsageError, Utterance

CODECS = ["mulaw", "gsm", "mp3", "vorbis", "opus"]


def everything() -> Chain:
    return Chain(
        Reverb(RATE, probability=1), Noise(RATE, probability=1), Gain(probability=1),
        BandLimit(RATE, probability=1), Codec(RATE, CODECS, probability=1),
    )  # fmt: skip


@pytest.mark.parametrize("gain", [-20, 0, 6])
def test_gain_is_in_decibels(gain: float) -> None:
    louder = Gain([gain, gain], probability=1)(tone(440), np.random.default_rng(0))
    assert decibels(louder, tone(440)) == pytest.approx(gain, abs=1e-3)


def test_too_loud_is_cut_off() -> None:
    clipped = Gain([20, 20], probability=1)(tone(440), np.random.default_rng(0))
    np.testing.assert_allclose(clipped, (10 * tone(440)).clip(-1, 1), rtol=1e-5)


@settings(max_examples=60)
@given(st.one_of(st.integers(0, 40), st.integers(41, 4_000)), st.integers(0, 999))
def test_length_is_kept_and_the_seed_tells_all(samples: int, seed: int) -> None:
    speech = hiss(samples, seed)
    before = speech.copy()
    first, again = (everything()(speech, np.random.default_rng(seed))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(speech, before)
    assert first.shape == speech.shape and first.dtype == np.float32 and np.isfinite(first).all()


def test_seeds_differ() -> None:
    one, other = (everything()(hiss(), np.random.default_rng(seed))[0] for seed in (1, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.999


def test_leaving_one_out_changes_nothing_for_the_others() -> None:
    def added(chain: Chain) -> np.ndarray:
        return chain(tone(440), np.random.default_rng(7))[0] - tone(440)

    noise = Noise(RATE, probability=1)
    alone = added(Chain(noise=noise))
    np.testing.assert_array_equal(added(Chain(reverb=Gain([0, 0], probability=1), noise=noise)), alone)
    assert decibels(alone, tone(440)) > -21


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_changes_happen_as_often_as_asked(probability: float) -> None:
    gain = Gain([3, 3], probability=probability)
    rng = np.random.default_rng(0)
    changed = np.mean([gain(tone(440, 0.01), rng).max() > 0.31 for _ in range(500)])
    assert changed == pytest.approx(probability, abs=0.07 if 0 < probability < 1 else 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BandLimit(RATE, low=[0, 4_000], high=[3_000, 8_000]), "must lie below"),
        (lambda: Codec(RATE, ["mp4"]), "must be a list of: mulaw, gsm, mp3, vorbis, opus"),
        (lambda: Codec(RATE, []), "must be a list of"),
        (lambda: SpeedPerturb(1.2, 0.8), r"speed is from 1\.2 to 0\.8"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(SpeechlstmError, match=message) as refused:
        make()
    assert type(refused.value) is UsageError


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    made = []
    for index in range(5):
        path = str(tmp_path / f"{index}.wav")
        soundfile.write(path, hiss(2_000 + 500 * index, index), RATE, subtype="PCM_16")
        made.append(Utterance(path, (2_000 + 500 * index) / RATE, "a", str(index)))
    return made


def test_loaders_change_the_training_part_alike_with_and_without_workers(utterances: list[Utterance]) -> None:
    def epochs(workers: int, chain: Chain | None) -> tuple[list[Batch], list[Batch]]:
        data = SpeechData(
            utterances, utterances, lambda _: [1], RATE, 1.0, workers, True, None, chain, seed=3
        )
        loader = data.train_dataloader()
        return [batch for _ in range(2) for batch in loader], list(data.val_dataloader())

    chain = everything()
    (alone, dev), (helped, _), (plain, dev_plain) = epochs(0, chain), epochs(1, chain), epochs(0, None)
    for one, other, bare in zip(alone, helped, plain, strict=True):
        np.testing.assert_array_equal(one.waveforms, other.waveforms)
        np.testing.assert_array_equal(one.lengths, bare.lengths)
        assert [u.id for u in one.utterances] == [u.id for u in bare.utterances]
        for row, length in enumerate(one.lengths):
            assert not one.waveforms[row, length:].any(), "padding stays zero"
            assert (one.waveforms[row, :length] - bare.waveforms[row, :length]).abs().max() > 1e-3
    for one, bare in zip(dev, dev_plain, strict=True):
        np.testing.assert_array_equal(one.waveforms, bare.waveforms)

"""What is done to waveforms does what its name says, by measure; it keeps their length and repeats with its seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm import configs
from speechlstm.training.augment import (
    BandLimit,
    Chain,
    Change,
    Codec,
    Gain,
    Noise,
    Reverb,
    SpeedPerturb,
)
from speechlstm.training.augment.channel import compressed, within_band
from speechlstm.training.augment.noise import colored
from speechlstm.training.augment.reverb import in_room, simulated
from speechlstm.training.data import SpeechData
from speechlstm.types import AudioError, Batch, SpeechlstmError, UsageError, Utterance

RATE = 16_000
CODECS = ["mulaw", "gsm", "mp3", "vorbis", "opus"]


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def hiss(samples: int = RATE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Return the ratio of the mean powers."""
    return float(10 * np.log10(np.mean(np.square(one, dtype=float)) / np.mean(np.square(other, dtype=float))))


def everything() -> Chain:
    return Chain(
        Reverb(RATE, probability=1), Noise(RATE, probability=1), Gain(probability=1),
        BandLimit(RATE, probability=1), Codec(RATE, CODECS, probability=1),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two recordings, one shorter and one longer than a second."""
    (tmp_path / "deep/er").mkdir(parents=True)
    soundfile.write(tmp_path / "short.wav", hiss(4_000, 1), RATE)
    soundfile.write(tmp_path / "deep/er/long.flac", hiss(48_000, 2), RATE)
    (tmp_path / "notes.txt").write_text("no audio")
    return tmp_path


# level


@pytest.mark.parametrize("gain", [-20, 0, 6])
def test_gain_is_in_decibels(gain: float) -> None:
    louder = Gain([gain, gain], probability=1)(tone(440), np.random.default_rng(0))
    assert decibels(louder, tone(440)) == pytest.approx(gain, abs=1e-3)


def test_too_loud_is_cut_off() -> None:
    clipped = Gain([20, 20], probability=1)(tone(440), np.random.default_rng(0))
    np.testing.assert_allclose(clipped, (10 * tone(440)).clip(-1, 1), rtol=1e-5)


# noise


@pytest.mark.parametrize("snr", [-5, 0, 17])
@pytest.mark.parametrize("recorded", [False, True])
def test_noise_is_as_far_below_the_speech_as_asked(folder: Path, recorded: bool, snr: float) -> None:
    noise = Noise(RATE, str(folder) if recorded else None, [snr, snr], probability=1)
    for seed in range(4):
        noisy = noise(tone(440), np.random.default_rng(seed))
        assert decibels(tone(440), noisy - tone(440)) == pytest.approx(snr, abs=0.01)


def test_levels_are_drawn_from_all_of_their_range() -> None:
    noise = Noise(RATE, snr=[5, 15], probability=1)
    speech = tone(440, 0.1)
    found = [decibels(speech, noise(speech, np.random.default_rng(seed)) - speech) for seed in range(200)]
    assert (
        4.99 < min(found) < 5.5 and 14.5 < max(found) < 15.01 and np.mean(found) == pytest.approx(10, abs=1)
    )


def test_colored_noise_falls_with_frequency_from_white_to_brown() -> None:
    slopes = []
    for seed in range(60):
        frequency, power = scipy.signal.welch(
            colored(40_000, np.random.default_rng(seed)), RATE, nperseg=1024
        )
        inside = slice(4, 400)
        slopes.append(np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0])
    assert -2.15 < min(slopes) < -1.7 and -0.3 < max(slopes) < 0.15


def test_recorded_noise_is_an_excerpt_or_the_whole_repeated(folder: Path) -> None:
    noise = Noise(RATE, str(folder), [0, 0], probability=1)
    assert [(path.name, seconds) for path, seconds in noise.files or []] == [
        ("long.flac", 3.0),
        ("short.wav", 0.25),
    ]
    short, _ = soundfile.read(folder / "short.wav", dtype="float32")
    long, _ = soundfile.read(folder / "deep/er/long.flac", dtype="float32")
    silent_but_for_one = np.zeros(RATE, np.float32)
    silent_but_for_one[5] = 1
    kinds = set()
    for seed in range(8):
        added = noise(silent_but_for_one, np.random.default_rng(seed)) - silent_but_for_one
        repeated = np.abs(added[:12_000] - added[4_000:]).max() < 1e-6
        kinds.add(repeated)
        within = np.concatenate([short, short]) if repeated else long
        part = added[100:3_900]
        match = scipy.signal.correlate(within, part, "valid", "fft")
        place = int(match.argmax())
        assert np.corrcoef(within[place : place + len(part)], part)[0, 1] > 0.999
    assert kinds == {True, False}


def test_silence_gets_no_noise_and_silent_noise_is_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    assert not Noise(RATE, probability=1)(np.zeros(100, np.float32), rng).any()
    soundfile.write(tmp_path / "silence.wav", np.zeros(100), RATE)
    np.testing.assert_array_equal(Noise(RATE, str(tmp_path), probability=1)(tone(440), rng), tone(440))


@pytest.mark.parametrize("kind", [Noise, Reverb])
def test_folders_without_audio_and_unreadable_files_are_named(
    kind: Callable[..., Change], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"folder is nowhere, where there is no audio file"):
        kind(RATE, "nowhere")
    (folder / "broken.wav").write_bytes(b"RIFF....WAVE")
    with pytest.raises(
        AudioError, match=rf"^{folder}/broken.wav: .*\(1 of 3 audio files of augment: \w+.folder="
    ):
        kind(RATE, str(folder))


def test_an_unreadable_file_comes_through_the_config(folder: Path) -> None:
    cfg = configs.load("train", ["augment=noisy", f"augment.waveform.noise.folder={folder}"])
    assert len(configs.build(cfg.augment.waveform).changes[2].files) == 2
    (folder / "broken.ogg").write_bytes(b"OggS")
    with pytest.raises(AudioError, match=r"broken\.ogg"):
        configs.build(cfg.augment.waveform)


# rooms


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


# bands and codecs


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


# all of them


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


# in the loaders


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

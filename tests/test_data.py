"""Data: every utterance once per epoch in bounded batches, the same with any number of workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.augment import SpeedPerturb, at_speed
from speechlstm.data import BucketSampler, SpeechData, UtteranceDataset, collate
from speechlstm.errors import TokenizerError, UsageError
from speechlstm.tokenizer import Characters
from speechlstm.types import Batch, Utterance

RATE = 8000
quick = settings(max_examples=100, deadline=None)
durations = st.lists(st.floats(0.05, 10.0), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    made = []
    for index, text in enumerate(["a", "b a", "abba", "b", "a b", "bb", "ab a"]):
        samples = RATE * (index + 2) // 10
        soundfile.write(folder / f"{index}.wav", rng.uniform(-1, 1, samples), RATE, subtype="PCM_16")
        made.append(Utterance(str(folder / f"{index}.wav"), samples / RATE, text, f"u{index}"))
    return made


def ids(text: str) -> list[int]:
    return Characters.from_texts(["ab"]).encode(text)


# the sampler


speeds = st.sampled_from([None, SpeedPerturb(0.8, 1.2), SpeedPerturb(factors=[0.9, 1.0])])


@quick
@given(durations, st.floats(12.5, 60.0), speeds, st.integers(0, 99), st.integers(0, 2**31))
def test_every_epoch_has_each_utterance_once_in_as_many_bounded_batches(
    durations: list[float], bound: float, speed: SpeedPerturb | None, epoch: int, seed: int
) -> None:
    sampler = BucketSampler(durations, bound, shuffle=True, speed=speed, seed=seed)
    batches = sampler.batches(epoch)
    assert sorted(index for batch in batches for index, *_ in batch) == list(range(len(durations)))
    assert len(batches) == len(sampler) == len(sampler.batches(0))
    for batch in batches:
        longest = max(durations[index] / factor for index, factor, _ in batch)
        assert 0 < len(batch) * longest <= bound * (1 + 1e-9)
        for _, factor, _ in batch:
            assert speed.low <= factor <= speed.high if speed else factor == 1.0


@quick
@given(durations, speeds, st.integers(0, 99), st.integers(0, 99))
def test_the_order_follows_from_seed_and_epoch(
    durations: list[float], speed: SpeedPerturb | None, seed: int, epoch: int
) -> None:
    first = BucketSampler(durations, 20.0, shuffle=True, speed=speed, seed=seed)
    list(first)  # what was drawn before does not matter
    again = BucketSampler(durations, 20.0, shuffle=True, speed=speed, seed=seed)
    assert first.batches(epoch) == again.batches(epoch)


def test_epochs_and_seeds_differ_in_batches_and_their_order() -> None:
    lengths = np.random.default_rng(0).uniform(1, 10, 100)

    def members(epoch: int, seed: int = 1) -> list[list[int]]:
        batches = BucketSampler(lengths, 40.0, shuffle=True, seed=seed).batches(epoch)
        return [sorted(index for index, *_ in batch) for batch in batches]

    assert members(0) != members(1) and members(0) != members(0, seed=2)
    assert sorted(members(0)) != sorted(members(1)), "not the same neighbours, either"


@pytest.mark.parametrize("speed", [None, SpeedPerturb(0.85, 1.15)])
def test_little_of_a_batch_is_padding(speed: SpeedPerturb | None) -> None:
    lengths = np.random.default_rng(0).gamma(8, 1.5, 1500)
    for epoch in range(3):
        heard = padded = 0.0
        batches = BucketSampler(lengths, 120.0, shuffle=True, speed=speed).batches(epoch)
        for batch in batches:
            seconds = [lengths[index] / factor for index, factor, _ in batch]
            heard, padded = heard + sum(seconds), padded + len(seconds) * max(seconds)
        assert padded / heard < 1.05
        assert heard / len(batches) > 0.75 * 120, "batches are well filled"


def test_without_shuffling_utterances_are_sorted_by_length() -> None:
    lengths = [3.0, 1.0, 2.0, 9.0]
    batches = BucketSampler(lengths, 9.0).batches(5)
    assert [[key[:2] for key in batch] for batch in batches] == [[(1, 1.0), (2, 1.0), (0, 1.0)], [(3, 1.0)]]


def test_an_epoch_goes_on_after_the_batches_that_are_done() -> None:
    place = (4, 2)
    sampler = BucketSampler([1.0] * 20, 4.0, shuffle=True, position=lambda: place)
    assert list(sampler) == sampler.batches(4)[2:]
    started = iter(sampler)
    place = (5, 0)
    assert list(started) == sampler.batches(4)[2:], "the epoch is that in which the iteration began"
    assert list(sampler) == sampler.batches(5)


def test_an_utterance_longer_than_a_batch_is_an_error() -> None:
    with pytest.raises(
        UsageError, match=r"batch_seconds is 10, but the longest utterance has 12\.5 s; raise"
    ):
        BucketSampler([1.0, 12.5], 10.0)


# the dataset


def test_the_cache_gives_the_waveform_itself(utterances: list[Utterance]) -> None:
    """16-bit audio at its own rate is kept exactly, so training hears the same with a cache and without."""
    plain, cached = (UtteranceDataset(utterances, ids, RATE, cache=cache) for cache in (False, True))
    for index in range(len(utterances)):
        for _ in range(2):
            wanted, targets, utterance = plain[index, 1.0, 0]
            got = cached[index, 1.0, 0]
            assert np.array_equal(got[0], wanted) and got[0].dtype == np.float32
            assert targets == got[1] == ids(utterance.text) and got[2] is utterance


def test_resampled_audio_is_rounded_to_16_bits_from_the_first_time_on(utterances: list[Utterance]) -> None:
    plain, cached = (UtteranceDataset(utterances, ids, 11025, cache=cache) for cache in (False, True))
    wanted, first, second = plain[3, 1.0, 0][0].clip(-1, 1), cached[3, 1.0, 0][0], cached[3, 1.0, 0][0]
    assert np.abs(first - wanted).max() <= 1 / 32768
    assert np.array_equal(first, second), "all epochs hear the same"


def test_the_cache_does_not_read_again(utterances: list[Utterance], tmp_path: Path) -> None:
    path = tmp_path / "gone.wav"
    path.write_bytes(Path(utterances[0].audio_filepath).read_bytes())
    dataset = UtteranceDataset([Utterance(str(path), 0.2, "a", "x")], ids, RATE, cache=True)
    before = dataset[0, 1.0, 0][0]
    path.unlink()
    assert np.array_equal(dataset[0, 1.0, 0][0], before)


def test_only_the_stretch_is_read(utterances: list[Utterance]) -> None:
    whole = soundfile.read(utterances[6].audio_filepath, dtype="float32")[0]
    part = Utterance(utterances[6].audio_filepath, 0.25, "a", "part", offset=0.1)
    assert np.array_equal(UtteranceDataset([part], ids, RATE)[0, 1.0, 0][0], whole[800:2800])


def test_an_utterance_is_played_at_its_speed(utterances: list[Utterance]) -> None:
    dataset = UtteranceDataset(utterances, ids, RATE, speed=SpeedPerturb())
    plain, fast = dataset[4, 1.0, 0][0], dataset[4, 1.25, 0][0]
    assert len(fast) == round(len(plain) / 1.25)
    assert np.array_equal(fast, at_speed(plain, 1.25))


def test_a_training_text_that_cannot_be_spelled_is_an_error(utterances: list[Utterance]) -> None:
    with pytest.raises(TokenizerError, match="'c'"):
        UtteranceDataset([*utterances, Utterance("x.wav", 1.0, "abc", "x")], ids, RATE)


# batches


def test_collate_pads_with_zeros(utterances: list[Utterance]) -> None:
    items = [UtteranceDataset(utterances, ids, RATE)[index, 1.0, 0] for index in (2, 0, 1)]
    batch = collate(items)
    assert batch.lengths.tolist() == [3200, 1600, 2400] and batch.waveforms.shape == (3, 3200)
    assert batch.target_lengths.tolist() == [4, 1, 3] and batch.targets.shape == (3, 4)
    assert batch.utterances == [item[2] for item in items] and len(batch) == 3
    for row, (waveform, targets, _) in enumerate(items):
        assert np.array_equal(batch.waveforms[row, : len(waveform)].numpy(), waveform)
        assert not batch.waveforms[row, len(waveform) :].any()
        assert batch.targets[row].tolist() == targets + [0] * (4 - len(targets))


def same(one: Batch, other: Batch) -> bool:
    tensors = ("waveforms", "lengths", "targets", "target_lengths")
    return one.utterances == other.utterances and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in tensors
    )


@pytest.mark.parametrize("cache", [False, True])
def test_the_number_of_workers_changes_nothing(utterances: list[Utterance], cache: bool) -> None:
    def epochs(workers: int) -> list[Batch]:
        data = SpeechData(utterances, utterances, ids, RATE, 2.0, workers, cache, SpeedPerturb(), seed=3)
        loader = data.train_dataloader()
        return [batch for _ in range(2) for batch in loader] + list(data.val_dataloader())

    alone, helped = epochs(0), epochs(2)
    assert len(alone) == len(helped) > 6
    assert all(same(one, other) for one, other in zip(alone, helped, strict=True))


def test_a_dev_text_that_cannot_be_spelled_has_no_tokens(utterances: list[Utterance]) -> None:
    strange = Utterance(utterances[0].audio_filepath, 0.2, "xyz", "strange")
    data = SpeechData(utterances, [strange, *utterances], ids, RATE, 20.0, num_workers=0)
    (batch,) = data.val_dataloader()
    tokens = {u.id: int(count) for u, count in zip(batch.utterances, batch.target_lengths, strict=True)}
    assert tokens == {"strange": 0, **{u.id: len(u.text) for u in utterances}}


def test_filling_the_cache_leaves_out_what_cannot_be_read(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    among = [utterances[0], Utterance(str(broken), 1.0, "a", "broken"), *utterances[1:]]
    plain, dataset = UtteranceDataset(utterances, ids, RATE), UtteranceDataset(among, ids, RATE, cache=True)
    failures = dataset.fill()
    assert [str(failure).startswith(str(broken)) for failure in failures] == [True]
    assert dataset.utterances == utterances
    assert dataset.targets == plain.targets
    for index in range(len(utterances)):
        np.testing.assert_array_equal(dataset[index, 1.0, 0][0], plain[index, 1.0, 0][0])

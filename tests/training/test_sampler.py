"""The batch sampler: every utterance once an epoch in bounded batches, dealt evenly to any number of devices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechlstm.training.augment import SpeedPerturb
from speechlstm.training.sampler import BucketSampler
from speechlstm.types import UsageError

quick = settings(max_examples=100, deadline=None)
durations = st.lists(st.floats(0.05, 10.0), min_size=1, max_size=60)
speeds = st.sampled_from([None, SpeedPerturb(0.8, 1.2), SpeedPerturb(0.9, 1.0)])


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


# many devices


@quick
@given(durations, st.floats(12.5, 60.0), speeds, st.integers(1, 9), st.integers(0, 99), st.booleans())
def test_devices_get_equally_many_bounded_batches_and_each_utterance_goes_to_one(
    durations: list[float], bound: float, speed: SpeedPerturb | None, ranks: int, epoch: int, shuffle: bool
) -> None:
    alone = BucketSampler(durations, bound, shuffle, speed, seed=1).batches(epoch)
    assume(-len(alone) // ranks * -ranks <= len(durations))  # each of the batches has an utterance
    samplers = [
        BucketSampler(durations, bound, shuffle, speed, seed=1, ranks=ranks, rank=rank)
        for rank in range(ranks)
    ]
    shares = [sampler.batches(epoch) for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    dealt = [key for share in shares for batch in share for key in batch]
    assert sorted(index for index, *_ in dealt) == list(range(len(durations)))
    for batch in (batch for share in shares for batch in share):
        assert (
            0
            < len(batch) * max(durations[index] / factor for index, factor, _ in batch)
            <= bound * (1 + 1e-9)
        )
    assert sorted(dealt) == sorted(key for batch in alone for key in batch), "played at the same speeds"
    assert len({sampler.fingerprint() for sampler in samplers}) == 1


def test_the_batches_of_one_step_are_of_similar_length() -> None:
    lengths = np.random.default_rng(0).uniform(1, 10, 400)
    shares = [BucketSampler(lengths, 40.0, True, ranks=4, rank=rank).batches(2) for rank in range(4)]
    for step in zip(*shares, strict=True):
        longest = [max(lengths[index] for index, *_ in batch) for batch in step]
        assert max(longest) - min(longest) < 1.2
    order = [max(lengths[index] for index, *_ in batch) for batch in shares[0]]
    assert order != sorted(order), "while the steps are shuffled"


def test_what_can_be_done_about_a_long_utterance_depends_on_the_part() -> None:
    for shuffle, advice in ((True, r"or lower data\.max_seconds"), (False, r"or take it out of data\.dev")):
        with pytest.raises(UsageError, match=advice):
            BucketSampler([20.0], 10.0, shuffle)


def test_more_devices_than_utterances_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"3 utterances cannot be shared .* 4 devices; use fewer"):
        BucketSampler([1.0] * 3, 10.0, ranks=4)


def test_the_fingerprint_is_of_all_that_the_order_follows_from() -> None:
    def made(lengths: list[float] = [1.0, 2.0, 3.0], bound: float = 9.0, **options: object) -> int:  # noqa: B006
        return BucketSampler(lengths, bound, True, **options).fingerprint()  # type: ignore[arg-type]

    others = [
        made([1.0, 2.0, 3.5]), made([2.0, 1.0, 3.0]), made(bound=3.6), made(seed=1), made(ranks=3),
        made(speed=SpeedPerturb(0.9, 1.1)),
    ]  # fmt: skip
    assert made() == made() and len({made(), *others}) == 1 + len(others)

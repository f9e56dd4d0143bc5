"""Data: what the cache, the workers and the batches make of the audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechlstm.model.tokenizer import Characters
from speechlstm.training import ranks
from speechlstm.training.augment import SpeedPerturb, at_speed
from speechlstm.training.data import SpeechData, UtteranceDataset, collate
from speechlstm.types import Batch, SpeechlstmError, TokenizerError, UsageError, Utterance

RATE = 8000


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


# many devices


class Place:
    """Stands in for a trainer: one of several devices."""

    current_epoch = 0

    def __init__(self, world_size: int, global_rank: int) -> None:
        self.world_size, self.global_rank = world_size, global_rank


def test_devices_share_training_and_validation(utterances: list[Utterance]) -> None:
    trained, validated = [], []
    for rank in range(3):
        data = SpeechData(utterances, utterances, ids, RATE, 20.0, num_workers=0)
        data.trainer = Place(3, rank)  # type: ignore[assignment]
        data.setup("fit")
        (batch,), (heard,) = data.train_dataloader(), data.val_dataloader()
        trained += [utterance.id for utterance in batch.utterances]
        validated += [utterance.id for utterance in heard.utterances]
    everyone = sorted(utterance.id for utterance in utterances)
    assert sorted(trained) == sorted(validated) == everyone
    data.teardown("fit")
    assert sum(len(batch) for batch in data.val_dataloader()) == len(utterances), "the export scores all"


def test_devices_that_have_read_different_data_are_named(
    utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would have different numbers of batches, and wait for each other for ever."""
    data = SpeechData(utterances, utterances, ids, RATE, 20.0)
    less = SpeechData(utterances, utterances[1:], ids, RATE, 20.0)
    data.trainer = less.trainer = Place(2, 0)  # type: ignore[assignment]
    said: list[object] = []
    monkeypatch.setattr(ranks, "gather", lambda value: said.append(value) or said)
    less.setup("fit")
    with pytest.raises(
        SpeechlstmError, match=r"not the same on rank 1 as on rank 0; give all machines the same"
    ):
        data.setup("fit")


def test_more_devices_than_utterances_are_refused(utterances: list[Utterance]) -> None:
    data = SpeechData(utterances, utterances[:3], ids, RATE, 20.0)
    data.check(3)
    with pytest.raises(UsageError, match=r"^3 utterances cannot be shared evenly among 4 devices"):
        data.check(4)


def test_the_middle_of_an_epoch_goes_on_with_the_same_batches_only(utterances: list[Utterance]) -> None:
    def data(batch_seconds: float, **options: object) -> SpeechData:
        return SpeechData(utterances, utterances, ids, RATE, batch_seconds, 0, **options)  # type: ignore[arg-type]

    state = {"epoch": 3, "batches": 1, "order": data(1.0)._sampler(True, 1, 0).fingerprint()}
    again = data(1.0)
    again.load_state_dict(state)
    assert len(list(again.train_dataloader())) == len(again.train_dataloader()) - 1
    for other in (data(1.5), data(1.0, seed=1), data(1.0, speed=SpeedPerturb(0.9, 1.1))):
        other.load_state_dict(state)
        with pytest.raises(
            UsageError, match=r"middle of an epoch \(1 batches of epoch 3 are done\), whose order"
        ):
            other.train_dataloader()
        other.load_state_dict(state | {"batches": 0})
        other.train_dataloader()  # between two epochs anything goes

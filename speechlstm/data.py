"""From manifests to batches: dataset, duration buckets, and the data module that Lightning asks for loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from speechlstm.audio import load_audio
from speechlstm.augment import SpeedPerturb, at_speed
from speechlstm.errors import AudioError, TokenizerError, UsageError
from speechlstm.types import Batch, Utterance

Key = tuple[int, float]  # utterance number, and the speed to play it at


class UtteranceDataset(Dataset[tuple[np.ndarray, list[int], Utterance]]):
    """Waveforms and token ids of utterances, decoded once and kept in memory when `cache` is set.

    Args:
        utterances: what to read.
        encode: text -> token ids.
        sample_rate: Hz of the waveforms.
        cache: keep the decoded audio (2 bytes a sample: 0.1 GB an hour at 16 kHz).
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        encode: Callable[[str], list[int]],
        sample_rate: int,
        cache: bool = False,
    ) -> None:
        self.utterances = list(utterances)
        self.targets = [encode(utterance.text) for utterance in self.utterances]
        self.sample_rate = sample_rate
        self.cache: dict[int, np.ndarray] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.utterances)

    def fill(self, threads: int = 4) -> list[AudioError]:
        """Read all audio into the cache at once, with a progress bar on a terminal.

        Returns:
            what could not be read; those utterances are left out of the dataset.
        """
        assert self.cache is not None
        failures: list[AudioError] = []
        read: list[tuple[Utterance, list[int], np.ndarray]] = []
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(self._decode, self.utterances)
            shown = tqdm(results, "reading audio", len(self), unit="file", disable=None)
            for utterance, target, result in zip(self.utterances, self.targets, shown, strict=True):
                if isinstance(result, AudioError):
                    failures.append(result)
                else:
                    read.append((utterance, target, result))
        self.utterances, self.targets = [each[0] for each in read], [each[1] for each in read]
        self.cache = {index: each[2] for index, each in enumerate(read)}
        return failures

    def __getitem__(self, key: Key) -> tuple[np.ndarray, list[int], Utterance]:
        index, speed = key
        return at_speed(self._waveform(index), speed), self.targets[index], self.utterances[index]

    def _waveform(self, index: int) -> np.ndarray:
        if self.cache is None:
            return self._load(self.utterances[index])
        if index not in self.cache:
            self.cache[index] = _to_int16(self._load(self.utterances[index]))
        return self.cache[index].astype(np.float32) / 32768

    def _decode(self, utterance: Utterance) -> np.ndarray | AudioError:
        try:
            return _to_int16(self._load(utterance))
        except AudioError as error:
            return error

    def _load(self, utterance: Utterance) -> np.ndarray:
        duration = utterance.duration or None
        return load_audio(utterance.audio_filepath, self.sample_rate, utterance.offset, duration)


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    """Round to 16 bits, which is exact for 16-bit audio at its own rate."""
    return np.round(waveform * 32768).clip(-32768, 32767).astype(np.int16)


def _spellable(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """Return `encode` that gives no tokens for a text it cannot spell."""

    def spell(text: str) -> list[int]:
        try:
            return encode(text)
        except TokenizerError:
            return []

    return spell


def collate(items: list[tuple[np.ndarray, list[int], Utterance]]) -> Batch:
    """Pad utterances to the longest of them."""
    waveforms, targets, utterances = zip(*items, strict=True)
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    target_lengths = torch.tensor([len(target) for target in targets])
    padded = torch.zeros(len(items), int(lengths.max()))
    labels = torch.zeros(len(items), int(target_lengths.max()), dtype=torch.long)
    for row, (waveform, target) in enumerate(zip(waveforms, targets, strict=True)):
        padded[row, : len(waveform)] = torch.from_numpy(np.ascontiguousarray(waveform))
        labels[row, : len(target)] = torch.tensor(target, dtype=torch.long)
    return Batch(padded, lengths, labels, target_lengths, list(utterances))


class BucketSampler(Sampler[list[Key]]):
    """Batches of similar length whose padded audio stays below a bound, in an order of its own each epoch.

    Every epoch draws the speed of each utterance, sorts the utterances by the length that results, give or take
    `JITTER`, so that a batch seldom holds the same neighbours twice, cuts them at the same places, and shuffles the
    batches. So all epochs have equally many batches, and everything follows from `seed` and the epoch.

    Args:
        durations: seconds of each utterance.
        batch_seconds: bound on `utterances x longest`, in seconds, even when all are played at their slowest.
        shuffle: false keeps the utterances sorted by length and the batches in order, for validation.
        speed: draws the speeds; null plays all as they are.
        seed: of speeds and order.
        position: returns the current epoch and how many of its batches are done already.

    Raises:
        UsageError: an utterance is longer than `batch_seconds`.
    """

    JITTER = 0.02  # random part of the length that is sorted by

    def __init__(
        self,
        durations: Sequence[float],
        batch_seconds: float,
        shuffle: bool = False,
        speed: SpeedPerturb | None = None,
        seed: int = 0,
        position: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self.durations = np.asarray(durations, dtype=np.float64)
        self.shuffle, self.speed, self.seed, self.position = shuffle, speed, seed, position
        self.jitter = self.JITTER if shuffle else 0.0
        slowest = self.durations / (speed.low if speed else 1.0)
        if slowest.max(initial=0.0) > batch_seconds:
            raise UsageError(
                f"data.batch_seconds is {batch_seconds:g}, but the longest utterance has "
                f"{slowest.max():.1f} s; raise data.batch_seconds, or lower data.max_seconds to train without it"
            )
        # How much longer than the utterance of a place in the sorted order the one can be that comes to stand there.
        growth = (1 + self.jitter) / (1 - self.jitter)
        self.cuts: list[int] = []  # places at which a batch begins, after the first
        start = 0
        for place, duration in enumerate(np.sort(slowest)):
            if duration * growth * (place + 1 - start) > batch_seconds and place > start:
                self.cuts.append(place)
                start = place

    def batches(self, epoch: int) -> list[list[Key]]:
        """Return the batches of an epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        count = len(self.durations)
        speeds = self.speed.draw(count, rng) if self.speed else np.ones(count)
        order = np.argsort(self.durations / speeds * rng.uniform(1 - self.jitter, 1 + self.jitter, count))
        batches = [[(int(i), float(speeds[i])) for i in part] for part in np.split(order, self.cuts)]
        return [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, done = self.position()
        return iter(self.batches(epoch)[done:])

    def __len__(self) -> int:
        return len(self.cuts) + 1


class SpeechData(pl.LightningDataModule):
    """Training and validation batches for the trainer.

    Args:
        train: utterances to learn from.
        dev: utterances to validate on; one whose text the tokenizer cannot spell is scored, but has no loss.
        encode: text -> token ids.
        sample_rate: Hz.
        batch_seconds: padded seconds of audio in a batch.
        num_workers: loader processes; 0 loads in the training process.
        cache: keep the decoded audio in memory.
        speed: at which the training part is played; null as it is.
        seed: of order and speed.
    """

    def __init__(
        self,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        encode: Callable[[str], list[int]],
        sample_rate: int,
        batch_seconds: float = 60.0,
        num_workers: int = 1,
        cache: bool = True,
        speed: SpeedPerturb | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.batch_seconds, self.num_workers = batch_seconds, num_workers
        self.speed, self.seed = speed, seed
        self.start = (0, 0)  # epoch, and batches of it that are done, where a checkpoint's training goes on
        self.train_set = UtteranceDataset(train, encode, sample_rate, cache)
        self.dev_set = UtteranceDataset(dev, _spellable(encode), sample_rate, cache)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return shuffled batches of the training part."""
        sampler = BucketSampler(
            _durations(self.train_set),
            self.batch_seconds,
            shuffle=True,
            speed=self.speed,
            seed=self.seed,
            position=self._position,
        )
        return DataLoader(
            self.train_set,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation part sorted by length, every utterance once."""
        sampler = BucketSampler(_durations(self.dev_set), self.batch_seconds)
        return DataLoader(self.dev_set, batch_sampler=sampler, collate_fn=collate)

    def state_dict(self) -> dict[str, int]:
        """Return where the training stands, for the checkpoint."""
        assert self.trainer is not None
        done = self.trainer.fit_loop.epoch_loop.batch_progress
        epoch = self.trainer.current_epoch
        if done.is_last_batch:
            return {"epoch": epoch + 1, "batches": 0}
        return {"epoch": epoch, "batches": done.current.ready}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on where the checkpoint was written."""
        self.start = (state_dict["epoch"], state_dict["batches"])

    def _position(self) -> tuple[int, int]:
        # Lightning draws the first batches of a resumed training while it still counts the epoch before.
        epoch = self.trainer.current_epoch if self.trainer else 0
        return max((epoch, 0), self.start)


def _durations(dataset: UtteranceDataset) -> list[float]:
    return [utterance.duration for utterance in dataset.utterances]

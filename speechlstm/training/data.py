"""From manifests to batches: dataset, duration buckets, and the Lightning data module."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from speechlstm.data import progress
from speechlstm.data.audio import load_audio
from speechlstm.training import ranks
from speechlstm.training.augment import Chain, SpeedPerturb, at_speed
from speechlstm.training.sampler import BucketSampler, Key
from speechlstm.types import AudioError, Batch, SpeechlstmError, TokenizerError, UsageError, Utterance

_LONGEST_TEXT = 100_000  # characters


class UtteranceDataset(Dataset[tuple[np.ndarray, list[int], Utterance]]):
    """Waveforms and token ids of utterances, decoded once and kept in memory when `cache` is set."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        encode: Callable[[str], list[int]],
        sample_rate: int,
        cache: bool = False,
        speed: SpeedPerturb | None = None,
        change: Chain | None = None,
        strict_audio: bool = True,
    ) -> None:
        self.utterances, self.strict_audio = list(utterances), strict_audio
        self.targets = [encode(utterance.text) for utterance in self.utterances]
        self.sample_rate, self.speed, self.change = sample_rate, speed, change
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
            shown = progress.track(results, "reading audio", len(self), unit="file")
            for utterance, target, result in zip(self.utterances, self.targets, shown, strict=True):
                if isinstance(result, AudioError):
                    failures.append(result)
                else:
                    read.append((utterance, target, result))
        self.utterances, self.targets = [each[0] for each in read], [each[1] for each in read]
        self.cache = {index: each[2] for index, each in enumerate(read)}
        return failures

    def __getitem__(self, key: Key) -> tuple[np.ndarray, list[int], Utterance]:
        index, speed, seed = key
        waveform = self._waveform(index)
        if self.speed is not None:
            waveform = at_speed(waveform, speed)
        spoken = True
        if self.change is not None:
            waveform, spoken = self.change(waveform, np.random.default_rng(seed))
        return waveform, self.targets[index] if spoken else [], self.utterances[index]

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
        return load_audio(
            utterance.audio_filepath,
            self.sample_rate,
            utterance.offset,
            duration,
            utterance.channel,
            strict=self.strict_audio,
        )


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    """Round to 16 bits, which is exact for 16-bit audio at its own rate."""
    return np.round(waveform * 32768).clip(-32768, 32767).astype(np.int16)


def _spellable(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """Return `encode` that gives no tokens for a text that has no loss: it cannot be spelled, or fits into no audio."""

    def spell(text: str) -> list[int]:
        try:
            return encode(text) if len(text) <= _LONGEST_TEXT else []
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


def _outlive_signals(worker: int) -> None:
    """Let a loader process go on when everything gets a signal, so that its trainer can finish the batch.

    Ctrl-C reaches all processes of a terminal, a batch system's signal all of a job. The second SIGTERM counts, and
    a minute after the first: it is also what the trainer's process sends at its end to a loader that is still there.

    Batches come by names in shared memory: with PyTorch's default, handles that the loader must pass on when asked, a
    trainer would wait without a limit for one that is stopped.
    """
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]

    def linger(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        signal.alarm(60)

    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, linger)


class SpeechData(pl.LightningDataModule):
    """Training and validation batches for the trainer, and the place in them, which checkpoints keep.

    Of `dev`, an utterance whose text the tokenizer cannot spell is scored, but has no loss. Settings as in
    `conf/train.yaml`.
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
        change: Chain | None = None,
        seed: int = 0,
        strict_audio: bool = True,
        timeout: float = 300.0,
    ) -> None:
        super().__init__()
        self.batch_seconds, self.num_workers, self.timeout = batch_seconds, num_workers, timeout
        self.speed, self.seed = speed, seed
        self.unread = 0  # lines of manifests and recordings that could not be read, and are left out
        self.ranks, self.rank = 1, 0  # how many devices share the batches, and which this one is
        self.sampler: BucketSampler | None = None  # of the training part
        # Where a checkpoint's training goes on: epoch, batches of it that are done, and what the order of the
        # batches was made from.
        self.start = {"epoch": 0, "batches": 0, "order": 0}
        self.train_set = UtteranceDataset(train, encode, sample_rate, cache, speed, change, strict_audio)
        self.dev_set = UtteranceDataset(
            dev, _spellable(encode), sample_rate, cache, strict_audio=strict_audio
        )

    def setup(self, stage: str) -> None:
        """Share the batches among the trainer's devices.

        Raises:
            SpeechlstmError: they have read different data, and would wait for each other for ever.
        """
        assert self.trainer is not None
        self.ranks, self.rank = self.trainer.world_size, self.trainer.global_rank
        orders = ranks.gather([self._sampler(train, self.ranks, 0).fingerprint() for train in (True, False)])
        if differing := [str(rank) for rank, order in enumerate(orders) if order != orders[0]]:
            raise SpeechlstmError(
                f"data.train or data.dev is not the same on rank {', '.join(differing)} as on rank 0; "
                "give all machines the same manifests and audio"
            )

    def teardown(self, stage: str) -> None:
        """Give whoever asks after the training all batches."""
        self.ranks, self.rank = 1, 0

    def check(self, devices: int) -> None:
        """See whether so many devices can share the data.

        Raises:
            UsageError: they cannot.
        """
        self._sampler(True, devices, 0)
        self._sampler(False, devices, 0)

    def batches(self, devices: int) -> int:
        """Return how many training batches each of so many devices has in an epoch."""
        return len(self._sampler(True, devices, 0))

    def train_dataloader(self) -> DataLoader[Any]:
        """Return shuffled batches of the training part.

        Raises:
            UsageError: a checkpoint of the middle of an epoch is to go on with other batches.
        """
        sampler = self.sampler = self._sampler(True, self.ranks, self.rank)
        if self.start["batches"] and self.start["order"] != sampler.fingerprint():
            raise UsageError(
                f"the checkpoint is of the middle of an epoch ({self.start['batches']} batches of epoch "
                f"{self.start['epoch']} are done), whose order came from other data, data.batch_seconds, seed, "
                "augment.speed or number of devices than now; use those, or another out="
            )
        return DataLoader(
            self.train_set,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            timeout=self.timeout if self.num_workers else 0,
            worker_init_fn=_outlive_signals,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation part sorted by length, every utterance once, on one device or another."""
        sampler = self._sampler(False, self.ranks, self.rank)
        return DataLoader(self.dev_set, batch_sampler=sampler, collate_fn=collate)

    def state_dict(self) -> dict[str, int]:
        """Return where the training stands: how many batches it has had, not how many the loaders have read ahead."""
        assert self.trainer is not None and self.sampler is not None
        loop = self.trainer.fit_loop
        counts, epoch, batches = loop.epoch_progress.current, self.trainer.current_epoch, 0
        # Otherwise the epoch is about to begin, and the batches are of the one before.
        if counts.started == counts.ready:  # type: ignore[attr-defined]
            batches = loop.epoch_loop.batch_progress.current.ready
        if batches >= loop.max_batches:  # not always those of the sampler: `limit_train_batches`
            epoch, batches = epoch + 1, 0
        return {"epoch": epoch, "batches": batches, "order": self.sampler.fingerprint()}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on where the checkpoint was written."""
        self.start = state_dict

    def _sampler(self, train: bool, devices: int, rank: int) -> BucketSampler:
        durations = [
            utterance.duration for utterance in (self.train_set if train else self.dev_set).utterances
        ]
        if not train:
            return BucketSampler(durations, self.batch_seconds, ranks=devices, rank=rank)
        return BucketSampler(
            durations,
            self.batch_seconds,
            shuffle=True,
            speed=self.speed,
            seed=self.seed,
            position=self._position,
            ranks=devices,
            rank=rank,
        )

    def _position(self) -> tuple[int, int]:
        # Lightning draws the first batches of a resumed training while it still counts the epoch before.
        epoch = self.trainer.current_epoch if self.trainer else 0
        return max((epoch, 0), (self.start["epoch"], self.start["batches"]))

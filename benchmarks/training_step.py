"""How fast is a whole training step: ours, and the same network trained as is usual, in turn in one run.

    python benchmarks/training_step.py experiment=an4 [trainer.precision=bf16-mixed ...]

A step is everything from the audio to the updated weights: load, vary the speed, features, masks, forward, CTC,
backward, clip, update, average. Both trainings are Lightning's, with the same network, augmentation, number of
utterances in a batch, loader processes and threads (`OMP_NUM_THREADS`). The usual way is that of deepspeech.pytorch
and openspeech: utterances in random order, read from their files and made into masked features one by one in the
dataset, packed sequences, float32, PyTorch's own dropout, CTC loss and AdamW, no averaged weights. What those two do
more slowly than they need to (sox in a process of its own, masks made in a loop) is not copied.

Our step with batches as random is measured, too: the difference is what the buckets save. The ways take turns in short
segments; a figure is the median of its segments. Time of the processor, loader process included, is given beside the
time on the wall, because others' work on the same machine changes it less. Floating-point work is that of the
utterances' own frames, three times the forward pass, against a matrix product measured in the same run.
"""

from __future__ import annotations

import copy
import logging
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from encoder_step import PackedLayer, multiply_adds
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from speechlstm import configs
from speechlstm.configs import build
from speechlstm.data.audio import load_audio
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import Features
from speechlstm.training import parts
from speechlstm.training.augment import at_speed
from speechlstm.training.data import SpeechData, collate
from speechlstm.training.module import TrainingModule
from speechlstm.training.sampler import BucketSampler, Key

ROUNDS = 5
SEGMENT = 600.0  # seconds of audio in a segment, about
Batches = list[list[Key]]


class Usual(pl.LightningModule):
    """The same network as is usual: packed sequences, and a step that has nothing to do but forward and loss."""

    def __init__(self, model: TrainingModule, lr: float) -> None:
        super().__init__()
        encoder: Any = copy.deepcopy(model.acoustic.encoder)
        self.encoder, self.lr = encoder, lr
        for layer in encoder.layers:
            layer.__class__, layer.dropout = PackedLayer, torch.nn.Dropout(layer.dropout.probability)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        features, lengths, targets, target_lengths, _ = batch
        log_probs, lengths, *_ = self.encoder(features, lengths)
        loss = F.ctc_loss(log_probs.transpose(0, 1), targets, lengths, target_lengths, zero_infinity=True)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


class UsualDataset(Dataset[tuple[Tensor, ...]]):
    """Reads an utterance from its file and makes masked features of it."""

    def __init__(self, model: TrainingModule, data: SpeechData) -> None:
        self.data, self.rate = data.train_set, data.train_set.sample_rate
        self.features, self.augment = copy.deepcopy(model.acoustic.features), copy.deepcopy(model.augment)

    def __getitem__(self, key: Key) -> tuple[Tensor, ...]:
        index, speed, _ = key
        utterance = self.data.utterances[index]
        waveform = load_audio(utterance.audio_filepath, self.rate, utterance.offset, utterance.duration)
        if self.data.speed is not None:
            waveform = at_speed(waveform, speed)
        samples = torch.tensor([len(waveform)])
        features, frames = self.features(torch.from_numpy(waveform).unsqueeze(0), samples)
        if self.augment is not None:
            features = self.augment(features, frames)
        return features[0], frames[0], torch.tensor(self.data.targets[index]), samples[0]


def usual_collate(items: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Pad features to the longest."""
    features, frames, targets, samples = zip(*items, strict=True)
    target_lengths = torch.tensor([len(target) for target in targets])
    padded = pad_sequence(list(features), True), pad_sequence(list(targets), True)
    return padded[0], torch.stack(frames), padded[1], target_lengths, torch.stack(samples)


def clocks() -> tuple[float, float]:
    """Return seconds on the wall, and of the processor for this process and its loaders."""
    # Linux's number for the clock of another process, as of clock_getcpuclockid(3)
    loaders = (
        time.clock_gettime(~child.pid << 3 | 2) for child in multiprocessing.active_children() if child.pid
    )
    return time.perf_counter(), time.process_time() + sum(loaders)


def product_rate() -> tuple[float, float]:
    """Return operations a second, on the wall and of the processor, of a 2048 x 2048 float32 matrix product."""
    matrix, repeats = torch.randn(2048, 2048), 5
    matrix @ matrix
    started = clocks()
    for _ in range(repeats):
        matrix @ matrix
    ended = clocks()
    wall, processor = (
        repeats * 2 * 2048**3 / (end - start) for start, end in zip(started, ended, strict=True)
    )
    return wall, processor


@dataclass
class Clock(pl.Callback):
    """Reads the clocks at the end of each batch."""

    walls: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)
    samples: list[Tensor] = field(default_factory=list)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, index: int) -> None:
        wall, processor = clocks()
        self.walls.append(wall)
        self.processors.append(processor)
        self.samples.append(batch[-1] if isinstance(batch, tuple) else batch.lengths)


@dataclass
class Way:
    """A way to train.

    Attributes:
        name: of the way.
        model: what is trained.
        dataset: what an utterance is made of.
        collate: what a batch is made of.
        batches: of an epoch.
        trainer: makes a trainer with further callbacks.
        walls: seconds of audio a second, of each segment.
        processors: seconds of audio a second of the processor's time, of each segment.
    """

    name: str
    model: pl.LightningModule
    dataset: Dataset[Any]
    collate: Callable[..., Any]
    batches: Callable[[int], Batches]
    trainer: Callable[[list[pl.Callback]], pl.Trainer]
    walls: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)

    def segment(self, epoch: int, count: int) -> None:
        """Train on the first batches of an epoch, and measure all but the first of them."""
        clock = Clock()
        batches = self.batches(epoch)[: count + 1]
        loader = DataLoader(self.dataset, batch_sampler=batches, collate_fn=self.collate, num_workers=1)
        self.trainer([clock]).fit(self.model, loader)
        audio = sum(int(lengths.sum()) for lengths in clock.samples[1:]) / self.rate
        self.walls.append(audio / (clock.walls[-1] - clock.walls[0]))
        self.processors.append(audio / (clock.processors[-1] - clock.processors[0]))

    @property
    def rate(self) -> int:
        dataset: Any = self.dataset
        return int(getattr(dataset, "rate", 0) or dataset.sample_rate)


def random_batches(data: SpeechData, size: int, epoch: int) -> Batches:
    """Return an epoch's utterances in random order, so many a batch."""
    rng = np.random.default_rng(epoch)
    keys = [key for batch in data._sampler(True, 1, 0).batches(epoch) for key in batch]
    order = rng.permutation(len(keys))
    return [[keys[i] for i in order[start : start + size]] for start in range(0, len(keys), size)]


def padding(data: SpeechData, batches: Batches) -> float:
    """Return which share of the audio in the batches is padding."""
    lengths = [[data.train_set.utterances[i].duration / speed for i, speed, _ in batch] for batch in batches]
    padded = sum(len(batch) * max(batch) for batch in lengths)
    return 1 - sum(map(sum, lengths)) / padded


def agree(ours: TrainingModule, usual: Usual, way: Way) -> None:
    """See that both networks say the same of a batch."""
    batch = collate([way.dataset[key] for key in way.batches(0)[0]])
    with torch.inference_mode():
        features = ours.acoustic.features(batch.waveforms, batch.lengths)
        encoders = ours.acoustic.encoder, usual.encoder
        log_probs = [encoder.eval()(*features)[0] for encoder in encoders]
        for encoder in encoders:
            encoder.train()  # Lightning would leave it as it is
    difference = float((log_probs[0] - log_probs[1]).abs().max())
    assert difference < 1e-3, f"the networks differ by {difference}"


def show(title: str, speeds: dict[str, list[float]], work: float, product: float) -> None:
    """Print a table: seconds of audio a second, and their floating-point work over that of a matrix product."""
    print(
        f"\n{title + f'; product {product / 1e9:.0f} GFLOP/s':<48}x real time   ratio   share of the product"
    )
    first = statistics.median(next(iter(speeds.values())))
    for name, found in speeds.items():
        middle = statistics.median(found)
        spread = f"({min(found):.0f} to {max(found):.0f})"
        print(f"{name:<36}{spread:>12}{middle:11.0f}{middle / first:8.2f}{middle * work / product:23.0%}")


def main() -> None:
    """Print the table."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    folder = tempfile.TemporaryDirectory()
    settings = ["trainer.max_epochs=1", "+trainer.enable_model_summary=false", "trainer.log_every_n_steps=10"]
    cfg = configs.load("train", [*sys.argv[1:], *settings, f"out={folder.name}"])
    pl.seed_everything(cfg.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    model, data = parts.prepare(cfg)
    steady = [node for name, node in cfg.callbacks.items() if name != "best"]  # which waits for a validation

    def trainer(ours: bool, more: list[pl.Callback]) -> pl.Trainer:
        callbacks = [build(node) for node in steady if ours] + more
        loggers = [build(node) for node in cfg.logger.values()]
        options = {} if ours else {"precision": "32-true"}
        made: pl.Trainer = build(
            cfg.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=False, **options
        )
        return made

    bucketed = data._sampler(True, 1, 0).batches
    size = round(len(data.train_set) / len(bucketed(0)))
    shuffled = partial(random_batches, data, size)
    usual = Usual(model, cfg.optimizer.lr)
    ours = partial(trainer, True)
    ways = [
        Way("usual way", usual, UsualDataset(model, data), usual_collate, shuffled, partial(trainer, False)),
        Way("ours", model, data.train_set, collate, bucketed, ours),
        Way("ours, random batches", copy.deepcopy(model), data.train_set, collate, shuffled, ours),
    ]
    agree(model, usual, ways[1])
    durations = [utterance.duration for utterance in data.train_set.utterances]
    in_order = BucketSampler(durations, cfg.data.batch_seconds).batches(0)
    print(
        f"{cfg.name}: {len(durations)} utterances, {size} a batch, {sum(durations) / 3600:.2f} hours; "
        f"{torch.get_num_threads()} threads and a loader process, ours in {cfg.trainer.precision}\n"
        f"padding: random {padding(data, shuffled(0)):.1%}, sorted {padding(data, in_order):.1%}, "
        f"bucketed {padding(data, bucketed(0)):.1%}",
        flush=True,
    )
    count = max(3, round(SEGMENT / cfg.data.batch_seconds))
    for way in ways:
        way.segment(0, 3)  # to warm up
        way.walls.clear()
        way.processors.clear()
    products = []
    for epoch in tqdm(range(1, ROUNDS + 1), "rounds", disable=None):
        for way in ways:
            way.segment(epoch, count)
        products.append(product_rate())
    encoder, features = cast(Encoder, model.acoustic.encoder), cast(Features, model.acoustic.features)
    work = 6 * multiply_adds(encoder, 100_000) / 100_000 / features.frame_shift  # of a second of audio
    rates = [statistics.median(each) for each in zip(*products, strict=True)]
    show("time on the wall", {way.name: way.walls for way in ways}, work, rates[0])
    show("time of the processor", {way.name: way.processors for way in ways}, work, rates[1])
    folder.cleanup()


if __name__ == "__main__":
    main()

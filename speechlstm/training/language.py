"""Training of LSTM language models on text, by the likelihood of each next word."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from speechlstm.data.files import locked, remove
from speechlstm.decoders.lm.corpus import BOS_ID, EOS_ID, UNK, Corpus
from speechlstm.decoders.lm.lstm import MARKS, LstmLM, load_lstm
from speechlstm.training.callbacks.interruptions import LastCheckpoint
from speechlstm.training.callbacks.progress import UpdatesBar
from speechlstm.training.checkpoints import Checkpoints, find_last
from speechlstm.training.fit import run
from speechlstm.training.messages import say
from speechlstm.training.next_word import next_word_loss
from speechlstm.types import SpeechlstmError, UsageError

LONGEST = 64  # words; longer sentences are cut, and what is cut off goes on from the word before
_TOKENS = 1280  # in a batch, padding included
_NEAR = 8192  # sentences among which those of about the same length are looked for
_RISE = 200  # updates until the learning rate is at its peak
_LAST = 0.01  # share of it that is left at the end
_CLIP = 1.0  # greatest norm of the gradient
_PADDING = -100  # as target
_MEMORY = 0.99  # of the average that the progress bar shows, per update

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """What a training is asked for; see `conf/lm.yaml`."""

    embedding: int
    hidden: int
    epochs: int
    lr: float
    seed: int
    init_from: str | None = None


class Batches(Dataset[Batch]):
    """All batches of a training, each of sentences of about the same length.

    Args:
        corpus: the text.
        epochs: passes over it.
        seed: of the order.
        words: the word of each id, `MARKS` first; None: those of the text. Others are `<unk>`.

    Attributes:
        words: the word of each id, as the model has them.
        counts: how often the text has each.
    """

    def __init__(self, corpus: Corpus, epochs: int, seed: int, words: list[str] | None = None) -> None:
        self.words = words or [*MARKS, *corpus.words[EOS_ID + 1 :]]
        known = {word: index for index, word in enumerate(self.words)}
        ids = np.array([known.get(word, MARKS.index(UNK)) for word in corpus.words], np.int32)
        self.stream = ids[corpus.stream]
        self.counts = np.bincount(self.stream, minlength=len(self.words))
        begins = np.flatnonzero(corpus.stream == BOS_ID) + 1
        lengths = np.flatnonzero(corpus.stream == EOS_ID) - begins
        pieces = -(-lengths // LONGEST)
        before = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.begins = np.repeat(begins, pieces) + LONGEST * before
        self.lengths = np.minimum(np.repeat(lengths, pieces) - LONGEST * before, LONGEST)
        self.plan = [batch for epoch in range(epochs) for batch in self._epoch((seed, epoch))]

    def _epoch(self, seed: tuple[int, int]) -> list[Any]:
        rng = np.random.default_rng(seed)
        order, batches = rng.permutation(len(self.lengths)), []
        for first in range(0, len(order), _NEAR):
            near = order[first : first + _NEAR]
            near = near[np.argsort(self.lengths[near], kind="stable")]
            begin = 0
            for place, length in enumerate(self.lengths[near].tolist()):
                if place > begin and (place + 1 - begin) * (length + 1) > _TOKENS:
                    batches.append(near[begin:place])
                    begin = place
            batches.append(near[begin:])
        return [batches[index] for index in rng.permutation(len(batches))]

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        """Return the words that are read, `<s>` first, and those that follow them, `</s>` last, `(batch, time)`.

        Where a sentence is cut there are no such marks, which would teach that it ends there, and begins anew.
        """
        chosen = self.plan[index]
        longest = int(self.lengths[chosen].max()) + 1
        read = torch.full((len(chosen), longest), MARKS.index("<s>"))
        follow = torch.full((len(chosen), longest), _PADDING)
        for row, each in enumerate(chosen):
            begin, length = self.begins[each], self.lengths[each]
            words = torch.from_numpy(self.stream[begin - 1 : begin + length + 1])  # with those around them
            read[row, : length + 1] = words[:-1]
            follow[row, :length] = words[1:-1]
            if words[-1] == MARKS.index("</s>"):
                follow[row, length] = words[-1]
        return read, follow

    def fingerprint(self) -> int:
        """Return a number that changes with the text."""
        return zlib.crc32(
            "\n".join(self.words).encode("utf-8", "surrogatepass"), zlib.crc32(self.stream.tobytes())
        )


class LanguageModule(pl.LightningModule):
    """An LSTM language model in training: Adam, whose rate rises and then falls along a cosine."""

    def __init__(self, model: LstmLM, batches: Batches, lr: float) -> None:
        super().__init__()
        self.model, self.batches, self.lr = model, batches, lr
        self.skipped = 0  # no update is

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the mean negative log-likelihood of the words.

        Raises:
            SpeechlstmError: it is not finite.
        """
        read, follow = batch
        real = follow != _PADDING
        weight, bias = self.model.embedding.weight, self.model.bias
        loss = next_word_loss(self.model(read)[real], weight, bias, follow[real])
        if not math.isfinite(float(loss.detach())):
            raise SpeechlstmError(f"update {self.global_step}: the loss is not finite; lower lstm.lr")
        return loss

    def configure_optimizers(self) -> Any:
        """Return Adam, and the schedule of its rate for each update."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr, betas=(0.9, 0.99))
        total = len(self.batches)

        def share(update: int) -> float:
            wave = (1 + math.cos(math.pi * min(update / total, 1.0))) / 2
            return min((update + 1) / _RISE, 1.0) * (_LAST + (1 - _LAST) * wave)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches that are left."""
        return DataLoader(self.batches, batch_size=None, sampler=_Left(self))


class _Left:
    """The numbers of the batches after those that a resumed training has had."""

    def __init__(self, module: LanguageModule) -> None:
        self.module = module

    def __len__(self) -> int:
        return len(self.module.batches)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.module.global_step, len(self)))


class _Progress(UpdatesBar):
    """Shows updates and the perplexity of the last hundred or so."""

    def __init__(self, updates: int) -> None:
        super().__init__()
        self.updates = updates
        self.mean = self.weight = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the bar."""
        self.show(trainer, "training", self.updates)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        self.mean = _MEMORY * self.mean + (1 - _MEMORY) * float(outputs["loss"])
        self.weight = _MEMORY * self.weight + 1 - _MEMORY
        self.bar.note = f"perplexity {math.exp(min(self.mean / self.weight, 700)):.1f}"
        self.bar.update(trainer.global_step - self.bar.n)


def train_language_model(
    corpus: Corpus, settings: LanguageSettings, out: Path, accelerator: str = "auto"
) -> LstmLM:
    """Train a model of the corpus's words and write it.

    Checkpoints are in a hidden folder beside `out` until it is written; if the training is stopped, the same call goes
    on.

    Raises:
        SpeechlstmError: the loss is not finite, or another process trains for the same file.
        UsageError: there is no such accelerator, or the checkpoint is of another training.
        OSError: the model cannot be written; the checkpoint stays.
        SystemExit: a signal has stopped the training; the checkpoint is written.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise UsageError("lstm.accelerator=gpu: PyTorch sees no GPU on this machine; use cpu or auto")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # this program says it in its own words
    pl.seed_everything(settings.seed, verbose=False)
    before = load_lstm(settings.init_from) if settings.init_from else None
    batches = Batches(corpus, settings.epochs, settings.seed, before.words if before else None)
    about = {**asdict(settings), "text": batches.fingerprint()}
    model = before.train().requires_grad_(True) if before else _begin(batches, settings)
    module = LanguageModule(model, batches, settings.lr)
    folder = out.with_name(f".{out.name}.training")
    with locked(folder):
        try:
            run(_trainer(folder, about, len(batches), accelerator), module, None, _last(folder, about))
            model = module.model.cpu().eval().requires_grad_(False)
            model.save(out)
        except Exception:
            if not any(folder.glob("*.ckpt")):
                remove(folder)
            raise
        remove(folder)
    return model


def _trainer(folder: Path, about: dict[str, Any], updates: int, accelerator: str) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=1,  # for Lightning; all epochs are in the plan
        gradient_clip_val=_CLIP,
        callbacks=[LastCheckpoint(str(folder)), _Progress(updates)],
        plugins=[Checkpoints({"lstm": about})],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _begin(batches: Batches, settings: LanguageSettings) -> LstmLM:
    """Return a new model; its biases are how frequent the words are, so that it need not learn that."""
    model = LstmLM(batches.words, settings.embedding, settings.hidden)
    counts = torch.from_numpy(np.log(np.maximum(batches.counts[len(MARKS) :], 1))).float()
    with torch.no_grad():
        model.bias[len(MARKS) :] = counts - counts.max() if len(counts) else counts
        model.bias[model.bos] = -20.0  # never follows
    return model


def _last(folder: Path, about: dict[str, Any]) -> Path | None:
    """Return the checkpoint to go on from; None: from the beginning."""
    last = find_last(folder)
    if last is None:
        return None
    before = Checkpoints({}).load_checkpoint(last, weights_only=True).get("settings", {}).get("lstm", {})
    if changed := [key for key, value in about.items() if before.get(key) != value]:
        raise UsageError(
            f"{last}: is of a training with another {', '.join(changed)}; use the old settings, delete {folder},"
            " or choose another out="
        )
    say(f"going on from {last}")
    return last

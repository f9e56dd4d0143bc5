"""From the settings of a training to its parts: utterances, stages, data, trainer."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import Checkpoint

from speechlstm.configs import build, build_part
from speechlstm.data.doctor import cheap_checks
from speechlstm.data.manifest import read_manifest
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.training import warmstart
from speechlstm.training.callbacks.progress import Progress
from speechlstm.training.checkpoints import Checkpoints, find_last, read_checkpoint
from speechlstm.training.data import SpeechData
from speechlstm.training.fit import check_checkpoint
from speechlstm.training.loss import CtcLoss
from speechlstm.training.messages import say
from speechlstm.training.module import TrainingModule
from speechlstm.training.optimization import make_optimizer, make_schedule
from speechlstm.transcription.devices import check_precision
from speechlstm.types import ManifestError, SpeechlstmError, UsageError, Utterance, counted

_NAMED = 3  # utterances that are left out
_UPDATES = 1_000_003  # for which a schedule is tried; of few, a share may be none


class Parts(NamedTuple):
    """What a training consists of."""

    trainer: pl.Trainer  # with callbacks, loggers and checkpoints
    model: TrainingModule  # what is trained
    data: SpeechData  # what it is trained on
    last: Path | None  # checkpoint to go on from, or None


def assemble(cfg: DictConfig, out: Path, overrides: Sequence[str] = ()) -> Parts:
    """Make all parts of a training: one that goes on from its last checkpoint, or begins, with weights or without.

    With `init_from` the settings of features and encoder in `cfg` become those of the weights, except what the command
    line, `overrides`, sets.

    Raises:
        SpeechlstmError: manifests, settings, a checkpoint or a bundle that cannot be used.
    """
    last = find_last(out / "checkpoints")
    content = read_checkpoint(last) if last else None
    source = warmstart.read(cfg.init_from) if cfg.init_from and not content else None
    if cfg.init_from:
        theirs = content["settings"] if content else source.settings if source else {}
        changes = warmstart.adopt(cfg, theirs, overrides)
    trainer = make_trainer(cfg)
    model, data = prepare(cfg)
    data.check(trainer.num_nodes * trainer.num_devices)
    check_monitors(trainer.callbacks, model.loss, cfg.decoder)  # type: ignore[attr-defined]
    if content:
        done, wanted = int(content["epoch"]), trainer.max_epochs or -1
        if 0 < wanted < done:
            raise UsageError(
                f"{last}: {counted(done, 'epoch')} are done, but trainer.max_epochs is {wanted}; "
                "the bundle of these is there, or ask for more epochs"
            )
        check_checkpoint(content, model, settings(cfg))
        say(f"going on from {last}")
    elif source:
        warmstart.initialize(model, source, changes, cfg.verbose)
    return Parts(trainer, model, data, last)


def read(
    manifests: str | Sequence[str] | ListConfig, unread: list[SpeechlstmError] | None = None
) -> list[Utterance]:
    """Read one manifest or several one after the other; lines that cannot be used are named on stderr.

    Args:
        manifests: their paths.
        unread: gets an error for each of those lines.
    """
    problems: list[ManifestError] = []
    paths = [manifests] if isinstance(manifests, str) else list(manifests)
    utterances = [utterance for path in paths for utterance in read_manifest(path, problems)]
    say(*(f"left out: {problem}" for problem in problems))
    if unread is not None:
        unread += problems
    return utterances


def select(
    utterances: Sequence[Utterance],
    cfg: DictConfig,
    tokenizer: Tokenizer,
    acoustic: AcousticModel,
    part: str,
) -> list[Utterance]:
    """Return the utterances that can be used, and say how many others there are, and why.

    An utterance of the dev part is left out only when there is no audio: a text that the tokenizer cannot spell, or
    that is too long to be aligned, is scored all the same, or the error rate would be flattered.

    Raises:
        ManifestError: none is left.
    """

    def frames(seconds: float) -> int:
        return acoustic.num_frames(round(seconds * cfg.sample_rate))

    train = part == "train"
    wanted = (tokenizer, frames) if train else ()
    kept: list[Utterance] = []
    reasons: list[str] = []
    for utterance in utterances:  # each by itself: an id may stand in several manifests
        found = [
            problem.message
            for problem in cheap_checks([utterance], *wanted)
            # without a text, whatever is recognized counts as inserted
            if problem.severity == "error" and (train or problem.kind != "empty text")
        ]
        if train and not cfg.data.min_seconds <= utterance.duration <= cfg.data.max_seconds:
            limits = (
                f"{cfg.data.min_seconds:g} to {cfg.data.max_seconds:g} s (data.min_seconds, data.max_seconds)"
            )
            found.append(f"{utterance.duration:.2f} s long, outside {limits}")
        if found:
            reasons.append(f"{utterance.id}: {found[0]}")
        else:
            kept.append(utterance)
    name_left_out(part, reasons, len(utterances), cfg)
    if not kept:
        raise ManifestError(
            f"no utterance of the {part} part can be used; run `speechlstm validate` for details"
        )
    return kept


def name_left_out(part: str, reasons: Sequence[str], given: int, cfg: DictConfig) -> None:
    """Say how many utterances of a part are left out, and why: the first ones, or all with `verbose`."""
    if not reasons:
        return
    shown = reasons if cfg.verbose else reasons[:_NAMED]
    say(
        f"{part}: left out {len(reasons)} of {counted(given, 'utterance')}:", *(f"  {each}" for each in shown)
    )
    if len(reasons) > len(shown):
        say(f"  and {len(reasons) - len(shown)} more; verbose=true names them all")


def prepare(cfg: DictConfig) -> tuple[TrainingModule, SpeechData]:
    """Build the stages of a training, and its data, from its config; settings are tried before data is read.

    Raises:
        SpeechlstmError: manifests or settings that cannot be used.
    """
    optimizer, scheduler = build(cfg.optimizer), build(cfg.scheduler)
    tried = make_optimizer(optimizer, [torch.nn.Parameter(torch.zeros(1))])
    if scheduler is not None:
        endless = cfg.trainer.get("max_epochs") == -1 and cfg.trainer.get("max_steps", -1) == -1
        make_schedule(scheduler, tried, math.inf if endless else _UPDATES)
    loss, augment = build(cfg.loss), build(cfg.augment.features)
    features = build_part("features", cfg.features)
    if features.sample_rate != cfg.sample_rate:
        raise UsageError(
            f"features.sample_rate is {features.sample_rate}, but sample_rate, of the audio, is {cfg.sample_rate}"
        )
    unread: list[SpeechlstmError] = []
    train, dev = read(cfg.data.train, unread), read(cfg.data.dev, unread)
    tokenizer = build_part("tokenizer", cfg.tokenizer, texts=[utterance.text for utterance in train])
    decoder = build_part("decoder", cfg.decoder, tokenizer=tokenizer)
    encoder = build_part(
        "encoder", cfg.encoder, num_features=features.num_features, vocab_size=len(tokenizer)
    )
    warmstart.freeze(encoder, cfg.freeze)
    acoustic = AcousticModel(features, encoder)
    train = select(train, cfg, tokenizer, acoustic, "train")
    dev = select(dev, cfg, tokenizer, acoustic, "dev")
    data = load(cfg, train, dev, tokenizer)
    data.unread += len(unread)
    if getattr(features, "normalize", None) == "global":
        features.estimate((batch.waveforms, batch.lengths) for batch in data.train_dataloader())
    loss.prepare(data.train_set.targets, len(tokenizer))
    return TrainingModule(acoustic, tokenizer, decoder, loss, augment, optimizer, scheduler, cfg.seed), data


def load(
    cfg: DictConfig, train: Sequence[Utterance], dev: Sequence[Utterance], tokenizer: Tokenizer
) -> SpeechData:
    """Make the data of a training; with `data.cache` all audio is read, and what cannot be read is named.

    Raises:
        ManifestError: nothing can be read.
    """
    data = SpeechData(
        train,
        dev,
        tokenizer.encode,
        cfg.sample_rate,
        cfg.data.batch_seconds,
        cfg.data.num_workers,
        cfg.data.cache,
        build(cfg.augment.speed),
        build(cfg.augment.waveform),
        cfg.seed,
        cfg.data.strict_audio,
        cfg.data.timeout,
    )
    for part, dataset in (("train", data.train_set), ("dev", data.dev_set)) if cfg.data.cache else ():
        given = len(dataset)
        failures = dataset.fill()
        data.unread += len(failures)
        name_left_out(part, [str(failure) for failure in failures], given, cfg)
        if not dataset.utterances:
            raise ManifestError(
                f"no audio of the {part} part can be read; run `speechlstm validate` for details"
            )
    return data


def check_monitors(callbacks: Sequence[Any], loss: CtcLoss, decoder: DictConfig) -> None:
    """See whether the error rates that callbacks go by mean anything for the loss.

    Raises:
        UsageError: the loss needs a language model, but the decoder of the validation has none.
    """
    if not loss.needs_lm or decoder.get("lm"):
        return
    for callback in callbacks:
        if (monitor := getattr(callback, "monitor", None)) in ("val/wer", "val/cer"):
            raise UsageError(
                f"{type(callback).__name__} goes by {monitor}, but this loss trains for a decoder with a language "
                f"model, and decoder={decoder.get('name')} has none, so that its error rate says nothing: set "
                "decoder=beam lm=FILE, or go by the loss with callbacks.best.monitor=val/loss"
            )


def check_trainer(trainer: DictConfig) -> None:
    """Raise a UsageError for settings of which Lightning would speak in words of its own."""
    epochs, devices = trainer.get("max_epochs"), trainer.get("devices")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or (epochs < 1 and epochs != -1):
        raise UsageError(f"trainer.max_epochs is {epochs!r}, but must be 1 or more, or -1 for no limit")
    if isinstance(devices, int) and not isinstance(devices, bool) and devices != -1 and devices < 1:
        raise UsageError(f"trainer.devices is {devices!r}, but must be 1 or more, or auto")
    if trainer.get("max_time") and trainer.get("accumulate_grad_batches", 1) != 1:
        raise UsageError(
            f"trainer.max_time with trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} can end the "
            "training between two updates, where it cannot go on later; use trainer.max_steps"
        )
    if trainer.get("accelerator") in ("gpu", "cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"trainer.accelerator={trainer.accelerator}: PyTorch sees no GPU on this machine; use trainer=cpu"
        )


def make_trainer(cfg: DictConfig) -> pl.Trainer:
    """Make the trainer with its callbacks, loggers and checkpoints.

    Raises:
        UsageError: settings that this machine cannot serve.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # this program says it in its own words
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    callbacks = [build(node) for node in (cfg.get("callbacks") or {}).values() if node]
    if not any(isinstance(each, Checkpoint) for each in callbacks):
        raise UsageError(
            "no callback keeps a checkpoint, so nothing would be left of the training; keep callbacks.last"
        )
    loggers = [build(node) for node in (cfg.logger or {}).values() if node]
    trainer: pl.Trainer = build(
        cfg.trainer,
        callbacks=[*callbacks, Progress()],
        logger=loggers,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[Checkpoints(settings(cfg))],
    )
    check_precision(str(cfg.trainer.precision), trainer.strategy.root_device)
    every, last = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every and last and 0 < last < every:
        trainer.check_val_every_n_epoch = last  # or nothing would be validated, and so nothing kept
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


def settings(cfg: DictConfig) -> dict[str, Any]:
    """Return what a checkpoint says of the model: the settings of its features and encoder."""
    return {part: OmegaConf.to_container(cfg[part], resolve=True) for part in ("features", "encoder")}

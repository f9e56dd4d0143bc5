"""What surrounds the fit: choosing utterances, going on after an interruption, scoring, the model card."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from speechlstm import __version__
from speechlstm.configs import build, build_part
from speechlstm.data.doctor import cheap_checks
from speechlstm.data.manifest import read_manifest
from speechlstm.evaluation import metrics
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.training import ranks, warmstart
from speechlstm.training.callbacks.interruptions import Interruption, LastCheckpoint, requeue
from speechlstm.training.checkpoints import Checkpoints, find_last
from speechlstm.training.data import SpeechData
from speechlstm.training.module import Heard, TrainingModule
from speechlstm.transcription.devices import check_precision
from speechlstm.types import AudioError, ManifestError, SpeechlstmError, UsageError, Utterance


def read(manifests: str | Sequence[str] | ListConfig) -> list[Utterance]:
    """Read one manifest or several one after the other."""
    paths = [manifests] if isinstance(manifests, str) else list(manifests)
    return [utterance for path in paths for utterance in read_manifest(path)]


def select(
    utterances: Sequence[Utterance],
    cfg: DictConfig,
    tokenizer: Tokenizer,
    features: Any,
    encoder: Any,
    part: str,
) -> list[Utterance]:
    """Return the utterances that can be used, and name the others with their reasons on stderr.

    An utterance of the dev part is left out only when there is no audio: a text that the tokenizer cannot spell, or
    that is too long to be aligned, is scored all the same, or the error rate would be flattered.

    Raises:
        ManifestError: none is left.
    """

    def frames(seconds: float) -> int:
        length = torch.tensor(features.num_frames(round(seconds * cfg.sample_rate)))
        return int(encoder.output_lengths(length))

    train = part == "train"
    problems = cheap_checks(utterances, tokenizer, frames) if train else cheap_checks(utterances)
    reasons: dict[str, str] = {}
    for problem in problems:
        scored = problem.kind == "empty text" and not train  # whatever is heard then counts as inserted
        if problem.severity == "error" and problem.utterance is not None and not scored:
            reasons.setdefault(problem.utterance, problem.message)
    for utterance in utterances if train else ():
        if not cfg.data.min_seconds <= utterance.duration <= cfg.data.max_seconds:
            limits = (
                f"{cfg.data.min_seconds:g} to {cfg.data.max_seconds:g} s (data.min_seconds, data.max_seconds)"
            )
            reasons.setdefault(utterance.id, f"{utterance.duration:.2f} s long, outside {limits}")
    if reasons:
        ranks.say(f"{part}: {len(reasons)} of {len(utterances)} utterances are left out:")
    for name, reason in reasons.items():
        ranks.say(f"  {name}: {reason}")
    kept = [utterance for utterance in utterances if utterance.id not in reasons]
    if not kept:
        raise ManifestError(f"no utterance of the {part} part can be used; `speechlstm validate` tells more")
    return kept


def prepare(cfg: DictConfig) -> tuple[TrainingModule, SpeechData]:
    """Build the stages of a training from its config.

    Raises:
        SpeechlstmError: manifests or settings that cannot be used.
    """
    train, dev = read(cfg.data.train), read(cfg.data.dev)
    tokenizer = build_part("tokenizer", cfg.tokenizer, texts=[utterance.text for utterance in train])
    features = build_part("features", cfg.features)
    if features.sample_rate != cfg.sample_rate:
        raise UsageError(
            f"features.sample_rate is {features.sample_rate}, but sample_rate, of the audio, is {cfg.sample_rate}"
        )
    encoder = build_part(
        "encoder", cfg.encoder, num_features=features.num_features, vocab_size=len(tokenizer)
    )
    train = select(train, cfg, tokenizer, features, encoder, "train")
    dev = select(dev, cfg, tokenizer, features, encoder, "dev")
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
    )
    if cfg.data.cache:
        for part, dataset in (("train", data.train_set), ("dev", data.dev_set)):
            for failure in dataset.fill():
                ranks.say(f"{part}: left out: {failure}")
            if not dataset.utterances:
                raise ManifestError(
                    f"no audio of the {part} part can be read; `speechlstm validate` tells more"
                )
    if getattr(features, "normalize", None) == "global":
        features.estimate((batch.waveforms, batch.lengths) for batch in data.train_dataloader())
    model = TrainingModule(
        AcousticModel(features, encoder),
        tokenizer,
        build_part("decoder", cfg.decoder, tokenizer=tokenizer),
        build(cfg.loss),
        build(cfg.augment.features),
        build(cfg.optimizer),
        build(cfg.scheduler),
        cfg.seed,
    )
    return model, data


def fit(cfg: DictConfig, model: TrainingModule, data: SpeechData, out: Path) -> tuple[pl.Trainer, float]:
    """Train until the last epoch, from the last checkpoint if there is one, and load the best weights.

    Returns:
        the trainer, and how many seconds the training took, in all sessions that led here.

    Raises:
        SpeechlstmError: the checkpoint is damaged, another rank has failed, or updates were skipped in a row.
        UsageError: settings that cannot be used here, or do not fit the checkpoint.
        SystemExit: a signal has stopped the training; the checkpoint is written.
    """
    callbacks = [build(node) for node in (cfg.callbacks or {}).values() if node]
    loggers = [build(node) for node in (cfg.logger or {}).values() if node]
    settings = {part: OmegaConf.to_container(cfg[part], resolve=True) for part in ("features", "encoder")}
    watched = sys.stdout.isatty()  # a bar in a log file is noise: each epoch's figures are printed
    io = Checkpoints(settings)
    trainer: pl.Trainer = build(
        cfg.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=watched, plugins=[io]
    )
    check_precision(str(cfg.trainer.precision), trainer.strategy.root_device)
    data.check(trainer.num_nodes * trainer.num_devices)
    for logger in loggers:
        if isinstance(logger, WandbLogger):  # the others lie beside the folder's own copy of the settings
            logger.log_hyperparams(_flat(OmegaConf.to_container(cfg, resolve=True)))
    last = find_last(out / "checkpoints")
    if last:
        check_checkpoint(io.load_checkpoint(last, weights_only=True), model, settings)
        ranks.say(f"going on from {last}")
    elif cfg.init_from:
        warmstart.initialise(model, cfg.init_from, settings)
    warmstart.freeze(model.acoustic.encoder, cfg.freeze)
    try:
        with warnings.catch_warnings():
            # Not true: the checkpoint has the place in the epoch (`SpeechData.state_dict`).
            warnings.filterwarnings("ignore", ".*your dataloader is not resumable")
            # It is not empty because the same command goes on.
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
            # Not needed: the error rates are of all ranks already (`TrainingModule.on_validation_epoch_end`).
            warnings.filterwarnings("ignore", r"It is recommended to use .*sync_dist=True")
            trainer.fit(model, data, ckpt_path=str(last) if last else None, weights_only=True)
    except Interruption as stop:
        ranks.say(f"{stop}; the same command goes on from there")
        if stop.number == signal.SIGUSR1 and trainer.is_global_zero:
            requeue()
        sys.exit(stop.exit_status)
    except SIGTERMException:  # before the first batch
        sys.exit(128 + signal.SIGTERM)
    except SystemExit:  # Lightning's answer to Ctrl-C, with a status as if something had failed
        sys.exit(128 + signal.SIGINT)
    except AudioError as error:  # from a loader process it comes with that process's traceback
        raise AudioError(str(error).strip().splitlines()[-1].rpartition("AudioError: ")[2]) from error
    except MisconfigurationException as error:
        raise UsageError(f"the trainer refuses its settings: {error}") from error
    finally:
        trainer.fit_loop.teardown()  # ends the loader processes, which Lightning forgets in a validation
    keepers = [each for each in callbacks if isinstance(each, ModelCheckpoint) and each.monitor]
    best = keepers[0].best_model_path if keepers else ""
    if not best:
        raise SpeechlstmError(f"no checkpoint was written to {out}; there is nothing to export")
    if trainer.is_global_zero:  # the only one that exports
        model.load_state_dict(io.load_checkpoint(best, weights_only=True)["state_dict"])
    return trainer, max((each.seconds for each in callbacks if isinstance(each, LastCheckpoint)), default=0.0)


def check_checkpoint(
    checkpoint: Mapping[str, Any], model: TrainingModule, settings: Mapping[str, Any]
) -> None:
    """See whether a training can go on from a checkpoint.

    Args:
        checkpoint: its content.
        model: what is to be trained.
        settings: the model's settings, by stage.

    Raises:
        UsageError: it is of another model; the differences are listed.
    """
    model.on_load_checkpoint(dict(checkpoint))
    there = {name: tuple(weights.shape) for name, weights in checkpoint["state_dict"].items()}
    here = {name: tuple(weights.shape) for name, weights in model.state_dict().items()}
    if there == here:
        return
    before, now = (_flat(each) for each in (checkpoint["settings"], settings))
    differences = [
        f"{key} is {now.get(key)}, but was {before.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ] or [
        f"{name} is of shape {here.get(name)}, but was {there.get(name)}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    more = f" and {len(differences) - 8} more" if len(differences) > 8 else ""
    raise UsageError(
        f"the checkpoint is of another model: {'; '.join(differences[:8])}{more}; "
        "use the old settings, or another out="
    )


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return all settings by their dotted names."""
    if not isinstance(settings, Mapping):
        return {prefix.removesuffix("."): settings}
    return {
        key: value
        for name, node in settings.items()
        for key, value in _flat(node, f"{prefix}{name}.").items()
    }


@torch.inference_mode()
def validate(model: TrainingModule, data: SpeechData) -> metrics.Score:
    """Score the model on the dev part with its decoder."""
    model.eval()
    heard = Heard()
    for batch in data.val_dataloader():
        batch = batch.to(model.device)
        log_probs, lengths, *_ = model(batch.waveforms, batch.lengths)
        heard.pairs += model.transcripts(batch, log_probs, lengths)
    return heard.score()


def model_card(
    cfg: DictConfig, data: SpeechData, score: metrics.Score, command: str, seconds: float, parameters: int
) -> str:
    """Return the bundle's README.md: data, command, seed, figures."""
    low, high = score.interval()
    train, dev = data.train_set.utterances, data.dev_set.utterances
    hours = sum(utterance.duration for utterance in train) / 3600
    manifests = cfg.data.train if isinstance(cfg.data.train, str) else ", ".join(cfg.data.train)
    return f"""# {cfg.name}

A speech recogniser of speechlstm {__version__}: {parameters / 1e6:.1f} million parameters.

| | |
|---|---|
| trained on | {manifests}: {len(train)} utterances, {hours:.2f} hours |
| validated on | {len(dev)} utterances, {score.words.length} words |
| word error rate | {score.wer:.2%} (95 % interval {low:.2%} to {high:.2%}), {cfg.decoder.name} decoder |
| character error rate | {score.cer:.2%} |
| seed | {cfg.seed} |
| training | {cfg.trainer.max_epochs} epochs, {seconds / 60:.1f} minutes |

The validation utterances chose the best epoch, so their figure is slightly favourable.

```
{command}
```
"""

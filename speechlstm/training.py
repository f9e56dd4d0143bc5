"""What surrounds the fit: choosing utterances, going on after an interruption, scoring, the model card."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from speechlstm import __version__, metrics
from speechlstm.checkpoints import Checkpoints
from speechlstm.configs import build
from speechlstm.data import SpeechData
from speechlstm.doctor import cheap_checks
from speechlstm.errors import AudioError, ManifestError, SpeechlstmError, UsageError
from speechlstm.manifest import read_manifest
from speechlstm.recognizer import Recognizer
from speechlstm.tokenizer import Tokenizer
from speechlstm.types import Utterance


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
        print(f"{part}: {len(reasons)} of {len(utterances)} utterances are left out:", file=sys.stderr)
    for name, reason in reasons.items():
        print(f"  {name}: {reason}", file=sys.stderr)
    kept = [utterance for utterance in utterances if utterance.id not in reasons]
    if not kept:
        raise ManifestError(f"no utterance of the {part} part can be used; `speechlstm validate` tells more")
    return kept


def prepare(cfg: DictConfig) -> tuple[Recognizer, SpeechData]:
    """Build the stages of a training from its config.

    Raises:
        SpeechlstmError: manifests or settings that cannot be used.
    """
    train, dev = read(cfg.data.train), read(cfg.data.dev)
    tokenizer = build(cfg.tokenizer, texts=[utterance.text for utterance in train])
    features = build(cfg.features)
    if features.sample_rate != cfg.sample_rate:
        raise UsageError(
            f"features.sample_rate is {features.sample_rate}, but sample_rate, of the audio, is {cfg.sample_rate}"
        )
    encoder = build(cfg.encoder, num_features=features.num_features, vocab_size=len(tokenizer))
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
        cfg.seed,
    )
    if cfg.data.cache:
        for part, dataset in (("train", data.train_set), ("dev", data.dev_set)):
            for failure in dataset.fill():
                print(f"{part}: left out: {failure}", file=sys.stderr)
            if not dataset.utterances:
                raise ManifestError(
                    f"no audio of the {part} part can be read; `speechlstm validate` tells more"
                )
    if getattr(features, "normalize", None) == "global":
        features.estimate((batch.waveforms, batch.lengths) for batch in data.train_dataloader())
    model = Recognizer(
        features,
        encoder,
        tokenizer,
        build(cfg.decoder, tokenizer=tokenizer),
        build(cfg.loss),
        build(cfg.augment.features),
        build(cfg.optimizer),
        build(cfg.scheduler),
        cfg.seed,
    )
    return model, data


def fit(cfg: DictConfig, model: Recognizer, data: SpeechData, out: Path) -> pl.Trainer:
    """Train until the last epoch, from `checkpoints/last.ckpt` if there is one, and load the best weights.

    Raises:
        SpeechlstmError: the checkpoint belongs to other settings.
        UsageError: the trainer's settings cannot be used here.
    """
    callbacks = [build(node) for node in (cfg.callbacks or {}).values() if node]
    loggers = [build(node) for node in (cfg.logger or {}).values() if node]
    watched = sys.stdout.isatty()  # a bar in a log file is noise: each epoch's figures are printed
    trainer: pl.Trainer = build(
        cfg.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=watched, plugins=[Checkpoints()]
    )
    last = out / "checkpoints" / "last.ckpt"
    if last.exists():
        print(f"going on from {last}", file=sys.stderr)
    try:
        trainer.fit(model, data, ckpt_path=str(last) if last.exists() else None)
    except SystemExit as leaving:  # Lightning's answer to a signal, with a status as if all were well
        sys.exit(128 + (signal.SIGTERM if isinstance(leaving, SIGTERMException) else signal.SIGINT))
    except AudioError as error:  # from a loader process it comes with that process's traceback
        raise AudioError(str(error).strip().splitlines()[-1].rpartition("AudioError: ")[2]) from error
    except MisconfigurationException as error:
        raise UsageError(f"the trainer refuses its settings: {error}") from error
    except RuntimeError as error:
        if "state_dict" in str(error) and last.exists():
            raise UsageError(
                f"{last} was made with other settings than these: {str(error).splitlines()[-1].strip()}; "
                "use the old settings or another out="
            ) from error
        raise
    keeper = trainer.checkpoint_callback
    best = keeper.best_model_path if isinstance(keeper, ModelCheckpoint) else ""
    if not best:
        raise SpeechlstmError(f"no checkpoint was written to {out}; there is nothing to export")
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict(state)
    return trainer


def validate(model: Recognizer, data: SpeechData) -> metrics.Score:
    """Score the model on the dev part with its decoder."""
    model.eval()
    with torch.inference_mode():
        for index, batch in enumerate(data.val_dataloader()):
            model.validation_pairs(batch.to(model.device), index)
    pairs, model.pairs = model.pairs, []
    return metrics.corpus(pairs)


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

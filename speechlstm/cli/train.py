"""Train a recognizer on manifests and write it as a bundle."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.configs.arguments import as_typed
from speechlstm.data.files import absent, locked, remove, write_atomically
from speechlstm.model.bundle import Bundle, check_place
from speechlstm.model.provenance import sketch
from speechlstm.model.selftest import save_bundle
from speechlstm.training import summary
from speechlstm.training.fit import Trained, fit
from speechlstm.training.messages import is_first, say
from speechlstm.training.parts import Parts, assemble, check_trainer
from speechlstm.types import SOME_FAILED, OutputError, UsageError

_WRITTEN = ("checkpoints", "logs", "csv", "score.json")  # beside the bundle


@configs.main("train")
def main(cfg: DictConfig) -> float:
    """Train, keep the best weights, write them as a bundle; the word error rate is what a sweep makes small.

    Exit status 3 when the bundle is written, but lines of manifests or recordings could not be read.
    """
    out = Path(HydraConfig.get().runtime.output_dir)
    if Path(cfg.out).resolve() != out.resolve():  # a job of a sweep, whose folder everything goes to
        cfg.out = os.path.relpath(out)
    bundle = Path(cfg.bundle.path)
    with contextlib.ExitStack() as held, discarded(out, _claim(bundle)):
        check_trainer(cfg.trainer)
        check_place(bundle)  # now, not after hours of training
        if is_first():  # it speaks for all ranks, which write into one folder
            check_folder(out)
            held.enter_context(locked(out))
            if out.resolve() not in bundle.resolve().parents:
                reserve(bundle, out, held)
        pl.seed_everything(cfg.seed, verbose=False)
        torch.set_float32_matmul_precision("high")
        parts = assemble(cfg, out, configs.task_overrides())
        say(*summary.beginning(parts.trainer, parts.model, parts.data), file=sys.stdout)
        trained = fit(parts.trainer, parts.model, parts.data, out / "checkpoints", parts.last)
        wer = export(cfg, parts, trained, Path(cfg.out)) if parts.trainer.is_global_zero else math.nan
    if unread := parts.data.unread:
        say(
            f"of data.train and data.dev, {unread} could not be read, named above; the bundle is of the others"
        )
        if HydraConfig.get().mode is RunMode.RUN:  # a job of a sweep has done its part
            sys.exit(SOME_FAILED)
    return wer


def check_folder(out: Path) -> None:
    """Raise an OutputError if a folder holds what a training would write over, and no training has written it."""
    if not (out / ".holder").exists() and not any(out.glob("checkpoints/*.ckpt")):
        for name in _WRITTEN:
            if os.path.lexists(out / name):
                raise OutputError(f"{out}: holds {name}, which no training has written; choose another out=")


def reserve(bundle: Path, out: Path, held: contextlib.ExitStack) -> None:
    """Keep others from a bundle outside the training's folder, and do not take one of theirs.

    Raises:
        SpeechlstmError: another training is about to write it.
        UsageError: another training has written it.
    """
    if (bundle.parent / ".lock").exists():  # in the folder of another training
        held.enter_context(locked(bundle.parent))
    held.enter_context(locked(_claim(bundle)))
    try:
        own = json.loads((out / "score.json").read_text(encoding="utf-8")).get("bundle")
    except (OSError, ValueError, AttributeError):
        own = None
    if bundle.is_dir() and any(bundle.iterdir()) and own != str(bundle.resolve()):
        raise UsageError(
            f"bundle.path={bundle} is another training's bundle; choose another path, or remove it"
        )


def export(cfg: DictConfig, parts: Parts, trained: Trained, out: Path) -> float:
    """Write the bundle of a trained model and say how good it is; return the word error rate."""
    model, data = parts.model, parts.data
    record = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("features", "encoder", "data")}
    config = record | {"name": str(cfg.name), "sample_rate": cfg.sample_rate, "seed": cfg.seed}
    config["trained_on"] = sketch(data.train_set.utterances)
    bundle = Bundle(model.acoustic, model.tokenizer, config)
    validation = summary.validate(model.cpu(), data)
    score = validation.score()
    command = shlex.join(["speechlstm", "train", *map(as_typed, sys.argv[1:])])
    card = summary.model_card(cfg, data, score, command, trained, summary.parameters(model))
    save_bundle(bundle, cfg.bundle.path, card, getattr(torch, cfg.bundle.dtype))
    low, high = score.interval()
    figures = {"wer": score.wer, "cer": score.cer, "wer_interval": [low, high], "words": score.words.length}
    figures["bundle"] = str(Path(cfg.bundle.path).resolve())
    write_atomically(out / "score.json", json.dumps(figures) + "\n")
    say(*summary.ending(cfg, trained, validation, out), file=sys.stdout)
    return score.wer


@contextlib.contextmanager
def discarded(*places: Path) -> Iterator[None]:
    """Remove what a training has put into folders if it fails before its first checkpoint, which is in the first."""
    made = [folder for place in places for folder in absent(place)]
    before = {path for place in places for path in place.glob("*")}
    try:
        yield
    except Exception:
        if is_first() and not [*places[0].glob("checkpoints/*.ckpt"), *places[0].glob("skipped.jsonl")]:
            for path in {path for place in places for path in place.glob("*")} - before:
                remove(path)
            for folder in made:
                with contextlib.suppress(OSError):  # something is in it
                    folder.rmdir()
        raise


def _claim(bundle: Path) -> Path:
    """Return the folder that a training holds while it is to write a bundle outside its own folder."""
    place = bundle.resolve()
    return place.parent / f".{place.name}.training"

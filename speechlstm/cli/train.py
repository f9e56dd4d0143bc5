"""Train a recogniser on manifests and write it as a bundle."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.data.files import locked, write_atomically
from speechlstm.model.bundle import Bundle, check_place
from speechlstm.model.provenance import sketch
from speechlstm.model.selftest import save_bundle
from speechlstm.training import fit as training
from speechlstm.training import ranks
from speechlstm.types import UsageError


@configs.main("train")
def main(cfg: DictConfig) -> None:
    """Train, keep the best weights, write them as a bundle."""
    out = Path(HydraConfig.get().runtime.output_dir)
    if Path(cfg.out).resolve() != out.resolve():  # a job of a sweep, whose folder everything goes to
        cfg.out = os.path.relpath(out)
    if cfg.bundle.dtype not in ("float32", "float16"):
        raise UsageError(f"bundle.dtype is {cfg.bundle.dtype!r}, but must be float32 or float16")
    check_place(Path(cfg.bundle.path))  # now, not after hours of training
    # The first rank speaks for all, which write into one folder.
    with locked(out) if ranks.is_first() else contextlib.nullcontext():
        train(cfg, out)


def train(cfg: DictConfig, out: Path) -> None:
    """Train into a folder that no other process uses."""
    pl.seed_everything(cfg.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    model, data = training.prepare(cfg)
    trainer, seconds = training.fit(cfg, model, data, out)
    if not trainer.is_global_zero:
        return
    record = {key: OmegaConf.to_container(cfg[key], resolve=True) for key in ("features", "encoder", "data")}
    config = record | {"name": str(cfg.name), "sample_rate": cfg.sample_rate, "seed": cfg.seed}
    config["trained_on"] = sketch(data.train_set.utterances)
    bundle = Bundle(model.acoustic, model.tokenizer, config)
    score = training.validate(model.cpu(), data)
    low, high = score.interval()
    figures = {"wer": score.wer, "cer": score.cer, "wer_interval": [low, high], "words": score.words.length}
    command = shlex.join(["speechlstm", "train", *sys.argv[1:]])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    card = training.model_card(cfg, data, score, command, seconds, parameters)
    save_bundle(bundle, cfg.bundle.path, card, getattr(torch, cfg.bundle.dtype))
    write_atomically(out / "score.json", json.dumps(figures) + "\n")
    print(
        f"dev: WER {score.wer:.2%} (95 % {low:.2%} to {high:.2%}, {score.words.length} words), CER {score.cer:.2%}"
    )
    print(f"bundle: {cfg.bundle.path}\n\n  speechlstm transcribe FILE bundle={cfg.bundle.path}")


if __name__ == "__main__":
    main()

"""A small bundle, what it gives, and changes of its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters

RATE = 8000
FEATURES = {"sample_rate": RATE, "num_mels": 16}
ENCODER = {"hidden_size": 8, "num_layers": 1, "conv_channels": 2}


def make(normalize: str = "utterance", seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    tokenizer = Characters.from_texts(["any text, ü too"])
    features = LogMel(**FEATURES, normalize=normalize)
    if normalize == "global":
        features.estimate([(torch.randn(2, RATE), torch.tensor([RATE, RATE // 2]))])
    encoder = Encoder(16, len(tokenizer), **ENCODER)
    config = {
        "name": "small",
        "sample_rate": RATE,
        "features": {"name": "logmel", **FEATURES, "normalize": normalize},
        "encoder": {"name": "blstm", **ENCODER},
    }
    return Bundle(AcousticModel(features, encoder).eval(), tokenizer, config)


def log_probs_of(bundle: Bundle) -> torch.Tensor:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        return bundle.model(noise, torch.tensor([RATE]))[0]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")

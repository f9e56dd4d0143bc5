"""A tiny bundle and its checkpoint, what is put in a file's place, and what a refusal must be like."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.tokenizer import Characters
from speechlstm.types import BundleError, SpeechlstmError

FEATURES = {
    "sample_rate": 8000,
    "num_mels": 16,
    "window": 0.025,
    "hop": 0.01,
    "low_freq": 0.0,
    "high_freq": None,
}
FEATURES |= {"floor": 1e-10, "normalize": "utterance"}
ENCODER = {"cell": "lstm", "hidden_size": 8, "num_layers": 1, "subsampling": 4, "conv_channels": 2}
ENCODER |= {"projection_size": None, "dropout": 0.1, "layer_norm": True, "residual": True, "intermediate": []}
PARTS = {"features": {"name": "logmel", **FEATURES}, "encoder": {"name": "blstm", **ENCODER}}

SECONDS, BYTES = 2.0, 300e6  # of CPU, of memory


Damage = Callable[[Path], object]


def make() -> Bundle:
    torch.manual_seed(0)
    tokens = Characters.from_texts(["a bad cafe"])
    model = AcousticModel(LogMel(**FEATURES), Encoder(16, len(tokens), **ENCODER)).eval()
    return Bundle(model, tokens, {"name": "tiny", "sample_rate": 8000, **PARTS})


def peak(reset: bool = False) -> int:
    """Return the most memory that this process has used since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@contextlib.contextmanager
def refused(
    where: Path, kind: type[SpeechlstmError] = BundleError, message: str = ""
) -> Iterator[pytest.ExceptionInfo[SpeechlstmError]]:
    """Expect one sentence that begins with the place, soon and in little memory."""
    before = peak(reset=True)
    start = time.process_time()
    with pytest.raises(kind, match=message or None) as raised:
        yield raised
    assert time.process_time() - start < SECONDS
    assert peak() - before < BYTES
    text = str(raised.value)
    assert text.startswith(str(where)) and "\n" not in text and len(text) < 2500
    text.encode()


def config(**changes: Any) -> Damage:
    """Change keys of config.json, given as `stage__key`."""

    def damage(folder: Path) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            *outer, last = key.split("__")
            inner = content
            for name in outer:
                inner = inner[name]
            inner[last] = value
        path.write_text(json.dumps(content), encoding="utf-8")

    return damage


def instead(kind: str) -> Callable[[Path], None]:
    """Put something else in a file's place."""

    def damage(path: Path) -> None:
        path.unlink(missing_ok=True)
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "sparse":
            with path.open("wb") as file:
                file.truncate(1 << 36)
        elif kind.startswith("link to "):
            path.symlink_to(kind.removeprefix("link to "))
        else:
            content = {
                "empty": b"",
                "noise": bytes(range(256)) * 8,
                "deep": b"[" * 100_000,
                "deep objects": b'{"a":' * 100_000,
                "long number": b"1" * 10_000,
                "UTF-16": '{"format": 2}'.encode("utf-16"),
                "null": b"null",
                "number": b"5",
                "list": b"[]",
            }
            path.write_bytes(content[kind])

    return damage


NO_FILES = ["FIFO", "folder", "sparse", "link to /dev/zero", "link to nowhere", "link to .", "empty", "noise"]


def checkpoint() -> dict[str, Any]:
    bundle = make()
    state = {f"acoustic.{name}": value for name, value in bundle.model.state_dict().items()}
    return {
        "epoch": 1,
        "global_step": 5,
        "pytorch-lightning_version": "2.6.4",
        "callbacks": {},
        "loops": {},
        "state_dict": state,
        "tokenizer": bundle.tokenizer.to_dict(),
        "settings": PARTS,
    }

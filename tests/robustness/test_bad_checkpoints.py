"""Checkpoints that are damaged, hostile, or none: one sentence each, at once and in little memory."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_bundle import PARTS, Damage, checkpoint, instead, refused

from speechlstm.study.inspect.checkpoint import load as from_checkpoint
from speechlstm.training.checkpoints import Checkpoints
from speechlstm.training.warmstart import read
from speechlstm.types import SpeechlstmError


def test_a_checkpoint_that_is_one_is_read(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "a.ckpt")
    assert read(tmp_path / "a.ckpt").tokens == from_checkpoint(tmp_path / "a.ckpt").tokenizer.tokens


KINDS = [
    *((key, value) for key in ("state_dict", "tokenizer", "settings") for value in (5, "text", [], None, {"a": 5})),
    *((key, "text") for key in ("callbacks", "loops", "epoch", "global_step", "optimizer_states")),
    *((key, 5.5) for key in ("planned", "averaging_state", "current_model_state", "SpeechData", "lr_schedulers")),
    *(("settings", {**PARTS, "encoder": {**PARTS["encoder"], **large}}) for large in (
        {"hidden_size": 10**9}, {"hidden_size": 8192, "num_layers": 64},
        {"num_layers": 10**7}, {"conv_channels": 10**8}, {"name": "nope"}, {"name": 5},
    )),
    ("settings", {**PARTS, "features": {**PARTS["features"], "sample_rate": 10**9}}),
    ("tokenizer", {"kind": "characters", "case": "lower", "tokens": 5}),
]  # fmt: skip


@pytest.mark.parametrize("door", [read, from_checkpoint], ids=["init_from", "inspect"])
@pytest.mark.parametrize("number", range(len(KINDS)))
def test_a_checkpoint_of_other_content(tmp_path: Path, number: int, door: Callable[[Path], object]) -> None:
    key, value = KINDS[number]
    torch.save(checkpoint() | {key: value}, tmp_path / "a.ckpt")
    with refused(tmp_path / "a.ckpt", SpeechlstmError):
        door(tmp_path / "a.ckpt")


def zipped(path: Path, size: int, compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("archive/data.pkl", "w") as part:
        for _ in range(size >> 20):
            part.write(bytes(1 << 20))


FILES: dict[str, Damage] = {
    "a zip bomb": lambda path: zipped(path, 1 << 28, zipfile.ZIP_DEFLATED),
    "a zip bomb in bzip2": lambda path: zipped(path, 1 << 24, zipfile.ZIP_BZIP2),
    "a zip of zeros": lambda path: zipped(path, 1 << 20, zipfile.ZIP_STORED),
    "a zip of nothing": lambda path: zipped(path, 0, zipfile.ZIP_STORED),
    "a list": lambda path: torch.save([1], path),
    "a number": lambda path: torch.save(5, path),
    "an old file of torch": lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
    "text": lambda path: path.write_text("weights"),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: (torch.save(checkpoint(), path), os.truncate(path, 3000)),
    "FIFO": instead("FIFO"),
    "link to /dev/zero": instead("link to /dev/zero"),
    "folder": instead("folder"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str) -> None:
    path = tmp_path / "last.ckpt"
    FILES[name](path)
    with refused(path, SpeechlstmError):
        Checkpoints({}).load_checkpoint(path, weights_only=True)

"""Trainings whose checkpoints are gone, damaged, or of other numbers: a sentence, or the one before."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tones import last

QUICK = ["trainer.max_epochs=1", "data.num_workers=0"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the folder of a run is kept once one is trained."""
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def trained(here: Path, train: Callable[..., Any], kept: Path) -> Path:
    """Train, or take a copy of the same training; return the folder of its checkpoints."""
    if not kept.exists():
        assert train(*QUICK)[0] == 0
        shutil.rmtree("run/bundle")
        shutil.copytree("run", kept)
    else:
        shutil.copytree(kept, "run")
    return Path("run/checkpoints")


def test_a_best_checkpoint_that_is_gone_is_replaced_by_the_last(
    trained: Path, train: Callable[..., Any]
) -> None:
    (trained / "best.ckpt").unlink()
    status, shown = train(*QUICK)
    assert status == 0 and "best.ckpt is gone; the bundle gets the weights of last.ckpt" in shown
    assert Path("run/bundle/config.json").exists()
    status, shown = train(*QUICK, "out=other", "init_from=run/checkpoints/best.ckpt")
    assert status == 1 and "no such file; there are: last.ckpt" in shown


def test_fewer_epochs_than_are_done_are_refused(trained: Path, train: Callable[..., Any]) -> None:
    assert train("trainer.max_epochs=4")[0] == 0
    status, shown = train("trainer.max_epochs=2")
    assert status == 2 and "epochs are done, but trainer.max_epochs is 2" in shown
    assert last("run")["epoch"] == 3


def damaged(path: Path, how: str) -> None:
    """Spoil a checkpoint."""
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        at = len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    elif how == "text":
        path.write_text("no checkpoint")
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data.pkl", b"junk")
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        torch.save(STRANGE[how], path)


STRANGE: dict[str, object] = {
    "number": 5,
    "list": [1, 2],
    "nothing in it": {},
    "state is a number": {"state_dict": 5, "settings": {}, "tokenizer": {"tokens": []}},
    "state is a text": {"state_dict": "x", "settings": {}, "tokenizer": {"tokens": []}},
    "tokenizer is a number": {"state_dict": {}, "settings": {}, "tokenizer": 5},
    "settings are a text": {"state_dict": {}, "settings": "x", "tokenizer": {"tokens": ["a"]}},
    "weights are no numbers": {
        "state_dict": {"acoustic.encoder.output.bias": "x"},
        "settings": {"features": {"name": "logmel"}, "encoder": {"name": "blstm"}},
        "tokenizer": {"tokens": ["a"]},
    },
}
WAYS = ["empty", "cut", "flipped", "text", "zip", *STRANGE]


@pytest.mark.parametrize("how", WAYS)
def test_a_damaged_checkpoint_is_named_at_both_doors(
    trained: Path, train: Callable[..., Any], how: str
) -> None:
    (trained / "previous.ckpt").unlink(missing_ok=True)
    damaged(trained / "last.ckpt", how)
    spoiled = (trained / "last.ckpt").read_bytes()
    status, shown = train("trainer.max_epochs=2", "data.num_workers=0")
    assert status == 1 and "last.ckpt" in shown
    assert (trained / "last.ckpt").read_bytes() == spoiled, "what is there stays"
    status, shown = train(*QUICK, "out=other", f"init_from={trained / 'last.ckpt'}")
    assert status == 1 and "last.ckpt" in shown and not Path("other").exists()


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    trained: Path, train: Callable[..., Any]
) -> None:
    assert train("trainer.max_epochs=2")[0] == 0
    damaged(trained / "last.ckpt", "cut")
    status, shown = train("trainer.max_epochs=3")
    assert status == 0 and "kept as last.damaged" in shown and last("run")["epoch"] == 2


def test_weights_that_are_not_finite_are_not_blamed_on_the_batch(
    trained: Path, train: Callable[..., Any]
) -> None:
    content = torch.load(trained / "last.ckpt", weights_only=True)
    content["state_dict"]["acoustic.encoder.output.bias"][0] = float("nan")
    torch.save(content, "nan.ckpt")
    status, shown = train(*QUICK, "out=other", "init_from=nan.ckpt")
    assert status == 1 and "nan.ckpt: " in shown and "encoder.output.bias has infinite numbers" in shown

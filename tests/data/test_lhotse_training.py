"""Training from shards of lhotse, where they lie, is training from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lhotse_cuts import shar
from tones import fit, last, same_end, write_both

from speechlstm.cli import prepare, validate
from speechlstm.data.manifest import read_manifest
from speechlstm.training import parts
from speechlstm.training.callbacks.interruptions import LastCheckpoint

pytest.importorskip("lhotse", reason="lhotse is not installed: pip install 'speechlstm[lhotse]'")
from lhotse import MonoCut, Recording, SupervisionSegment

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def two_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_command: Run) -> Path:
    """The tones as files with manifests, and as a Shar with manifests from `prepare`."""
    write_both(tmp_path)
    monkeypatch.chdir(tmp_path)
    for part in ("train", "dev"):
        cuts = []
        for each in parts.read(f"{part}.jsonl"):
            said = SupervisionSegment(each.id, each.id, 0.0, each.duration, text=each.text)
            cuts.append(
                MonoCut(
                    each.id, 0.0, each.duration, 0, [said], recording=Recording.from_file(each.audio_filepath)
                )
            )
        shar(tmp_path / "shards" / part, cuts)
    status, out, err = run_command(prepare, "corpus=lhotse", "root=shards", "out=shards")
    assert status == 0 and "without a speaker" in err and out.splitlines()[1].startswith("dev")
    return tmp_path


SHARDS = ["data.train=shards/train.jsonl", "data.dev=shards/dev.jsonl", "data.cache=false"]


def test_training_from_shards_is_training_from_files(two_corpora: Path, run_command: Run) -> None:
    """The same batches, so the same weights in every bit; stopped in the middle and resumed, too."""
    entries = [json.loads(line) for line in Path("shards/train.jsonl").read_text().splitlines()]
    assert entries[1]["audio_filepath"].startswith("train/recording.000000.tar@")
    assert entries[1]["audio_filepath"].endswith("/train1.wav")
    assert not list(two_corpora.glob("shards/**/*.wav")), "nothing is unpacked"
    fit("out=files", "data.batch_seconds=1")
    fit("out=shar", "data.batch_seconds=1", *SHARDS, "data.num_workers=1")
    assert same_end(last("shar"), last("files"))

    original = LastCheckpoint.on_train_batch_end

    def stop(self: LastCheckpoint, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        original(self, trainer, module, outputs, batch, index)
        if (trainer.current_epoch, index) == (1, 1):
            raise KeyError("stopped")

    parts = [
        "out=parts",
        "data.batch_seconds=1",
        "callbacks.last.every_minutes=0",
        *SHARDS,
        "data.num_workers=1",
    ]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(LastCheckpoint, "on_train_batch_end", stop)
        fit(*parts)
    assert last("parts")["global_step"] == 5
    fit(*parts)
    assert same_end(last("parts"), last("files"))


def test_the_doctor_listens_to_shards(two_corpora: Path, run_command: Run) -> None:
    status, out, _ = run_command(validate, "manifest=shards/dev.jsonl", "against=shards/train.jsonl")
    assert status == 0 or "error: audio in both" in out  # short tones may be the same
    assert "missing audio" not in out and "unreadable" not in out
    shard = Path("shards/dev/recording.000000.tar")
    shard.write_bytes(shard.read_bytes()[:600])
    status, out, _ = run_command(validate, "manifest=shards/dev.jsonl")
    assert status and "error: unreadable audio: 2" in out
    shard.unlink()
    assert "error: missing audio: 2" in run_command(validate, "manifest=shards/dev.jsonl")[1]
    assert len(read_manifest("shards/dev.jsonl")) == 2

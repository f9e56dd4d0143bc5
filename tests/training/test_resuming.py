"""A training that goes on from its checkpoint, and what is said where it cannot."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from tones import command, write

from speechlstm.training.module import TrainingModule
from speechlstm.types import SpeechlstmError


def test_a_finished_training_is_only_exported_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 0
    before = (here / "run/bundle/model.safetensors").read_bytes()
    monkeypatch.setattr(TrainingModule, "training_step", lambda *_: pytest.fail("trains again"))
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 0
    assert "going on from " in capfd.readouterr().err
    assert (here / "run/bundle/model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "encoder.hidden_size=9",
            "of another model: encoder.hidden_size is 9, but was 8; use the old settings",
        ),
        (
            "features.num_mels=16",
            "of another model: features.num_mels is 16, but was 20; .*or another out=",
        ),
        ("tokenizer=words", "trained for 4 tokens, but .* 3 .*only there: .*only here: .* another out="),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    write(here, "train", ["aa b", "b"])
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    before = (here / "run/checkpoints/last.ckpt").read_bytes()
    capfd.readouterr()
    assert command(monkeypatch, "out=run", "trainer.max_epochs=2", change) in (1, 2)
    said = capfd.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in said
    with pytest.raises(SpeechlstmError, match=message):
        raise SpeechlstmError(errors[0])
    assert (here / "run/checkpoints/last.ckpt").read_bytes() == before


def test_a_damaged_checkpoint_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = here / "run/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"PK\x03\x04 not really")
    assert command(monkeypatch, "out=run") == 1
    said = capfd.readouterr().err
    assert "last.ckpt: damaged checkpoint" in said and "delete it to start over" in said
    assert "Traceback" not in said


def test_another_length_of_a_resumed_training_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    assert "planned" not in capsys.readouterr().err
    assert command(monkeypatch, "out=run", "trainer.max_epochs=3") == 0
    assert "planned with 1 update and now has 3" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_the_good_checkpoint_stays(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "out=run", "trainer.max_epochs=1") == 0
    folder = here / "run/checkpoints"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    capfd.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # no file can grow past this
    try:
        assert command(monkeypatch, "out=run", "trainer.max_epochs=2") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capfd.readouterr().err
    assert "error: " in said and ".ckpt: File too large" in said and "Traceback" not in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

"""Checkpoints: whatever goes wrong while one is written, the last good one is still there and is found."""

from __future__ import annotations

import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlstm.training import checkpoints
from speechlstm.training.checkpoints import LAST, PREVIOUS, Checkpoints, find_damage, find_last
from speechlstm.types import SpeechlstmError


def content(number: int) -> dict[str, Any]:
    return {"global_step": number, "state_dict": {"weights": torch.full((4000,), float(number))}}


def step(path: Path | None) -> int:
    assert path is not None
    return int(Checkpoints({}).load_checkpoint(path, weights_only=True)["global_step"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with checkpoints 1 (previous) and 2 (last)."""
    for number in (1, 2):
        Checkpoints({}).save_checkpoint(content(number), tmp_path / "checkpoints" / LAST)
    return tmp_path / "checkpoints"


def test_the_last_two_stay_and_nothing_else(folder: Path) -> None:
    Checkpoints({}).save_checkpoint(content(3), folder / LAST)
    assert sorted(path.name for path in folder.iterdir()) == [LAST, PREVIOUS]
    assert (step(folder / PREVIOUS), step(folder / LAST)) == (2, 3)
    Checkpoints({}).save_checkpoint(content(3), folder / "best.ckpt")
    Checkpoints({}).save_checkpoint(content(4), folder / "best.ckpt")
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", LAST, PREVIOUS]
    assert step(folder / "best.ckpt") == 4


def test_it_keeps_settings_and_comes_back_as_it_was(tmp_path: Path) -> None:
    wanted = content(7)
    Checkpoints({"encoder": {"hidden_size": 8}}).save_checkpoint(wanted, tmp_path / LAST)
    found = Checkpoints({}).load_checkpoint(tmp_path / LAST, weights_only=True)
    assert found["settings"] == {"encoder": {"hidden_size": 8}} and found["global_step"] == 7
    assert torch.equal(found["state_dict"]["weights"], wanted["state_dict"]["weights"])


# what goes wrong while writing


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def lost_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def fsync(file: int) -> None:
        sync(file)
        if os.fstat(file).st_size > 1000:
            os.pwrite(file, bytes(100), 500)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (full_disk, OSError, "No space left on device.*last.ckpt'"),
        (
            lost_bytes,
            SpeechlstmError,
            r"last.ckpt: read back otherwise than written \(.*\); the disk is failing",
        ),
    ],
)
def test_a_fault_leaves_the_good_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, error: type[Exception], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        fault(patch)
        with pytest.raises(error, match=message):
            Checkpoints({}).save_checkpoint(content(3), folder / LAST)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert step(find_last(folder)) == 2


def test_a_device_that_is_full_from_the_start_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch puts the error of the system into one of its own."""
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    open_ = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": open_(Path("/dev/full"), mode, buffering=0))
    with pytest.raises(OSError, match=r"No space left on device.*last.ckpt'"):
        Checkpoints({}).save_checkpoint(content(3), folder / LAST)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_without_permission_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    folder.chmod(0o555)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)  # nobody; root may write everywhere
    try:
        with pytest.raises(PermissionError, match=r"Permission denied: 'last.ckpt'"):
            Checkpoints({}).save_checkpoint(content(3), LAST)
    finally:
        os.seteuid(me)
    assert step(find_last(folder)) == 2


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(OSError, match=r"checkpoints/last.ckpt"):
        Checkpoints({}).save_checkpoint(content(3), tmp_path / "checkpoints" / LAST)


def test_without_hard_links_the_previous_one_is_kept_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    Checkpoints({}).save_checkpoint(content(3), folder / LAST)
    assert (step(folder / PREVIOUS), step(folder / LAST)) == (2, 3)


@pytest.mark.parametrize("call", ["fsync", "posix_fadvise", "link", "replace"])
def test_killed_while_writing_there_is_always_a_whole_one(folder: Path, call: str) -> None:
    """What the killed process left is written over by the next one."""
    if not hasattr(os, call):
        pytest.skip(f"no os.{call} here")
    if not (child := os.fork()):
        setattr(os, call, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        Checkpoints({}).save_checkpoint(content(3), folder / LAST)
        os._exit(0)  # would be noticed
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert step(find_last(folder)) == 2
    assert len(list(folder.iterdir())) > 2
    Checkpoints({}).save_checkpoint(content(4), folder / LAST)
    Checkpoints({}).save_checkpoint(content(5), folder / LAST)
    assert sorted(path.name for path in folder.iterdir()) == [LAST, PREVIOUS]
    assert (step(folder / PREVIOUS), step(folder / LAST)) == (4, 5)


# what is found


def test_of_none_nothing_is_found(tmp_path: Path) -> None:
    assert find_last(tmp_path / "gone") is None and find_last(tmp_path) is None


def test_a_missing_one_is_the_one_before(folder: Path) -> None:
    (folder / LAST).unlink()
    assert step(find_last(folder)) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans())
def test_any_damage_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int, cut: bool
) -> None:
    """A byte that has changed anywhere in a part's content, or an end that is missing."""
    path = tmp_path_factory.mktemp("one") / LAST
    Checkpoints({}).save_checkpoint(content(1), path)
    data = bytearray(path.read_bytes())
    weights = data.find(torch.full((4000,), 1.0).numpy().tobytes())
    assert find_damage(path) is None
    if cut:
        path.write_bytes(data[: at % len(data)])
    else:
        data[weights + at % 16000] ^= change
        path.write_bytes(data)
    assert find_damage(path)


def test_a_damaged_one_is_put_aside_and_the_one_before_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / LAST).write_bytes((folder / LAST).read_bytes()[:9000])
    monkeypatch.setattr(checkpoints, "is_first", lambda: False)
    assert step(find_last(folder)) == 1 and (folder / LAST).exists(), "one rank alone puts it aside"
    monkeypatch.undo()
    assert step(find_last(folder)) == 1
    said = capsys.readouterr().err
    assert f"{folder / LAST}: damaged checkpoint (" in said and "kept as last.damaged" in said
    Checkpoints({}).save_checkpoint(content(3), folder / LAST)
    assert (step(folder / PREVIOUS), step(folder / LAST)) == (1, 3)


def test_nothing_but_damaged_ones_is_an_error(folder: Path) -> None:
    (folder / PREVIOUS).unlink()
    (folder / LAST).write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(
        SpeechlstmError, match=r"last.ckpt: damaged checkpoint \(.*\); delete it to start over"
    ):
        find_last(folder)


def test_a_whole_archive_of_something_else_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / LAST, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02nonsense")
    with pytest.raises(SpeechlstmError, match=r"last.ckpt: damaged checkpoint \("):
        Checkpoints({}).load_checkpoint(tmp_path / LAST, weights_only=True)


def test_a_folder_that_has_moved_keeps_its_best(tmp_path: Path) -> None:
    """Lightning forgets the best score when the path it remembers is not the one it is told."""
    folder = tmp_path / "checkpoints"
    state = {"best_model_path": f"{folder}/best.ckpt", "dirpath": str(folder), "monitor": "val/wer"}
    scores = {"best_k_models": {f"{folder}/best.ckpt": torch.tensor(0.25)}, "mode": "min"}
    saved = content(3) | {"callbacks": {"ModelCheckpoint": state | scores}}
    Checkpoints({}).save_checkpoint(saved, folder / LAST)
    moved = folder.rename(tmp_path / "elsewhere")
    found = Checkpoints({}).load_checkpoint(moved / LAST, weights_only=True)["callbacks"]["ModelCheckpoint"]
    assert found["best_model_path"] == f"{moved}/best.ckpt" and found["dirpath"] == str(moved)
    assert found["best_k_models"] == {f"{moved}/best.ckpt": torch.tensor(0.25)}
    assert (found["monitor"], found["mode"]) == ("val/wer", "min")

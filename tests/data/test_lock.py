"""The lock of a folder: a second process is refused and told who is there, and a dead one locks nothing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from speechlstm.data.lock import locked
from speechlstm.types import SpeechlstmError


def elsewhere(action: Callable[[], object]) -> int:
    """Start another process that does something and then waits, and return its id."""
    ready, told = os.pipe()
    if not (child := os.fork()):
        try:
            kept = action()  # noqa: F841  would let go
            os.write(told, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1) == b"x", "it has failed"
    os.close(ready)
    return child


def gone(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    def hold() -> object:
        held = locked(tmp_path / "run")
        held.__enter__()
        return held

    holder = elsewhere(hold)
    today = time.strftime("%Y-%m-%d")
    with (
        pytest.raises(SpeechlstmError) as refused,
        locked(tmp_path / "run"),
    ):
        pytest.fail("two in one folder")
    message = str(refused.value)
    assert f"run: process {holder} on {socket.gethostname()} has been training here since {today} " in message
    assert message.endswith("wait, stop it, or use another out=")
    gone(holder)
    with locked(tmp_path / "run"):  # though the file is still there
        pass


def test_the_folder_is_made_and_free_again_afterwards(tmp_path: Path) -> None:
    def free() -> None:
        with locked(tmp_path / "a/b"):
            pass

    with locked(tmp_path / "a/b"):
        holder = json.loads((tmp_path / "a/b/.lock").read_text())
        assert holder["pid"] == os.getpid() and holder["host"] == socket.gethostname()
    gone(elsewhere(free))
    assert (tmp_path / "a/b/.lock").read_text().count("\n") == 1, "the last holder alone stands there"


def test_one_that_has_not_signed_yet_is_refused_all_the_same(tmp_path: Path) -> None:
    def take() -> object:
        file = (tmp_path / ".lock").open("w")
        fcntl.lockf(file, fcntl.LOCK_EX)
        return file

    holder = elsewhere(take)
    with pytest.raises(SpeechlstmError, match="another process trains here; wait"), locked(tmp_path):
        pytest.fail("two in one folder")
    gone(holder)


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lockf(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with locked(tmp_path):
        pass
    assert "no locks (No locks available); make sure that no other training writes" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "run"):
        pytest.fail("no such folder")

"""Own files: a second writer of a folder is refused and sees who is there, and a dead one locks nothing; caches."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from speechlstm.data.files import locked, user_cache
from speechlstm.types import SpeechlstmError


def elsewhere(action: Callable[[], object]) -> int:
    """Start another process that does something and then waits, and return its id."""
    ready, signal_ready = os.pipe()
    if not (child := os.fork()):
        try:
            kept = action()  # noqa: F841  would let go
            os.write(signal_ready, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(signal_ready)
    assert os.read(ready, 1) == b"x", "it has failed"
    os.close(ready)
    return child


def gone(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_process_is_refused_and_sees_who_holds_the_folder(tmp_path: Path) -> None:
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
    assert f"run: process {holder} on {socket.gethostname()} has been writing here since {today} " in message
    assert message.endswith("wait, stop it, or use another out=")
    gone(holder)
    with locked(tmp_path / "run"):  # though the file is still there
        pass


def test_the_folder_is_made_and_free_again_afterwards(tmp_path: Path) -> None:
    def free() -> None:
        with locked(tmp_path / "a/b"):
            pass

    with locked(tmp_path / "a/b"):
        holder = json.loads((tmp_path / "a/b/.holder").read_text())
        assert holder["pid"] == os.getpid() and holder["host"] == socket.gethostname()
    gone(elsewhere(free))
    assert (tmp_path / "a/b/.holder").read_text().count("\n") == 1, "the last holder alone stands there"


def test_one_that_has_not_signed_yet_is_refused_all_the_same(tmp_path: Path) -> None:
    holder = elsewhere(lambda: FileLock(tmp_path / ".lock").acquire())
    with pytest.raises(SpeechlstmError, match="another process writes here; wait"), locked(tmp_path):
        pytest.fail("two in one folder")
    gone(holder)


def test_a_cache_lies_where_the_user_or_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHLSTM_CACHE", "~/mine")
    assert user_cache() == Path.home() / "mine"
    monkeypatch.delenv("SPEECHLSTM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert user_cache() == Path("/somewhere/speechlstm")


def test_files_need_no_torch() -> None:
    code = "import sys, speechlstm.data.files, speechlstm.data.manifest; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "run"):
        pytest.fail("no such folder")

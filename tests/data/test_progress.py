"""Progress: a bar on a terminal, lines in a log, and nothing but results on the standard output."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from speechlstm.data import progress

WORK = """
import sys, time
from speechlstm.data import progress
for number in progress.track(range(3), "counting", unit="sheep"):
    progress.write(f"result {number} [bold]:smile:")
    time.sleep(0.3)
    with progress.bar("within", 2, "leg") as legs:
        legs.update(2)
progress.write("failed: one", sys.stderr)
"""


def on_terminal(command: list[str], out: Path) -> str:
    """Run with the standard error stream on a terminal, and the standard output in a file."""
    ours, theirs = pty.openpty()
    with out.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode()


def test_a_terminal_shows_a_bar_and_the_results_go_elsewhere(tmp_path: Path) -> None:
    shown = on_terminal([sys.executable, "-c", WORK], tmp_path / "out.txt")
    assert "counting" in shown and "within" in shown and "2/3" in shown and "failed: one" in shown
    assert (tmp_path / "out.txt").read_text() == "".join(f"result {n} [bold]:smile:\n" for n in range(3))


def test_without_a_terminal_a_short_task_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=60)
    assert done.stderr == "failed: one\n" and done.stdout.count("\n") == 3


def test_a_log_gets_lines_with_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.bar("transcribing", 400, "file") as bar:
        for _ in range(40):
            now[0] += 2.0
            bar.update()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "transcribing: 15 of 400 files, 0.5 a second, 0:12:50 left",
        "transcribing: 30 of 400 files, 0.5 a second, 0:12:20 left",
    ]


def test_an_unknown_total_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.bar("reading text", None, "MB") as bar:
        now[0] += 40.0
        bar.update(80)
    assert capsys.readouterr().err == "reading text: 80 MB, 2.0 a second\n"
    with progress.bar("transcribing", 3, "file") as bar:
        now[0] += 40.0
        bar.update()
    assert capsys.readouterr().err == "transcribing: 1 of 3 files, 40 s each, 0:01:20 left\n"


def test_another_processs_bar_is_not_shown_but_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("transcribing", 3, shown=False) as bar:
        bar.update(2)
    assert bar.n == 2 and capsys.readouterr() == ("", "")

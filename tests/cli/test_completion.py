"""Completion: the words offered, and real shells that ask for them."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechlstm.cli import main as cli
from speechlstm.cli.main import commands
from speechlstm.configs.completion import SCRIPTS, complete


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a call.wav").touch()
    (tmp_path / ".hidden.wav").touch()
    (tmp_path / "talks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("speechlstm tra", ["train", "transcribe"]),
        ("speechlstm completion ", ["bash", "zsh", "fish"]),
        ("speechlstm train encod", ["encoder=", "encoder."]),
        ("speechlstm train encoder.hid", ["encoder.hidden_size="]),
        ("speechlstm transcribe decoder=", ["decoder=beam", "decoder=greedy"]),
        ("speechlstm transcribe decoder=beam decoder.beam_s", ["decoder.beam_size="]),
        ("speechlstm transcribe a", ["a call.wav"]),
        ("speechlstm transcribe 'a c", ["a call.wav"]),
        ("speechlstm transcribe out=ta", ["out=talks/"]),
        ("speechlstm transcribe bundle=sm", ["bundle=small"]),
        ("speechlstm transcribe bundle=", ["bundle=small", "bundle=a call.wav", "bundle=talks/"]),
        ("speechlstm models s", ["small"]),
        ("speechlstm models t", ["talks/"]),
        ("speechlstm models f", ["format="]),
        ("speechlstm nothing ", []),
    ],
)
def test_what_is_offered(folder: Path, line: str, words: list[str]) -> None:
    assert sorted(complete("fish", line, commands())) == sorted(words)


def typed(shell: str, start: str, line: str, wanted: str, folder: Path) -> str:
    """Type the start, a line and TAB into an interactive shell, and return what it shows until what is wanted."""
    shutil.copy(SCRIPTS[shell], folder / "script")
    (folder / "bin").mkdir()
    (folder / "bin/speechlstm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m speechlstm "$@"\n')
    (folder / "bin/speechlstm").chmod(0o755)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TERM": "dumb"}
    command = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    terminal, end = pty.openpty()
    with subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, cwd=folder, env=environment, start_new_session=True
    ) as process:
        os.close(end)
        os.write(terminal, f"{start}; echo REA''DY\n".encode())
        read_until(terminal, "READY")
        os.write(terminal, f"{line}\t".encode())
        shown = read_until(terminal, wanted)
        process.kill()
    os.close(terminal)
    return shown


def read_until(terminal: int, wanted: str, seconds: float = 60.0) -> str:
    shown, until = "", time.monotonic() + seconds
    while wanted not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace").replace("\a", "")
    return shown


STARTS = {
    "bash": "PS1='> '; source ./script",
    "zsh": "PS1='> '; autoload -Uz compinit; compinit -u -D; source ./script",
}


@pytest.mark.parametrize("shell", STARTS)
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("speechlstm transc", "speechlstm transcribe "),
        ("speechlstm transcribe decoder=be", "decoder=beam "),
        ("speechlstm transcribe a", r"transcribe a\ call.wav "),
        ("speechlstm transcribe out=ta", "out=talks/"),
        ("speechlstm train encoder=bgru encoder.hid", "encoder.hidden_size="),
        ("true && speechlstm transc", "speechlstm transcribe "),
        ("A='b c' speechlstm transc", "speechlstm transcribe "),
        (r"cd talks/.. && speechlstm transcribe a\ call.wav decoder=be", "decoder=beam "),
        ("true; speechlstm train 'encoder=bgru' encoder.hid", "encoder.hidden_size="),
    ],
)
def test_a_shell_completes_on_tab(folder: Path, shell: str, line: str, completed: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    shown = typed(shell, STARTS[shell], line, completed, folder)
    assert completed in shown and not shown.endswith("= "), shown


def test_zsh_completes_in_an_open_quote(folder: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    line, completed = "true && speechlstm transcribe 'a c", "'a call.wav' "
    assert completed in typed("zsh", STARTS["zsh"], line, completed, folder)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("speechlstm transc", "transcribe"),
        ("speechlstm transcribe decoder=be", "decoder=beam"),
        ("speechlstm transcribe a", "a call.wav"),
        ("speechlstm train encoder=bgru encoder.hid", "encoder.hidden_size="),
        ("true && speechlstm transc", "transcribe"),
        ("A=1 speechlstm transc", "transcribe"),
    ],
)
def test_fish_completes(folder: Path, line: str, words: str) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    (folder / "script").write_text(
        SCRIPTS["fish"].read_text().replace("(speechlstm ", f"('{sys.executable}' -m speechlstm ")
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source script; complete -C '{line}'"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (f"{words}\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "begins"),
    [
        (["--help"], 0, "usage: speechlstm completion"),
        (["-h"], 0, "usage:"),
        (["zsh"], 0, "#compdef"),
        ([], 2, ""),
    ],
)
def test_the_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    begins: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["speechlstm", "completion", *arguments])
    try:
        cli.main()
        left = 0
    except SystemExit as leaving:
        left = leaving.code
    printed = capsys.readouterr()
    assert left == status and printed.out.startswith(begins) and bool(printed.out) == bool(begins)
    assert printed.err == (
        "" if status == 0 else "error: name the shell, as in: speechlstm completion bash|zsh|fish\n"
    )

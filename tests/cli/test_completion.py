"""Completion: the words offered, and real shells that ask for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
        ("speechlstm nothing ", []),
    ],
)
def test_what_is_offered(folder: Path, line: str, words: list[str]) -> None:
    assert sorted(complete("fish", line, commands())) == sorted(words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("speechlstm transc", "transcribe"),
        ("speechlstm transcribe decoder=be", "beam"),
        ("speechlstm transcribe a", "a\\ call.wav"),
        ("speechlstm prepare corpus=fsdd corpus.held", "corpus.held_out_speaker="),
    ],
)
def test_a_real_bash_completes(folder: Path, line: str, reply: str) -> None:
    script = folder / "script"
    script.write_text(SCRIPTS["bash"])
    (folder / "bin").mkdir()
    (folder / "bin/speechlstm").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m speechlstm "$@"\n')
    (folder / "bin/speechlstm").chmod(0o755)
    ask = f'source {script}; compopt() {{ :; }}; COMP_LINE=$1 COMP_POINT=${{#1}}; _speechlstm; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", ask, "bash", line],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )
    assert (done.stdout, done.stderr) == (f"{reply}\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_can_be_read_by_them(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(SCRIPTS[shell])
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True, timeout=60)

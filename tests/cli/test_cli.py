"""The console command: which commands there are, what a typo gets, and the argv it leaves behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import speechlstm
from speechlstm.cli import main as cli


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give this process its signal handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commands that can be listed but must not be imported for it."""
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "train.py").write_text('"""Learn.\n\nMore."""\nraise RuntimeError("imported")\n')
    (tmp_path / "verify.py").write_text("\nimport nothing_there\n")
    monkeypatch.setattr(cli, "_FOLDER", tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["speechlstm", *arguments])
    try:
        cli.main()
    except SystemExit as leaving:
        return leaving.code
    return 0


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_commands_without_importing_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +(.*)$", printed, re.MULTILINE) == [("verify", ""), ("train", "Learn.")]
    assert "usage: speechlstm COMMAND" in printed


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trian", "; did you mean 'train'?"), ("zzz", ""), ("../cli", ""), ("__init__", ""), ("", "")],
)
def test_an_unknown_command_is_a_usage_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert call(monkeypatch, name) == 2
    assert capsys.readouterr().err == f"error: no command {name!r}{hint}; there are: verify, train\n"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert call(monkeypatch, flag) == 0
    assert capsys.readouterr().out == f"speechlstm {speechlstm.__version__}\n"


def test_every_command_has_a_summary() -> None:
    assert {"prepare", "train", "transcribe", "evaluate"} <= set(cli.commands())
    for name in cli.commands():
        assert re.fullmatch(r"[A-Z].{10,90}\.", cli.summary(name)), name


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["trian"], 2, "error: no command 'trian'; did you mean 'train'?"),
        (["evaluate", "decoder=gredy"], 2, "error: no decoder 'gredy'; did you mean 'greedy'?; there are: "),
        (["prepare", "corpus=an4", "rot=x"], 2, "error: no setting 'rot'; did you mean 'root'?"),
    ],
)
def test_the_installed_command_answers_mistakes(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    command = [sys.executable, "-m", "speechlstm", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is littered"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "srt"], "no option '--format': write format=srt"),
        (["--format=srt"], "no option '--format': write format=srt"),
        (["a.wav", "--batch-seconds", "60"], "no option '--batch-seconds': write batch_seconds=60"),
        (["--output-fromat", "x"], "no option '--output-fromat': settings are written KEY=VALUE"),
        (["--formt", "x"], "no option '--formt': write format=x"),
        (["-o", "x"], "no option '-o': write out=x"),
        (["--output_dir=x"], "no option '--output_dir': write out=x"),
        (["--model", "base"], "no option '--model': write bundle=base"),
        (["--beam-size", "5"], "no option '--beam-size': write decoder=beam decoder.beam_size=5"),
        (["--overwrite", "a.wav"], "no option '--overwrite': write overwrite=true"),
        (["--decoder", "beam"], "no option '--decoder': write decoder=beam"),
        (
            ["-x"],
            "no option '-x': settings are written KEY=VALUE, and speechlstm transcribe --help shows them",
        ),
    ],
)
def test_options_of_other_programs_are_answered_with_the_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert call(monkeypatch, "transcribe", *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.parametrize("name", cli.commands())
def test_the_version_is_the_packages_in_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert call(monkeypatch, name, "--version") == 0
    assert capsys.readouterr().out == f"speechlstm {speechlstm.__version__}\n"


def test_an_ignored_interrupt_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `nohup` and for jobs that a script starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert call(monkeypatch, "--version") == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

"""The command `live`: what it hears from a pipe or a microphone, and what it prints."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import soundfile
from spelling import RATE, SpellingBundle, spell

import speechlstm
from speechlstm.cli import live as command


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: SpellingBundle())
    return partial(run_command, command)


def say(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_pipe_is_transcribed(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = np.concatenate([spell("yes no"), np.zeros(2 * RATE, np.float32), spell("hello")])
    pcm = (waveform * 2**15).astype("<i2").tobytes()
    say(monkeypatch, pcm)
    assert run("-") == (0, "yes no\nhello\n", "")
    say(monkeypatch, pcm)
    status, out, _ = run("-", "format=json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [word["text"] for line in lines for word in line["words"]] == [
        "yes",
        "no",
        "hello",
    ]
    assert any(line["partial"] for line in lines) and sum(line["endpoint"] for line in lines) == 2
    say(monkeypatch, b"RIFF")
    assert run("-")[0] == 1


@pytest.mark.usefixtures("microphone")
def test_the_command_records(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("devices=true") == (0, "0  built-in, 2 channels, 16000 Hz\n", "")
    status, _, err = run()
    assert status == 1 and err == "listening; Ctrl-C ends it\nerror: the microphone has gone away\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav"], "error: live reads a microphone, or with - the standard input, not a.wav"),
        (["-", "step=0"], "error: step is 0, but must be"),
        (["-", "step=1e-9"], "error: step is 1e-09, but must be"),
        (["-", "format=srt"], "error: no format 'srt'"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, run: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in err


def test_a_pipe_through_the_real_program() -> None:
    folder = speechlstm.__file__.rpartition("/")[0]
    samples, rate = soundfile.read(f"{folder}/data/samples/stop.flac", dtype="int16")
    done = subprocess.run(
        [sys.executable, "-m", "speechlstm", "live", "-", "bundle=small", f"rate={rate}", "trainer=cpu"],
        input=samples.tobytes(), capture_output=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"stop\n"), done.stderr

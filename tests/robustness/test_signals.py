"""Ctrl-C and SIGTERM at any moment of any command: 130 or 143, at most a line, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warm import Server, after

TINY = "encoder.hidden_size=8 encoder.num_layers=1 encoder.conv_channels=2 trainer.accelerator=cpu ~logger.tensorboard"
COMMANDS = {
    "align": "manifest=samples.jsonl bundle=small out=out",
    "compare": "out=out tasks=[adding:30] networks=[rnn] workers=1",
    "evaluate": "manifest=samples.jsonl bundle=small report=out/report.html",
    "inspect": "stop.flac bundle=small out=out png=false",
    "listen": "manifest=samples.jsonl out=out",
    "lm": "text=text.txt out=out/lm.arpa",
    "plugins": "check=decoder/greedy",
    "prepare": "corpus=text_files root=spoken out=out",
    "train": f"data.train=samples.jsonl data.dev=samples.jsonl data.num_workers=0 {TINY}",
    "transcribe": ". bundle=small out=out threads=1",
    "tune": "manifest=samples.jsonl bundle=small decoder=beam out=out/tuned.yaml on_training_data=true",
    "validate": "manifest=samples.jsonl",
    "verify": "bundle=small",
}
PRINTED = 2  # most lines: a training adds that the same command goes on


def left(folder: Path) -> list[str]:
    """Return the names of temporary files."""
    return [path.name for path in folder.rglob("*") if "tmp" in path.name or path.name.endswith(".part")]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("seconds", "number", "status"),
    [
        (0.0, signal.SIGINT, 130),
        (0.05, signal.SIGINT, 130),
        (0.4, signal.SIGINT, 130),
        (0.05, signal.SIGTERM, 143),
        (0.4, signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_a_command_that_has_begun(
    warm: Server, work: Path, command: str, number: int, status: int, seconds: float
) -> None:
    if command == "prepare":
        (work / "spoken").mkdir()
        for recording in work.glob("*.flac"):
            shutil.copy(recording, work / "spoken")
            (work / "spoken" / f"{recording.stem}.txt").write_text(recording.stem)
    ended = warm.run(work, command, *COMMANDS[command].split(), meanwhile=after(seconds, number))
    assert ended.status in (status, 0), ended.err  # 0: it was faster
    assert "Traceback" not in ended.err
    assert ended.status == 0 or len(ended.err.splitlines()) <= PRINTED, ended.err
    assert not left(work)


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        *(("transcribe", seconds) for seconds in (0.02, 0.1, 0.5, 1.2)),
        *(("train", seconds) for seconds in (0.1, 0.25, 0.8, 1.8)),
        *(("lm", seconds) for seconds in (0.02, 0.5, 0.8)),
    ],
)
def test_an_interrupt_while_it_is_being_imported_is_silent(
    cold: Server, work: Path, command: str, seconds: float
) -> None:
    ended = cold.run(work, command, *COMMANDS[command].split(), meanwhile=after(seconds))
    assert (ended.status, ended.err) in ((130, ""), (0, ended.err))


INTERRUPTED = """
import os, signal, sys
from speechlstm import configs
from speechlstm.data import console

@configs.main("evaluate")
def main(cfg):
    print("begun")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise SystemError("error return without exception set") from None

console.take_signals()
sys.argv[1:] = [*sys.argv[2:], "bundle=small", "manifest=samples.jsonl"]
main()
"""


@pytest.mark.parametrize("sweep", [(), ("--multirun", "threads=1,2")])
def test_an_interrupt_that_became_another_error_is_silent_and_ends_a_sweep(
    warm: Server, work: Path, sweep: tuple[str, ...]
) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = warm.start("-c", INTERRUPTED, "-", *sweep, cwd=work, **pipes)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out.count("begun") == 1
    assert err == ""


def test_an_interrupt_while_numba_compiles_is_not_swallowed(work: Path) -> None:
    """With an empty cache it compiles for tens of seconds."""
    server = Server("transcribe", NUMBA_CACHE_DIR=str(work.with_name("numba")))
    beam = ("transcribe", "stop.flac", "bundle=small", "decoder=beam")
    try:
        server.run(work, "verify", "bundle=small")
        for seconds in (3.0, 5.0):
            began = time.monotonic()
            ended = server.run(work, *beam, meanwhile=after(seconds))
            assert ended.status == 130 and "Traceback" not in ended.err, ended
            assert time.monotonic() - began < 60
    finally:
        server.close()


def test_a_second_interrupt_ends_at_once(warm: Server, work: Path) -> None:
    def twice(pid: int) -> None:
        after(0.3)(pid)
        after(0.02)(pid)

    ended = warm.run(work, "transcribe", *COMMANDS["transcribe"].split(), meanwhile=twice)
    assert ended.status in (0, 130) and "Traceback" not in ended.err


def test_an_ignored_interrupt_stays_ignored(warm: Server, work: Path) -> None:
    """As for `nohup`, and jobs that a script starts in the background."""
    from speechlstm.data import console

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        console.take_signals()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminate)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(warm: Server, work: Path, number: int) -> None:
    """Of `compare`: trials in processes of a pool."""
    children: list[str] = []

    def kill(pid: int) -> None:
        until = time.monotonic() + 120
        while not children and time.monotonic() < until:
            time.sleep(0.05)
            listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            children.extend(
                each for each in listed if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()
            )
        os.kill(pid, number)

    settings = "out=out tasks=[adding:100] networks=[rnn] seeds=[1] max_updates=100000 workers=1"
    ended = warm.run(work, "compare", *settings.split(), meanwhile=kill)
    assert children and ended.status == {signal.SIGKILL: -9}.get(number, 128 + number), ended
    until = time.monotonic() + 60
    while alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.05)


LSTM = """
import signal, sys, time
import torch
from speechlstm.data.console import handle_signals

torch.set_num_threads(1)
handle_signals(lambda *_: None, [signal.SIGALRM])
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
cell, end = torch.nn.LSTM(256, 256, batch_first=True), time.monotonic() + 8
while time.monotonic() < end:
    for frames in (10, 24, 37, 60):
        cell(torch.randn(1, frames, 256, requires_grad=True))[0].sum().backward()
signal.setitimer(signal.ITIMER_REAL, 0)
print("well")
"""


@pytest.mark.slow
def test_signals_leave_the_memory_of_matrix_products_alone() -> None:
    """Without a stack of its own, a handler makes this crash within seconds on a processor with AVX-512."""
    done = subprocess.run(
        [sys.executable, "-c", LSTM],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"well\n"), done.stderr

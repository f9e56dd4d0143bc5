"""A real recording path: PulseAudio plays a file into a sink without hardware, whose monitor is the microphone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import speechlstm

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
STARTING = 120.0  # seconds, on a busy machine


def until(condition: Callable[[], object], seconds: float = STARTING) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing after {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start a sound server of the test's own, in whose environment commands record what is played."""
    for program in ("pulseaudio", "paplay", "pactl"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}: apt-get install pulseaudio pulseaudio-utils")
    for name in ("XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/native")
    monkeypatch.setenv("PULSE_SOURCE", "speakers.monitor")
    modules = ("module-native-protocol-unix", "module-null-sink sink_name=speakers")
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            ["pulseaudio", "-n", "-F", os.devnull, "--use-pid-file=no", "--exit-idle-time=-1"]
            + [f"--load={module}" for module in modules],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: (tmp_path / "native").exists() or server.poll() is not None)
        if server.poll() is not None:
            pytest.skip(f"pulseaudio does not start: {(tmp_path / 'server.log').read_text()[-200:]}")
        probe = [sys.executable, "-c", "import sounddevice; sounddevice.query_devices('pulse')"]
        probed = subprocess.run(probe, capture_output=True, text=True, check=False)
        if probed.returncode:
            reason = probed.stderr.strip().splitlines()[-1]
            pytest.skip(f"needs libportaudio2, libasound2-plugins, and the extra live: {reason}")
        yield tmp_path
    finally:
        server.terminate()
        server.wait()


def play(name: str) -> None:
    subprocess.run(["paplay", "--device=speakers", SAMPLES / name], check=True)


def test_what_is_played_is_printed_until_the_microphone_goes_away(sink: Path) -> None:
    out, err = sink / "out", sink / "err"
    with out.open("w") as words, err.open("w") as messages:
        command = subprocess.Popen(
            [sys.executable, "-m", "speechlstm", "live", "bundle=small", "trainer=cpu", "device=pulse"],
            stdout=words, stderr=messages,
        )  # fmt: skip
    try:
        until(lambda: "listening" in err.read_text() or command.poll() is not None)
        play("stop.flac")
        until(lambda: out.read_text() or command.poll() is not None)
        assert (out.read_text(), command.poll()) == ("stop\n", None)  # printed at the pause, while it goes on
        play("stop.flac")
        subprocess.run(["pactl", "unload-module", "module-null-sink"], check=True)
        assert command.wait(STARTING) == 1
    finally:
        command.kill()
        command.wait()
    assert out.read_text() == "stop\nstop\n"
    assert err.read_text().endswith("error: the microphone has gone away\n")

"""A server in a process of its own, and what tests ask it."""

from __future__ import annotations

import http.client
import io
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from warm import Server as Warm
from warm import start_python

import speechlstm
from speechlstm.data.audio import load_audio

PACKAGE = Path(speechlstm.__file__).parent
STOP = PACKAGE / "data" / "samples" / "stop.flac"


def talk(seconds: float) -> io.BytesIO:
    """Return a wav in which the word stop comes over and over, with pauses."""
    stop = np.concatenate((load_audio(STOP, 16_000), np.zeros(16_000, np.float32)))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(stop, round(seconds * 16_000)), 16_000, format="WAV")
    buffer.seek(0)
    return buffer


def other_model(folder: Path) -> Path:
    """Make a model that is named other, and writes halt for stop."""
    made = Path(shutil.copytree(PACKAGE / "model" / "pretrained", folder / "other"))
    config = (made / "config.json").read_text(encoding="utf-8")
    for old, new in (("letters-digits-commands", "other"), ('"stop"', '"halt"')):
        assert config.count(old) == 1
        config = config.replace(old, new)
    (made / "config.json").write_text(config, encoding="utf-8")
    return made


@dataclass
class Server:
    """A running server: its process, where it listens, the folder it works in, and the folder for its files."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    def client(self, key: str = "none") -> Any:
        openai = pytest.importorskip("openai", reason="openai is not installed")
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, max_retries=0)

    def transcribe(self, path: Path | tuple[str, bytes] = STOP, **options: Any) -> Any:
        options = {"model": "letters-digits-commands", **options}
        return self.client().audio.transcriptions.create(file=path, **options)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, body, headers)
        answered = connection.getresponse()
        return answered.status, answered.read()

    def count(self, name: str) -> float:
        text = self.ask("GET", "/metrics")[1].decode()
        return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))


def start(folder: Path, *settings: str, key: str = "", warm: Warm | None = None) -> Server:
    """Start a server, as a person does or warm, of the small model or those the settings name, of which it is first."""
    for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'speechlstm[server]'")
    for name in ("here", "temporary"):
        (folder / name).mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "SPEECHLSTM_API_KEY": key}
    environment |= {"OMP_NUM_THREADS": "1", "SPEECHLSTM_CACHE": str(folder / "cache")}
    given = ("bundle=small", "port=0", "trainer=cpu", *settings)  # of two for a key, the last counts
    command = ["-m", "speechlstm", "serve", *given]
    process = start_python(warm, *command, cwd=folder / "here", env=environment, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.match(
        r"letters-digits-commands(?:, other)?: http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)", line
    )
    assert address, line + process.stdout.read()
    return Server(process, int(address[1]), folder)

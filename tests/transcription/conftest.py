"""The command `transcribe` with a model that spells, and a microphone that is made up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from spelling import SpellingBundle

import speechlstm
from speechlstm.cli import transcribe as command
from speechlstm.transcription import sound


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SpellingBundle:
    """Put the spelling bundle where the shipped one is loaded, and work in an empty folder."""
    made = SpellingBundle()
    monkeypatch.setattr(speechlstm, "load", lambda path, **where: made)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def transcribe(
    bundle: SpellingBundle, run_command: Callable[..., tuple[int, str, str]]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `speechlstm transcribe` with that bundle: exit status, stdout and stderr."""
    return partial(run_command, command)


class FakeStream:
    """Records two blocks, then is unplugged."""

    def __init__(
        self, rate: int, size: int, device: object, channels: int, kind: str, callback: Callable
    ) -> None:
        self.size, self.callback, self.active = size, callback, True

    def start(self) -> None:
        for level in (0.25, 0.5):
            self.callback(np.full((self.size, 1), level, np.float32), self.size, None, None)
        self.active = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def devices(number: object = None, kind: str = "") -> object:
    one = {"name": "built-in", "max_input_channels": 2, "default_samplerate": 16000.0}
    if number == 7:
        raise ValueError("no device 7")
    return one if kind else [one, one | {"name": "loudspeaker", "max_input_channels": 0}]


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a microphone be plugged in that records two blocks, and a loudspeaker."""
    fake = SimpleNamespace(query_devices=devices, InputStream=FakeStream, PortAudioError=OSError)
    monkeypatch.setattr(sound, "_sounddevice", lambda: fake)

"""Recordings, cuts, and Shars of lhotse, and what is heard of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechlstm.data.audio import load_audio
from speechlstm.types import Utterance

pytest.importorskip("lhotse", reason="lhotse is not installed: pip install 'speechlstm[lhotse]'")
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.shar import SharWriter

RATE = 16_000


def recording(path: Path, seconds: float = 3.0, channels: int = 1) -> Recording:
    """Write tones that rise, so that each stretch differs from the others."""
    time = np.arange(round(seconds * RATE)) / RATE
    samples = np.stack(
        [0.3 * np.sin(2 * np.pi * (200 + 90 * n + 100 * time) * time) for n in range(channels)], 1
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)
    return Recording.from_file(path)


def supervision(
    name: str, start: float, duration: float, text: str | None = "its own", **keys: Any
) -> SupervisionSegment:
    return SupervisionSegment(
        name, "r", start, duration, text=None if text is None else f"text of {name}", **keys
    )


def cut(
    name: str, source: Recording, start: float = 0.0, duration: float = 1.0, *supervisions: Any
) -> MonoCut:
    """Return a stretch of a recording, with one supervision unless others are given."""
    said = supervisions or (supervision(f"s-{name}", 0.0, duration, speaker="mia", language="en"),)
    return MonoCut(name, start, duration, 0, list(said), recording=source)


def shar(folder: Path, cuts: list[Any], kind: str = "wav", size: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with SharWriter(str(folder), {"recording": kind}, shard_size=size) as writer:
        for each in cuts:
            writer.write(each)
    return folder


def save(path: Path, *cuts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    CutSet.from_cuts(cuts).to_file(path)
    return path


def heard(utterance: Utterance, rate: int = RATE) -> np.ndarray:
    return load_audio(utterance.audio_filepath, rate, utterance.offset, utterance.duration)

"""Files of which small corpora are made, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from speechlstm.types import Utterance


def sound(path: Path, seconds: float = 0.1, rate: int = 16000) -> Path:
    """Write noise in the format of the suffix; `.raw` is headerless 16-bit big-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(len(str(path))).uniform(-0.5, 0.5, round(seconds * rate))
    if path.suffix == ".raw":
        path.write_bytes((samples * 32767).astype(">i2").tobytes())
    else:
        options = {"format": "NIST", "subtype": "PCM_16"} if path.suffix == ".sph" else {}
        soundfile.write(path, samples, rate, **options)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def texts(split: list[Utterance]) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in split}

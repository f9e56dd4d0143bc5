"""A stand-in for a trained bundle: audio whose loudness spells its text, so transcripts are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.model.tokenizer import Characters

RATE, FRAME = 16_000, 320  # Hz, samples per frame (20 ms)
TOKENS = Characters.from_texts(["abcdefghijklmnopqrstuvwxyz' "])


class SpellingBundle:
    """Hears token `i` where the waveform is `i / 64`, the blank where it is 0; records batch shapes.

    With `power_cut_after`, work is interrupted when so many batches have been recognized.
    """

    name, sample_rate, frame_shift, tokenizer = "spelling", RATE, FRAME / RATE, TOKENS
    path = Path("a folder that is not there")

    device = torch.device("cpu")
    bundle = SimpleNamespace(decoder={})

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.power_cut_after: int | None = None

    decoder = GreedyDecoder(tokenizer=TOKENS)

    def create_decoder(self) -> GreedyDecoder:
        return GreedyDecoder(tokenizer=TOKENS)

    def log_probs(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if len(self.batches) == self.power_cut_after:
            raise KeyboardInterrupt
        self.batches.append(tuple(waveforms.shape))
        whole = torch.nn.functional.pad(waveforms, (0, -waveforms.shape[1] % FRAME))
        ids = (whole.unflatten(1, (-1, FRAME)).mean(-1) * 64).round().long().clamp(0, len(TOKENS) - 1)
        probs = torch.nn.functional.one_hot(ids, len(TOKENS)) * 0.9 + 0.1 / len(TOKENS)
        return probs.log(), (lengths + FRAME - 1) // FRAME

    def live(self) -> Callable[[Tensor, int, bool], Tensor]:
        return lambda held, start, last: self.log_probs(held[None], torch.tensor([len(held)]))[0][0]


def spell(text: str, pause: int = 1) -> np.ndarray:
    """Return the waveform of a text: two frames a character, `pause` blank frames after each."""
    levels = [level for index in TOKENS.encode(text) for level in (index, index, *[0] * pause)]
    return np.repeat(np.array(levels or [0], np.float32) / 64, FRAME)


def write(path: Path, text: str, seconds: float = 0.0) -> Path:
    """Write a text as audio, with silence up to a length if one is given."""
    waveform = spell(text)
    silence = max(0, round(seconds * RATE) - len(waveform))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.pad(waveform, (0, silence)), RATE)
    return path


def write_said(said: Iterable[Sequence[str | None]]) -> list[dict[str, Any]]:
    """Write audio of a second for each id, reference, spelled text, and maybe speaker; return manifest entries."""
    entries = []
    for name, reference, spelled, *speaker in said:
        path = write(Path(f"audio/{name}.wav"), spelled or "", 1.0)
        entry = {"audio_filepath": str(path), "duration": 1.0, "text": reference, "id": name}
        entries.append(entry | ({"speaker": speaker[0]} if speaker and speaker[0] else {}))
    return entries

"""The self-test of a bundle: a synthesized clip and the log-probabilities that the model gave for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle
from speechlstm.model.reading import read_tensors
from speechlstm.types import BundleError

_LONGEST = 60  # seconds of a clip


def save_bundle(bundle: Bundle, folder: str | Path, card: str, dtype: torch.dtype = torch.float32) -> None:
    """Write a bundle with the self-test of its weights as they are stored; raises as `Bundle.save`."""
    bundle.round(dtype)
    bundle.save(folder, card, record(bundle.model))


def verify(bundle: Bundle) -> float:
    """Return the largest difference in log-probability between now and when the bundle was written.

    Raises:
        BundleError: there is no readable self-test.
    """
    test = read_tensors(bundle.path / "selftest.safetensors")
    if not {"waveform", "log_probs"} <= test.keys():
        raise BundleError(f"{bundle.path}: selftest.safetensors lacks waveform or log_probs; export it again")
    clip = test["waveform"]
    if (
        clip.dtype != torch.float32
        or clip.ndim != 1
        or not 0 < len(clip) <= _LONGEST * bundle.model.sample_rate
    ):
        raise BundleError(
            f"{bundle.path}: the self-test's waveform is {clip.dtype} of shape {tuple(clip.shape)}, but must be "
            f"float32 samples, at most {_LONGEST} s"
        )
    log_probs = _log_probs(bundle.model, clip)
    if log_probs.shape != test["log_probs"].shape:
        raise BundleError(f"{bundle.path}: the self-test gives other shapes than when the bundle was written")
    return float((log_probs - test["log_probs"]).abs().max())


def record(model: AcousticModel) -> dict[str, Tensor]:
    """Return the clip `(samples,)` and the model's log-probabilities of it, `(frames, vocab)`."""
    clip = synthesize(model.sample_rate)
    return {"waveform": clip, "log_probs": _log_probs(model, clip)}


@torch.inference_mode()
def _log_probs(model: AcousticModel, clip: Tensor) -> Tensor:
    device = model.device
    log_probs, *_ = model.eval()(clip.unsqueeze(0).to(device), torch.tensor([len(clip)], device=device))
    result: Tensor = log_probs[0].cpu().contiguous()
    return result


def synthesize(sample_rate: int, seconds: float = 1.5) -> Tensor:
    """Return a clip that sounds vaguely like vowels: harmonics of a gliding pitch under two moving formants."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch = 110 + 40 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    formants = (500 + 250 * np.sin(2 * np.pi * 1.3 * time), 1500 + 700 * np.sin(2 * np.pi * 0.9 * time + 1))
    clip = np.zeros_like(time)
    for harmonic in range(1, int(0.45 * sample_rate / 150)):
        gain = sum(np.exp(-(((harmonic * pitch - formant) / 200) ** 2)) for formant in formants)
        clip += gain * np.sin(harmonic * phase)
    clip *= np.clip(np.sin(2 * np.pi * 2 * time), 0, 1)  # syllables with silence between them
    return torch.from_numpy((0.3 * clip / np.abs(clip).max()).astype(np.float32))

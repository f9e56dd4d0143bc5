"""Write what the network hears in training: augmented audio and pictures of its features."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import file_names, read_manifest
from speechlstm.evaluation.plots import can_draw, to_png
from speechlstm.training.data import UtteranceDataset
from speechlstm.training.sampler import BucketSampler
from speechlstm.types import AudioError, UsageError, report_failures


@configs.main("listen")
def main(cfg: DictConfig) -> int:
    """Write the first utterances of `cfg.manifest`. Exit status 3 when some could not be read, 1 when none could."""
    out = Path(str(cfg.out)).expanduser()
    if out.exists() and not out.is_dir():
        raise UsageError(f"out={cfg.out} is a file, but must be a folder for the audio of each utterance")
    if cfg.number < 1 or cfg.epoch < 0:
        raise UsageError(
            f"number is {cfg.number} and epoch {cfg.epoch}, but must be at least 1 and at least 0"
        )
    utterances = read_manifest(cfg.manifest)
    names = file_names(utterances)
    speed, change, masks = (configs.build(cfg.augment[part]) for part in ("speed", "waveform", "features"))
    features = configs.build_part("features", cfg.features)
    # The very draws of a training: see `SpeechData`.
    durations = [utterance.duration for utterance in utterances]
    (keys,) = BucketSampler(durations, math.inf, True, speed, cfg.seed).batches(cfg.epoch)
    chosen = sorted(keys)[: cfg.number]
    dataset = UtteranceDataset(utterances, lambda _: [], cfg.sample_rate, speed=speed, change=change)
    pictures = can_draw()
    failed = 0
    for index, factor, seed in progress.track(chosen, "augmenting", unit="utterance"):
        try:
            waveform, _, utterance = dataset[index, factor, seed]
        except AudioError as error:
            progress.write(f"failed: {error}", sys.stderr)
            failed += 1
            continue
        _write_audio(out / f"{names[index]}.wav", waveform, cfg.sample_rate)
        if pictures:
            torch.manual_seed(seed)
            heard, lengths = features(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
            if masks is not None:
                heard = masks(heard, lengths)
            title = f"{utterance.id}, at speed {factor:.2f}: {utterance.text}"
            _write_picture(out / f"{names[index]}.png", heard[0].numpy(), features.frame_shift, title)
        progress.write(f"{out / names[index]}.wav  {len(waveform) / cfg.sample_rate:.2f} s  {utterance.text}")
    if not pictures:
        print("no pictures: they need matplotlib: pip install 'speechlstm[plots]'", file=sys.stderr)
    return report_failures(failed, len(chosen))


def _write_audio(path: Path, waveform: NDArray[np.float32], sample_rate: int) -> None:
    """Write 32-bit floats, which hold what passes full scale, too."""
    content = io.BytesIO()
    soundfile.write(content, waveform, sample_rate, format="WAV", subtype="FLOAT")
    write_atomically(path, content.getvalue())


def _write_picture(path: Path, features: NDArray[Any], frame_shift: float, title: str) -> None:
    """Draw `(frames, features)` over time in seconds."""
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    frames, size = features.shape
    figure = Figure(figsize=(10, 4), dpi=100, layout="constrained")
    axes = figure.subplots()
    extent = (0.0, frames * frame_shift, 0.0, float(size))
    axes.imshow(features.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("feature")
    axes.set_title(title, fontsize=10, parse_math=False, wrap=True)
    write_atomically(path, to_png(figure))


if __name__ == "__main__":
    main()

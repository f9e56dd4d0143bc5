"""Write augmented training audio, and pictures of its features."""

from __future__ import annotations

import io
import math
import sys
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import progress
from speechlstm.data.audio import holders
from speechlstm.data.files import Outputs, folder_path
from speechlstm.data.manifest import file_names, read_usable
from speechlstm.evaluation.plots import can_draw, figure, to_png
from speechlstm.training.data import UtteranceDataset
from speechlstm.training.sampler import BucketSampler
from speechlstm.types import AudioError, SpeechlstmError, report_failures


@configs.main("listen")
def main(cfg: DictConfig) -> int:
    """Write the first utterances of `cfg.manifest`. Exit status 3 when some could not be read, 1 when none could."""
    out = folder_path(cfg.out, "a folder for the audio of each utterance")
    utterances, bad = read_usable(cfg.manifest)
    names = file_names(utterances)
    outputs = Outputs(holders(utterances), cfg.overwrite)
    speed, change, masks = (configs.build(cfg.augment[part]) for part in ("speed", "waveform", "features"))
    features = configs.build_part("features", cfg.features)
    # The very draws of a training: see `SpeechData`.
    durations = [utterance.duration for utterance in utterances]
    (keys,) = BucketSampler(durations, math.inf, True, speed, cfg.seed).batches(cfg.epoch)
    chosen = sorted(keys)[: cfg.number]
    dataset = UtteranceDataset(utterances, lambda _: [], cfg.sample_rate, speed=speed, change=change)
    pictures = can_draw()
    failed = bad
    for index, factor, seed in progress.track(chosen, "augmenting", unit="utterance"):
        try:
            waveform, _, utterance = dataset[index, factor, seed]
        except AudioError as error:
            progress.fail(error)
            failed += 1
            continue
        files = {".wav": _wav(waveform, cfg.sample_rate)}
        if pictures:
            torch.manual_seed(seed)
            values, lengths = features(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
            if masks is not None:
                values = masks(values, lengths)
            title = f"{utterance.id}, at speed {factor:.2f}: {utterance.text}"
            files[".png"] = _picture(values[0].numpy(), features.frame_shift, title)
        try:
            for suffix, content in files.items():
                outputs.write(out / f"{names[index]}{suffix}", content)
        except SpeechlstmError as error:
            progress.fail(error)
            failed += 1
            continue
        progress.write(f"{out / names[index]}.wav  {len(waveform) / cfg.sample_rate:.2f} s  {utterance.text}")
    if not pictures:
        print("no pictures: they need matplotlib: pip install 'speechlstm[plots]'", file=sys.stderr)
    return report_failures(failed, len(chosen) + bad)


def _wav(waveform: NDArray[np.float32], sample_rate: int) -> bytes:
    """Return a file of 32-bit floats, which hold what passes full scale, too."""
    content = io.BytesIO()
    soundfile.write(content, waveform, sample_rate, format="WAV", subtype="FLOAT")
    return content.getvalue()


def _picture(features: NDArray[Any], frame_shift: float, title: str) -> bytes:
    """Draw `(frames, features)` over time in seconds."""
    frames, size = features.shape
    with figure(10, 4, dpi=100) as drawn:
        axes = drawn.subplots()
        extent = (0.0, frames * frame_shift, 0.0, float(size))
        axes.imshow(features.T, origin="lower", aspect="auto", interpolation="nearest", extent=extent)
        axes.set(xlabel="time (s)", ylabel="feature")
        axes.set_title(title, parse_math=False, wrap=True)
        return to_png(drawn)

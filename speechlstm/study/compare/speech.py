"""The same comparison on speech: whole trainings by `speechlstm train`, scored by `speechlstm evaluate`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import console
from speechlstm.study.compare import results
from speechlstm.study.compare.networks import nearest
from speechlstm.training import parts
from speechlstm.training.checkpoints import LAST, read_checkpoint
from speechlstm.types import SpeechlstmError, UsageError

ENCODERS = {"rnn": "brnn", "gru": "bgru", "lstm": "blstm", "transformer": "conformer"}
_STEP = 4  # of the sizes that are tried; the Conformer's heads share its width


@dataclass(frozen=True, slots=True)
class SpeechTrial:
    """A training to run."""

    experiment: str  # one of conf/experiment
    network: str  # one of `ENCODERS`
    seed: int
    settings: str  # further overrides of `speechlstm train`, in one string

    @property
    def overrides(self) -> list[str]:
        """The settings of the training, without the size of its encoder."""
        return [f"experiment={self.experiment}", f"encoder={ENCODERS[self.network]}", *self.settings.split()]


def make(trials: Sequence[SpeechTrial], out: Path) -> Iterator[dict[str, Any]]:
    """Run the trainings that have no result in `out/speech.jsonl` yet; an interrupted one resumes.

    Yields:
        for each trial plain JSON: the keys of `SpeechTrial`, `parameter_count`, `wer` and `wer_interval` on the dev
        part, `rates` (`[epoch, word error rate]` of each validation), `seconds_per_epoch`, `megabytes` (of the largest
        process of the training), and `speed` (seconds of audio transcribed per second by one thread).

    Raises:
        SpeechlstmError: a training or an evaluation failed; the message has the last line that it printed.
        UsageError: there is no such experiment, or its dev part is more than one manifest.
    """
    path = out / "speech.jsonl"
    known = results.read(path, SpeechTrial.__slots__)
    for trial in trials:
        result = known.get(astuple(trial))
        if not result:
            result = asdict(trial) | train(trial, out / f"{trial.experiment}-{trial.network}-{trial.seed}")
            results.append(path, result)
        yield result


def train(trial: SpeechTrial, folder: Path) -> dict[str, Any]:
    """Train and score one recognizer in a folder; see `make`."""
    cfg = configs.load("train", [f"experiment={trial.experiment}", *trial.settings.split()])
    if not isinstance(cfg.data.dev, str):
        raise UsageError(
            f"experiment {trial.experiment}: data.dev is a list; a comparison needs one manifest"
        )
    sizes, count = sized(trial, cfg)
    _, megabytes = _speechlstm("train", *sizes, f"seed={trial.seed}", f"out={folder}")
    last = read_checkpoint(folder / "checkpoints" / LAST)
    (seconds,) = (state["seconds"] for state in last["callbacks"].values() if "seconds" in state)
    # A training may end before the last of trainer.max_epochs.
    epochs = last["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    printed, _ = _speechlstm(
        "evaluate", f"manifest={cfg.data.dev}", f"bundle={folder / 'bundle'}", "format=json", "threads=1"
    )
    score = json.loads(printed)
    return {
        "parameter_count": count,
        "wer": score["wer"],
        "wer_interval": score["wer_interval"],
        "rates": rates(folder),
        "seconds_per_epoch": seconds / epochs,
        "megabytes": megabytes,
        "speed": 1 / score["real_time_factor"],
    }


def rates(folder: Path) -> list[list[float]]:
    """Return epochs, counted from 1, and word error rates of a training's validations, if it logged them as CSV."""
    found: dict[int, float] = {}
    for path in sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with path.open(encoding="utf-8", newline="") as file:
            found |= {
                int(row["epoch"]) + 1: float(row["val/wer"])
                for row in csv.DictReader(file)
                if row.get("val/wer")
            }
    return [[epoch, rate] for epoch, rate in sorted(found.items())]


def sized(trial: SpeechTrial, cfg: DictConfig) -> tuple[list[str], int]:
    """Return overrides for as many parameters as the experiment's own encoder has, and their number."""
    texts = [utterance.text for utterance in parts.read(cfg.data.train)]
    vocab_size = len(configs.build_part("tokenizer", cfg.tokenizer, texts=texts))
    num_features = configs.build_part("features", cfg.features).num_features

    attends = trial.network == "transformer"
    overrides = [*trial.overrides, *(["~encoder.hidden_size"] if attends else [])]
    encoder = configs.load("train", overrides).encoder

    def parameters(settings: DictConfig | dict[str, Any]) -> int:
        with torch.device("meta"):  # only counted
            built = configs.build_part("encoder", settings, num_features=num_features, vocab_size=vocab_size)
        return sum(weight.numel() for weight in built.parameters())

    def sizes(units: int) -> dict[str, int]:
        size = _STEP * units
        return {"width": size, "ffn_size": 4 * size} if attends else {"hidden_size": size}

    def count(units: int) -> int:
        return parameters({**encoder, **sizes(units)})

    units = nearest(count, parameters(cfg.encoder))
    return [*overrides, *(f"encoder.{key}={size}" for key, size in sizes(units).items())], count(units)


def _speechlstm(*arguments: str) -> tuple[str, float]:
    """Run a command of this package; return what it printed, and the size of its largest process in megabytes."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = [sys.executable, "-P", "-m", "speechlstm", *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=console.child_environment()
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, [reason, *_] = out.read(), [*err.read().strip().splitlines()[-1:], "no reason given"]
    if process.returncode:
        raise SpeechlstmError(f"speechlstm {' '.join(arguments)}: exit status {process.returncode}: {reason}")
    return printed, usage.ru_maxrss / 1024

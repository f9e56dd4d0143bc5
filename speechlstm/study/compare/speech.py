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

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.study.compare import results
from speechlstm.study.compare.networks import nearest
from speechlstm.training import parts
from speechlstm.training.checkpoints import LAST, Checkpoints
from speechlstm.types import SpeechlstmError, UsageError

ENCODERS = {"rnn": "brnn", "gru": "bgru", "lstm": "blstm", "transformer": "conformer"}
_STEP = 4  # of the sizes that are tried; the Conformer's heads share its width


@dataclass(frozen=True, slots=True)
class SpeechTrial:
    """A training to make.

    Attributes:
        experiment: one of conf/experiment.
        network: one of `ENCODERS`.
        seed: of the training.
        settings: further overrides of `speechlstm train`, in one string.
    """

    experiment: str
    network: str
    seed: int
    settings: str


def make(trials: Sequence[SpeechTrial], out: Path) -> Iterator[dict[str, Any]]:
    """Make the trainings that have no result in `out/speech.jsonl` yet; one that was interrupted goes on.

    Yields:
        for each trial plain JSON: the keys of `SpeechTrial`, `parameter_count`, `wer` and `wer_interval` on the dev
        part, `rates` (`[epoch, word error rate]` of each validation), `seconds_per_epoch`, `megabytes` (the largest
        process of the training; null if it ended before), `speed` (seconds of audio transcribed in a second by one
        thread).

    Raises:
        SpeechlstmError: a training or an evaluation failed; the last line that it printed is in the message.
        UsageError: there is no such experiment, or its dev part is more than one manifest.
    """
    path = out / "speech.jsonl"
    known = results.read(path, SpeechTrial.__slots__)
    for trial in trials:
        if found := known.get(astuple(trial)):
            yield found
            continue
        result = asdict(trial) | train(trial, out / f"{trial.experiment}-{trial.network}-{trial.seed}")
        results.append(path, result)
        yield result


def train(trial: SpeechTrial, folder: Path) -> dict[str, Any]:
    """Train and score one recogniser in a folder; see `make`."""
    cfg = configs.load("train", [f"experiment={trial.experiment}", *trial.settings.split()])
    if not isinstance(cfg.data.dev, str):
        raise UsageError(
            f"experiment {trial.experiment}: data.dev is a list, but one manifest can be compared on"
        )
    sizes, count = sized(trial, cfg)
    rss = _speechlstm(
        "train",
        f"experiment={trial.experiment}",
        f"encoder={ENCODERS[trial.network]}",
        *trial.settings.split(),
        *sizes,
        f"seed={trial.seed}",
        f"out={folder}",
    )[1]
    last = Checkpoints({}).load_checkpoint(folder / "checkpoints" / LAST, weights_only=True)
    (seconds,) = (state["seconds"] for state in last["callbacks"].values() if "seconds" in state)
    printed, _ = _speechlstm(
        "evaluate", f"manifest={cfg.data.dev}", f"bundle={folder / 'bundle'}", "format=json", "threads=1"
    )
    score = json.loads(printed)
    return {
        "parameter_count": count,
        "wer": score["wer"],
        "wer_interval": score["wer_interval"],
        "rates": rates(folder),
        "seconds_per_epoch": seconds / cfg.trainer.max_epochs,
        "megabytes": rss,
        "speed": 1 / score["real_time_factor"],
    }


def rates(folder: Path) -> list[list[float]]:
    """Return epochs, counted from 1, and word error rates of a training's validations, if it logged them as CSV."""
    found: dict[int, float] = {}
    for path in sorted(folder.glob("csv/version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row.get("val/wer"):
                    found[int(row["epoch"]) + 1] = float(row["val/wer"])
    return [[epoch, rate] for epoch, rate in sorted(found.items())]


def sized(trial: SpeechTrial, cfg: DictConfig) -> tuple[list[str], int]:
    """Return the overrides that give a network as many parameters as the experiment's own encoder has, and the number.

    Args:
        trial: which network.
        cfg: of the experiment, with its own encoder.
    """
    texts = [utterance.text for utterance in parts.read(cfg.data.train)]
    tokens = len(configs.build_part("tokenizer", cfg.tokenizer, texts=texts))
    features = configs.build_part("features", cfg.features).num_features

    def overrides(size: int) -> list[str]:
        if trial.network == "transformer":
            return ["~encoder.hidden_size", f"encoder.width={size}", f"encoder.ffn_size={4 * size}"]
        return [f"encoder.hidden_size={size}"]

    def count(units: int) -> int:
        chosen = [
            f"experiment={trial.experiment}",
            f"encoder={ENCODERS[trial.network]}",
            *trial.settings.split(),
        ]
        encoder = configs.load("train", [*chosen, *overrides(_STEP * units)]).encoder
        return parameters(configs.build_part("encoder", encoder, num_features=features, vocab_size=tokens))

    wanted = parameters(configs.build_part("encoder", cfg.encoder, num_features=features, vocab_size=tokens))
    units = nearest(count, wanted)
    return overrides(_STEP * units), count(units)


def parameters(module: Any) -> int:
    """Return how many numbers a module learns."""
    return sum(weight.numel() for weight in module.parameters())


def _speechlstm(*arguments: str) -> tuple[str, float]:
    """Run a command of this package; return what it printed, and the size of its largest process in megabytes."""
    command = [sys.executable, "-m", "speechlstm", *arguments]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, complaint = out.read(), err.read()
    if process.returncode:
        reason = complaint.strip().splitlines()[-1:] or ["no reason given"]
        raise SpeechlstmError(
            f"speechlstm {' '.join(arguments)}: exit status {process.returncode}: {reason[0]}"
        )
    return printed, usage.ru_maxrss / 1024

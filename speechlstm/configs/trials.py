"""The results of a `--multirun` of trainings as a table."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

Row = tuple[str, Mapping[str, str], float | None]  # folder, settings, objective; None if the training failed


class TrialTable(Callback):
    """Prints the trainings in a sweep's folder, best first, when Hydra has made the last."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Print the table, and the command of the best training."""
        rows = sorted(map(_row, Path(config.hydra.sweep.dir).glob("*/.hydra/overrides.yaml")))
        if not rows:
            return
        print(f"\n{table(rows)}", flush=True)
        folder, settings, best = min(rows, key=_rank)
        if best is not None:
            given = [f"{key}={value}" for key, value in settings.items()]
            command = shlex.join(["speechlstm", config.hydra.job.name, *given])
            print(f"\nbest: {folder}\n\n  {command}", flush=True)


def _row(overrides: Path) -> Row:
    folder = overrides.parents[1]
    lines: Any = OmegaConf.to_container(OmegaConf.load(overrides), resolve=False)
    settings = {key: value for key, _, value in (line.partition("=") for line in lines)}
    score = folder / "score.json"
    return folder.name, settings, json.loads(score.read_text())["wer"] if score.exists() else None


def table(rows: Sequence[Row]) -> str:
    """Return trainings as a table, best first, with the settings in which they differ."""
    varied = sorted({key for _, own, _ in rows for key in own if len({row[1].get(key) for row in rows}) > 1})
    lines = [("error rate", *varied, "folder")]
    for folder, own, value in sorted(rows, key=_rank):
        shown = "failed" if value is None else f"{value:.2%}"
        lines.append((shown, *(own.get(key, "") for key in varied), folder))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _rank(row: Row) -> float:
    return math.inf if row[2] is None else row[2]

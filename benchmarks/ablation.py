"""What moves the word error rate: one training a row, each the base recipe and a few overrides.

    python benchmarks/ablation.py out=runs/ablation [rows=base,wider] [KEY=VALUE ...]

The base is AN4 from nothing with a small network, `speechlstm train experiment=an4_small trainer.max_epochs=20 seed=1`;
a row is that command with the overrides the table shows. KEY=VALUE are overrides of all rows, such as `data.train=...`.
A training that is done is not made again, one that was interrupted goes on. The figures are those that the training
ends with: of the weights with the lowest WER on dev; the dev loss is the lowest of all epochs, in nats a token.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

BASE = ["experiment=an4_small", "trainer.max_epochs=20", "seed=1"]
ROWS = {
    "base": [],
    "another seed": ["seed=2"],
    "subsampling 2": ["encoder.subsampling=2"],
    "wider": ["encoder.hidden_size=192"],
    "deeper": ["encoder.num_layers=4"],
    "characters": ["tokenizer=characters"],
    "subwords": ["tokenizer=subwords", "tokenizer.vocab_size=96"],
    "no masks": ["augment.features.time_masks=0", "augment.features.freq_masks=0"],
    "no vocal tracts": ["augment.features.freq_shift=0"],
    "no speeds": ["augment.speed=null"],
    "noise and rooms": ["augment=noisy"],
    "dropout 0.2": ["encoder.dropout=0.2"],
    "dropout 0.5": ["encoder.dropout=0.5"],
    "CTC on layer 1": ["encoder.intermediate=[1]"],
    "batches of 20 s": ["data.batch_seconds=20"],
    "batches of 80 s": ["data.batch_seconds=80"],
    "constant rate": ["scheduler=constant"],
    "cosine": ["scheduler=cosine"],
    "half the rate": ["optimizer.lr=1e-3"],
    "no averaging": ["~callbacks.averaging"],
    "four that help": [
        "augment.features.time_masks=0",
        "augment.features.freq_masks=0",
        "encoder.dropout=0.5",
        "encoder.intermediate=[1]",
        "data.batch_seconds=20",
    ],
    "plain stack": ["encoder.residual=false", "encoder.layer_norm=false"],
}


def train(out: Path, overrides: list[str]) -> None:
    """Train a row unless it is done; what the training says goes to a file beside its folder."""
    if (out / "score.json").exists():
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "speechlstm", "train", *overrides, f"out={out}"]
    with (out.parent / f"{out.name}.log").open("w") as log:
        if status := subprocess.run(command, stdout=log, stderr=log).returncode:
            sys.exit(f"{' '.join(command)} ended with status {status}; see {log.name}")


def losses(out: Path) -> list[float]:
    """Return the dev loss after each epoch."""
    lines = [line for path in out.glob("csv/*/metrics.csv") for line in csv.DictReader(path.open())]
    return [float(line["val/loss"]) for line in lines if line.get("val/loss")]


def main() -> None:
    """Train the rows and print the table."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    out = Path(given.pop("out"))
    names = given.pop("rows").split(",") if "rows" in given else list(ROWS)
    everywhere = [f"{key}={value}" for key, value in given.items()]
    print("| | overrides | WER, % | dev loss |\n|---|---|---|---|", flush=True)
    for name in names:
        folder = out / name.replace(" ", "-")
        train(folder, [*BASE, *everywhere, *ROWS[name]])
        score = json.loads((folder / "score.json").read_text())
        low, high = score["wer_interval"]
        wer = f"{100 * score['wer']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        overrides = f"`{' '.join(ROWS[name])}`" if ROWS[name] else ""
        print(f"| {name} | {overrides} | {wer} | {min(losses(folder)):.3f} |", flush=True)


if __name__ == "__main__":
    main()

"""CPU time a recording by Ray's actors, in terms of the same recordings in one process.

    python benchmarks/cluster.py [files=2000] [bundle=small] [actors=1] [rounds=2]

The recordings are the samples of the package, over and over, in random order. Ray's daemons, its actors, and the
process that asks count; what it costs to start Ray and to load the model stands apart.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from pathlib import Path

import torch

import speechlstm
from speechlstm.transcription.cluster import Cluster, Pool, Setup
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import Recognizer, transcribe

SAMPLES = Path(speechlstm.__file__).parent / "data/samples"
TICKS = os.sysconf("SC_CLK_TCK")


def descendants_time() -> float:
    """Return the CPU seconds so far of this process and all that it has started, directly or not."""
    parents, times = dict[int, int](), dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            times[int(stat.parent.name)] = int(fields[11]) + int(fields[12])

    def ours(process: int) -> bool:
        while process > 1 and process != os.getpid():
            process = parents.get(process, 0)
        return process == os.getpid()

    return sum(time for process, time in times.items() if ours(process)) / TICKS


def by_ray(model: Recognizer, parts: list[Part], actors: int) -> tuple[float, float, float]:
    """Return CPU and wall seconds until the first result, and CPU seconds a recording from then on."""
    setup = Setup(
        str(model.path), dict(model.bundle.decoder) or {"name": "greedy"}, "cpu", "32-true", "torch", 120.0, False,
        False, str(Path.cwd()),
    )  # fmt: skip
    began, wall = descendants_time(), time.monotonic()
    with Cluster(Pool(actors=actors), setup) as cluster:
        results = cluster.transcribe(parts)
        next(results)
        started, waited = descendants_time(), time.monotonic() - wall
        count = sum(1 for _ in results)
        return started - began, waited, (descendants_time() - started) / count


def locally(model: Recognizer, parts: list[Part]) -> float:
    """Return CPU seconds a recording in this process."""
    began = descendants_time()
    count = sum(1 for _ in transcribe(model, model.decoder, parts))
    return (descendants_time() - began) / count


def main() -> None:
    """Print a line for each round."""
    options = dict(argument.split("=", 1) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    files = [Part(str(path)) for path in sorted(SAMPLES.glob("*.flac"))]
    parts = random.Random(0).choices(files, k=int(options.get("files", "2000")))
    model = speechlstm.load(options.get("bundle", "small"))
    locally(model, parts[:50])  # warms up
    for _ in range(int(options.get("rounds", "2"))):
        alone = locally(model, parts)
        start, wait, each = by_ray(model, parts, int(options.get("actors", "1")))
        print(
            f"{len(parts)} recordings: {1000 * alone:.2f} ms each in one process, {1000 * each:.2f} by Ray: "
            f"{each / alone:.2f} times; start {start:.1f} s of CPU, {wait:.1f} s on the clock",
            flush=True,
        )


if __name__ == "__main__":
    main()

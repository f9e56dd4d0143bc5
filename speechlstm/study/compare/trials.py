"""One network learns one task with one seed; many such trials, each done once and kept."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechlstm.data import console
from speechlstm.study.compare import results, tasks
from speechlstm.study.compare.networks import SequenceNetwork, matched
from speechlstm.study.compare.reber import Reber
from speechlstm.study.compare.tasks import TESTS, Task
from speechlstm.types import UsageError

TASKS: dict[str, type[Task]] = {
    kind.name: kind
    for kind in (
        *(Reber, tasks.TwoSequences, tasks.Adding, tasks.Multiplication),
        *(tasks.TemporalOrder, tasks.TemporalOrder3, tasks.Copy),
    )
}
MAX_LAG = 10_000  # steps; a batch of longer sequences does not fit into memory
_FLOW = 64  # sequences over which a gradient is averaged
_LONG = 8  # of them at least must be as long as a step that is averaged
_CLIP = 1.0  # largest norm of a gradient
_POINTS = 50  # of a learning curve that takes all updates


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try; two trials with the same settings have the same result."""

    task: str  # one of `TASKS`
    lag: int  # T of the task, in steps
    network: str  # one of `speechlstm.study.compare.networks.NETWORKS`
    seed: int  # of initialization and sequences
    parameters: int  # about how many the network has
    learning_rate: float  # of Adam; in the second half of the updates it falls linearly to zero
    batch_size: int  # sequences in an update
    max_updates: int  # the network fails if it needs more
    check_every: int  # updates between two tests on `TESTS` sequences


def attempt(trial: Trial) -> dict[str, Any]:
    """Run a trial and return its result as plain JSON.

    The keys are those of `Trial`; `solved`; `updates` made; `wrong` test sequences at the end; `width` and exact
    `parameter_count`; `seconds_per_update`; `seconds`; `losses`, `[updates, mean loss]` each; and
    `flow_before` and `flow_after`, see `gradient_flow`.
    """
    task = TASKS[trial.task](trial.lag)
    generator = np.random.default_rng([trial.seed, trial.lag])
    torch.manual_seed(trial.seed)
    network = matched(trial.network, task.input_size, task.output_size, trial.parameters, max(trial.lag, 2))
    test = task.sample(TESTS, np.random.default_rng([trial.seed, trial.lag, 1]))
    before = gradient_flow(network, task, trial.seed)
    optimizer = torch.optim.Adam(network.parameters(), trial.learning_rate)
    begin, trained, updates = time.perf_counter(), 0.0, 0
    losses: list[float] = []
    wrong = errors(network, task, test)
    while wrong > task.allowed and updates < trial.max_updates:
        start = time.perf_counter()
        for _ in range(min(trial.check_every, trial.max_updates - updates)):
            batch = task.sample(trial.batch_size, generator)
            optimizer.zero_grad()
            loss = task.loss(network(batch.inputs), batch)
            torch.autograd.backward(loss)
            losses.append(float(loss.detach()))
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            for group in optimizer.param_groups:
                group["lr"] = trial.learning_rate * min(1.0, 2 * (1 - updates / trial.max_updates))
            updates += 1
            if norm.isfinite():  # else this update is left out
                optimizer.step()
        trained += time.perf_counter() - start
        wrong = errors(network, task, test)
    return asdict(trial) | {
        "solved": wrong <= task.allowed,
        "updates": updates,
        "wrong": wrong,
        "width": network.width,
        "parameter_count": network.parameter_count,
        "seconds_per_update": trained / max(updates, 1),
        "seconds": time.perf_counter() - begin,
        "losses": _averaged(losses, max(1, trial.max_updates // _POINTS)),
        "flow_before": before,
        "flow_after": gradient_flow(network, task, trial.seed),
    }


def _averaged(losses: Sequence[float], size: int) -> list[list[float]]:
    """Return updates and mean loss of each `size` losses in a row, without those that are not finite."""
    parts = [losses[k : k + size] for k in range(0, len(losses), size)]
    means = [(k * size + len(part), float(np.mean(part))) for k, part in enumerate(parts)]
    return [[updates, float(f"{mean:.4g}")] for updates, mean in means if math.isfinite(mean)]


@torch.no_grad()
def errors(network: SequenceNetwork, task: Task, test: Any) -> float:
    """Return how many test sequences are wrong by the task's criterion."""
    return float(task.wrong(network(test.inputs), test).double().sum())


def gradient_flow(network: SequenceNetwork, task: Task, seed: int) -> list[float]:
    """Return the mean norm of the gradient of the late loss by the input k steps before it, for k from 0.

    Each is the mean over the sequences that reach so far. There are as many as the shortest sequence has steps up to
    that loss, or, where that is more, as the lag; but of those only as far as `_LONG` sequences reach.
    """
    batch = task.sample(_FLOW, np.random.default_rng([seed, task.lag, 2]))
    inputs = batch.inputs.requires_grad_()
    (gradient,) = torch.autograd.grad(task.late_loss(network(inputs), batch) * _FLOW, inputs)
    norms = gradient.double().norm(dim=-1).numpy()
    late = task.late(batch).tolist()
    steps = max(min(late), min(sorted(late)[-_LONG], task.lag))
    aligned = [row[:length][::-1] for row, length in zip(norms, late, strict=True)]
    means = [np.mean([row[k] for row in aligned if len(row) > k]) for k in range(steps)]
    return [float(f"{value:.4g}") for value in means]


def make(trials: Sequence[Trial], path: Path, workers: int) -> Iterator[dict[str, Any]]:
    """Run the trials whose results are not in a file of JSON Lines yet, and add each to it as it is done.

    The processes, `workers` at once, compute with one thread each. The results that were in the file come first.

    Raises:
        SpeechlstmError: the file is damaged.
    """
    known = results.read(path, Trial.__slots__)
    yield from (known[key] for trial in trials if (key := astuple(trial)) in known)
    todo = [trial for trial in trials if astuple(trial) not in known]
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    try:
        for future in as_completed([pool.submit(attempt, trial) for trial in todo]):
            results.append(path, future.result())
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """Prepare a process that runs trials: one thread, and an end when the process that started it is killed."""
    torch.set_num_threads(1)
    console.end_with_parent(parent)


def check(trial: Trial) -> None:
    """Raise a UsageError unless a trial can be made."""
    if trial.task not in TASKS:
        raise UsageError(f"no task {trial.task!r}; there are: {', '.join(TASKS)}")
    if trial.lag > MAX_LAG:
        raise UsageError(f"{trial.task} with a lag of {trial.lag} steps; can be at most {MAX_LAG}")
    TASKS[trial.task](trial.lag)

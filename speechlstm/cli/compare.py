"""Compare plain RNN, GRU, LSTM, and Transformer on long time lags and on speech, on one page."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.data import progress
from speechlstm.data.files import Outputs, folder_path, locked, write_atomically
from speechlstm.study.compare import results, speech, trials
from speechlstm.study.compare.complexity import complexity
from speechlstm.study.compare.networks import NETWORKS
from speechlstm.study.compare.page import render
from speechlstm.types import UsageError


@configs.main("compare")
def main(cfg: DictConfig) -> None:
    """Run all trials that have no result yet, and write the page."""
    todo = _trials(cfg)
    spoken = _speech(cfg)
    workers = os.cpu_count() or 1 if cfg.workers is None else cfg.workers
    out = folder_path(cfg.out)
    page = out / "compare.html"
    with locked(out):
        if not (out / "trials.jsonl").exists():  # else the folder is this command's own
            Outputs([]).check(page)
        costs = _costs(cfg, out / "complexity.jsonl")
        found = list(progress.track(trials.make(todo, out / "trials.jsonl", workers), "trials", len(todo)))
        write_atomically(page, render(found, costs, []))  # the trainings on speech take much longer
        trained = []
        for result in progress.track(speech.make(spoken, out), "trainings", len(spoken)):
            trained.append(result)
            write_atomically(page, render(found, costs, trained))
    print(page)


def _trials(cfg: DictConfig) -> list[trials.Trial]:
    """Return all trials, after a check that each can be run."""
    tasks = [str(task).rpartition(":") for task in cfg.tasks]
    if wrong := [f"{name}{colon}{lag}" for name, colon, lag in tasks if not (name and lag.isdecimal())]:
        raise UsageError(
            f"tasks has {wrong[0]!r}, but each must be a name and a lag, as in tasks=[adding:50,adding:100]"
        )
    unknown = [name for name in cfg.networks if name not in NETWORKS]
    if unknown or not cfg.networks:
        raise UsageError(f"networks is {list(cfg.networks)}, but can have: {', '.join(NETWORKS)}")
    sizes = (cfg.parameters, cfg.batch_size, cfg.max_updates, cfg.check_every)
    found = [
        trials.Trial(task, int(lag), network, seed, cfg.parameters, cfg.learning_rates[network], *sizes[1:])
        for task, _, lag in tasks
        for seed in cfg.seeds
        for network in cfg.networks
    ]
    for trial in found:
        trials.check(trial)
    return found


def _speech(cfg: DictConfig) -> list[speech.SpeechTrial]:
    known = configs.folders.option_names("experiment")
    if unknown := [name for name in cfg.speech if name not in known]:
        raise UsageError(f"no experiment {unknown[0]!r}; there are: {', '.join(known)}")
    return [
        speech.SpeechTrial(experiment, network, seed, str(cfg.speech_settings))
        for experiment in cfg.speech
        for seed in cfg.speech_seeds
        for network in cfg.networks
    ]


def _costs(cfg: DictConfig, path: Path) -> list[dict[str, object]]:
    """Return what longer sequences cost each network, measured once."""
    known = results.read(path, ("network", "parameters"))
    for network in cfg.networks:
        if (network, cfg.parameters) not in known:
            results.append(path, complexity(network, cfg.parameters))
    known = results.read(path, ("network", "parameters"))
    return [known[network, cfg.parameters] for network in cfg.networks]

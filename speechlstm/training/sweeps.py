"""A study of trainings by Optuna: what is varied, the trials in their folders, and going on after an interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechlstm.configs.arguments import quoted
from speechlstm.types import SpeechlstmError, UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

SCORE = "score.json"  # what a training leaves in its folder


@dataclass(frozen=True, slots=True)
class Trial:
    """A training of a sweep: its number, the settings that were its own, its dev word error rate; None if it failed."""

    number: int
    settings: list[str]
    wer: float | None


def spaces(search: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return what each setting is drawn from.

    Args:
        search: for each setting `[low, high]`, `[low, high, "log"]` or choices. Two numbers are a range, of whole
            numbers if both are.

    Raises:
        SpeechlstmError: Optuna is not installed.
        UsageError: a range that is none, or nothing to vary.
    """
    distributions = _optuna().distributions
    found: dict[str, BaseDistribution] = {}
    for name, values in search.items():
        if not isinstance(values, list) or len(values) < 2:
            raise UsageError(
                f"search: {name} is {values!r}, but must be [low,high], [low,high,log] or a list of choices"
            )
        log = values[-1] == "log"
        ends = values[:-1] if log else values
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        if not (numbers and len(ends) == 2) and not log:
            if not all(isinstance(each, str | int | float | bool) for each in values):
                raise UsageError(
                    f"search: the choices of {name} are {values!r}, but must be numbers or words"
                )
            found[name] = distributions.CategoricalDistribution(values)
            continue
        if not numbers or len(ends) != 2 or not ends[0] < ends[1] or (log and ends[0] <= 0):
            raise UsageError(
                f"search: {name} is {values!r}, but must be [low,high] with low < high, and low > 0 with log"
            )
        whole = all(isinstance(end, int) for end in ends)
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        found[name] = kind(ends[0], ends[1], log=log)
    if not found:
        raise UsageError(
            "search is empty: name a setting to vary, as in 'search={optimizer.lr:[1e-4,1e-2,log]}'"
        )
    return found


def open_study(path: Path, spaces: Mapping[str, BaseDistribution], given: Sequence[str]) -> Study:
    """Open a study, or begin one.

    Args:
        path: the SQLite file.
        spaces: what is varied.
        given: the settings of all trainings.

    Raises:
        UsageError: the file is of other settings.
        SpeechlstmError: it is no study.
    """
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{path.absolute()}"
    try:
        study: Study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
    except Exception as error:  # of whatever lies below Optuna
        raise SpeechlstmError(f"{path}: cannot be used as a study: {str(error).splitlines()[0]}") from error
    now = {
        "settings": sorted(given),
        "search": {name: json.loads(_json(space)) for name, space in sorted(spaces.items())},
    }
    before = study.user_attrs.get("sweep", now)
    if before != now and not any(trial.state.is_finished() for trial in study.trials):
        optuna.delete_study(study_name="sweep", storage=storage)  # nothing was learned with those
        return open_study(path, spaces, given)
    if before != now:
        part = "settings" if before["settings"] != now["settings"] else "search"
        raise UsageError(
            f"{path} is a study of other {part}: {before[part]}, now {now[part]}; use those, or another study= and out="
        )
    study.set_user_attr("sweep", now)
    return study


def run(
    study: Study,
    spaces: Mapping[str, BaseDistribution],
    given: Sequence[str],
    out: Path,
    trials: int,
    seed: int,
) -> Iterator[Trial]:
    """Train until the study has so many trials; one that an interruption left goes on in its folder.

    Each is `speechlstm train` in a process of its own. The draws follow from the seed, the trials before, and nothing
    else, so an interrupted sweep makes those that it would have made.

    Yields:
        each trial that has ended, well or not.

    Raises:
        UsageError: a training refuses its settings, and none before it has ended well.
        SystemExit: a signal has ended the training, which goes on from its checkpoint when the sweep does.
    """
    optuna = _optuna()
    running = optuna.trial.TrialState.RUNNING
    while True:
        left = study.get_trials(deepcopy=False, states=(running,))
        if left:
            number = left[0].number
        elif len(study.trials) < trials:
            study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
            number = study.ask(dict(spaces)).number
        else:
            return
        settings = _settings(study.trials[number])
        folder = out / f"trial-{number}"
        status = _train([*given, *settings, quoted(f"out={folder}")])
        good = optuna.trial.TrialState.COMPLETE
        if status == UsageError.exit_status and not study.get_trials(deepcopy=False, states=(good,)):
            raise UsageError(f"the training refuses its settings: {' '.join([*given, *settings])}")
        if status < 0 or status >= 128:
            sys.exit(128 - status if status < 0 else status)
        wer = json.loads((folder / SCORE).read_text())["wer"] if status == 0 else None
        if wer is None:
            study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(number, wer)
        yield Trial(number, settings, wer)


def finished(study: Study) -> list[Trial]:
    """Return all trials that have ended, in their order."""
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    return [Trial(trial.number, _settings(trial), trial.value) for trial in ended]


def _settings(trial: FrozenTrial) -> list[str]:
    return [quoted(f"{name}={value}") for name, value in trial.params.items()]


def _train(overrides: Sequence[str]) -> int:
    """Run a training, hand on the signals that this process gets, and return its exit status."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []  # signals that came before the training was there

    def forward(number: int, _: Any) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # Ctrl-C reaches the training by itself.
    handlers: dict[int, Callable[[int, Any], None]] = {
        signal.SIGTERM: forward,
        signal.SIGUSR1: forward,
        signal.SIGINT: lambda *_: None,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        child = subprocess.Popen([sys.executable, "-m", "speechlstm", "train", *overrides])
        for number in early:
            child.send_signal(number)
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _json(space: BaseDistribution) -> str:
    found: str = _optuna().distributions.distribution_to_json(space)
    return found


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SpeechlstmError("sweeps need Optuna: pip install 'speechlstm[tune]'") from None
    return optuna

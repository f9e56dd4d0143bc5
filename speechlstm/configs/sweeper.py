"""A search for the best settings by Optuna, behind `speechlstm train --multirun hydra/sweeper=optuna`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer
from hydra.core.utils import JobStatus
from hydra.plugins.launcher import Launcher

from speechlstm.configs.arguments import quoted
from speechlstm.types import SpeechlstmError, UsageError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution


class Search:
    """Draws the settings of each training by Optuna's TPE sampler (Bergstra 2011), for the lowest objective.

    hydra-optuna-sweeper would do it, but what it has released for Hydra 1.3 needs an Optuna below 3. The study lies in
    a file, so the same command goes on with the trials that an interruption has left, and then makes those that are
    missing. Trials of earlier starts of the same command count among `n_trials`; `n_jobs` are given to the launcher at
    once. `params` varies settings as the command line does: `{optimizer.lr: "interval(1e-4,1e-2)"}`.
    """

    def __init__(
        self, n_trials: int, n_jobs: int, storage: str, seed: int, params: Mapping[str, Any] | None = None
    ) -> None:
        if min(n_trials, n_jobs) < 1:
            raise UsageError(
                f"hydra.sweeper: n_trials is {n_trials} and n_jobs {n_jobs}, but must be 1 or more"
            )
        self.n_trials, self.n_jobs, self.storage, self.seed = n_trials, n_jobs, storage, seed
        self.params = dict(params or {})

    def run(self, launcher: Launcher, arguments: list[str]) -> None:
        """Run the trials that the study lacks.

        Arguments with a range or choices are drawn, the others are the same for all trials.

        Raises:
            UsageError: nothing is to be varied, or the study varies something else.
        """
        given = {f"{name}": f"{name}={value}" for name, value in self.params.items()}
        parsed = OverridesParser.create().parse_overrides([*given.values(), *arguments])
        chosen = {override.get_key_element(): override for override in parsed}  # the command line comes last
        spaces = {name: space(override) for name, override in chosen.items() if override.is_sweep_override()}
        fixed = [str(override.input_line) for name, override in chosen.items() if name not in spaces]
        if not spaces:
            raise UsageError(
                "there is nothing to search: give a setting a range or choices, as in "
                "'optimizer.lr=tag(log,interval(1e-4,1e-2))' or encoder=blstm,bgru"
            )
        study = self._study(sorted(fixed))
        while trials := self._next(study, spaces):
            overrides = [
                [*fixed, *(quoted(f"{name}={value}") for name, value in params.items())]
                for _, params in trials
            ]
            results = launcher.launch(overrides, initial_job_idx=trials[0][0])
            for (number, _), result in zip(trials, results, strict=True):
                value = result.return_value if result.status is JobStatus.COMPLETED else None
                failed = not isinstance(value, float) or math.isnan(value)
                study.tell(number, None if failed else value, state=_state("FAIL" if failed else "COMPLETE"))

    def _study(self, fixed: list[str]) -> Study:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            study: Study = optuna.create_study(
                storage=self.storage, study_name="sweep", direction="minimize", load_if_exists=True
            )
        except Exception as error:  # of whatever lies below Optuna
            raise SpeechlstmError(
                f"{self.storage}: cannot be used as a study: {str(error).splitlines()[0]}"
            ) from error
        before = study.user_attrs.get("settings", fixed)
        if before != fixed:
            raise UsageError(
                f"{self.storage} is a study with the settings {' '.join(before)}, not {' '.join(fixed)}; "
                "use those, or another out="
            )
        study.set_user_attr("settings", fixed)
        return study

    def _next(self, study: Study, spaces: Mapping[str, BaseDistribution]) -> list[tuple[int, dict[str, Any]]]:
        """Return number and settings of the next trials: those that were left, or else new ones."""
        # An interruption in the middle of a draw leaves a trial without some of its settings: it is drawn again.
        for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            if trial.params.keys() != spaces.keys():
                study.tell(trial.number, state=_state("FAIL"))
        drawn = [trial for trial in study.get_trials(deepcopy=False) if trial.params.keys() == spaces.keys()]
        left = [trial for trial in drawn if trial.state == _state("RUNNING")]
        begun = len(drawn) % self.n_jobs  # of trials that are given to the launcher at once
        missing = max(0, self.n_trials - len(drawn))
        count = min(self.n_jobs - begun, missing) if begun or not left else 0
        asked = []
        try:
            for number in range(len(drawn), len(drawn) + count):
                # Each draw follows from the seed and the trials before: an interrupted sweep makes those it would have
                # made.
                study.sampler = _optuna().samplers.TPESampler(seed=self.seed + number)
                asked.append(study.ask(dict(spaces)))
        except ValueError as error:
            raise UsageError(
                f"{self.storage} is a study of other choices: {error}; use another out="
            ) from error
        return [(trial.number, trial.params) for trial in (*left, *asked)]


def space(override: Override) -> BaseDistribution:
    """Return what an override of Hydra's sweep grammar draws from: `interval(...)`, `range(...)`, choices.

    Raises:
        UsageError: an interval that is none.
    """
    distributions, value = _optuna().distributions, override.value()
    drawn: BaseDistribution
    try:
        if isinstance(value, IntervalSweep):
            drawn = distributions.FloatDistribution(value.start, value.end, log="log" in value.tags)
        else:
            choices = list(override.sweep_iterator(transformer=Transformer.encode))
            drawn = distributions.CategoricalDistribution(choices)
    except ValueError as error:
        raise UsageError(f"{override.input_line}: {error}") from error
    return drawn


def _state(name: str) -> Any:
    return _optuna().trial.TrialState[name]


def _optuna() -> Any:
    try:
        import optuna  # an extra, and slow to import
    except ImportError:
        raise SpeechlstmError("hydra/sweeper=optuna needs Optuna: pip install 'speechlstm[tune]'") from None
    return optuna

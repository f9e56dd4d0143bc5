"""Search settings of a training for the lowest dev error rate, one training after the other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.configs.arguments import quote_arguments
from speechlstm.data.files import locked
from speechlstm.training import sweeps
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError

_OWN = ("search", "trials", "study", "out")  # settings that are no training's


def main() -> None:
    """Run the command on `sys.argv`; values in any script may stand there unquoted."""
    quote_arguments()
    run()


@configs.main("sweep")
def run(cfg: DictConfig) -> int:
    """Train until there are `cfg.trials`. Exit status 3 when some trainings failed, 1 when all did."""
    if isinstance(cfg.trials, bool) or not isinstance(cfg.trials, int) or cfg.trials < 1:
        raise UsageError(f"trials is {cfg.trials!r}, but must be a whole number above 0")
    spaces = sweeps.spaces(cast(dict[str, Any], OmegaConf.to_container(cfg.search, resolve=True)))
    for name in spaces:
        if name in _OWN or OmegaConf.select(cfg, name, default=cfg) is cfg:
            raise UsageError(f"search: no setting {name!r} of a training")
    given = [each for each in configs.task_overrides() if each.split("=")[0] not in _OWN]
    out, study_file = Path(cfg.out), Path(cfg.study)
    with locked(out):  # two sweeps would go on with each other's running trial
        study = sweeps.open_study(study_file, spaces, given)
        for trial in sweeps.run(study, spaces, given, out, cfg.trials, cfg.seed):
            result = "failed" if trial.wer is None else f"WER {trial.wer:.2%}"
            print(f"trial {trial.number}: {result}  {' '.join(trial.settings)}", flush=True)
        trials = sweeps.finished(study)
    ranked = sorted((trial for trial in trials if trial.wer is not None), key=lambda trial: trial.wer or 0.0)
    if not ranked:
        raise SpeechlstmError(f"all {len(trials)} trainings failed; what they said stands above")
    print("\nbest trials")
    for trial in ranked[:5]:
        print(f"{trial.number:>4}  WER {trial.wer:7.2%}  {' '.join(trial.settings)}")
    best = ["speechlstm", "train", *given, *ranked[0].settings]
    print(f"study: {study_file}\n\n  {shlex.join(best)}")
    return SOME_FAILED if len(ranked) < len(trials) else 0


if __name__ == "__main__":
    main()

"""List the installed plugins and parts, check one, create a new one, or compare decoders."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from speechlstm import configs
from speechlstm.cli import templates
from speechlstm.data import progress
from speechlstm.data.console import printable
from speechlstm.data.files import Outputs, file_path
from speechlstm.data.manifest import read_usable
from speechlstm.data.names import expanded
from speechlstm.model import installed, registry
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError, counted

_CONTRACTS = {
    "features": ("speechlstm.model.features.contract", "FeaturesContract"),
    "encoder": ("speechlstm.model.encoder.contract", "EncoderContract"),
    "tokenizer": ("speechlstm.model.tokenizer.contract", "TokenizerContract"),
    "decoder": ("speechlstm.decoders.contract", "DecoderContract"),
}


def main() -> None:
    """Run the command on `sys.argv`, where `new STAGE NAME` may stand for settings."""
    if sys.argv[1:2] == ["new"]:  # new STAGE NAME [out=FOLDER]
        names = [
            argument for argument in sys.argv[2:] if "=" not in argument and not argument.startswith("-")
        ]
        rest = [argument for argument in sys.argv[2:] if argument not in names]
        words = [f"{key}={value}" for key, value in zip(("new", "name"), names[:2], strict=False)]
        if len(names) != 2:
            print(f"error: write: speechlstm plugins new {'|'.join(_CONTRACTS)} NAME", file=sys.stderr)
            sys.exit(UsageError.exit_status)
        sys.argv[1:] = [*words, *rest]
    run()


@configs.main("plugins")
def run(cfg: DictConfig) -> int:
    """List, check, write or compare. Exit status 1 when a part failed, 3 when only some audio did."""
    if sum(cfg[key] is not None for key in ("new", "check", "bench")) > 1:
        raise UsageError("new, check= and bench= are three commands; give one of them")
    if cfg.new is not None:
        return new(cfg)
    if cfg.check is not None:
        return check(cfg)
    if cfg.bench is not None:
        return bench(cfg)
    return show(cfg)


def show(cfg: DictConfig) -> int:
    """Print name, package, summary and settings of each part, stage by stage; none is imported."""
    parts = [part for stage in registry.GROUPS for part in installed.installed(stage)]
    if cfg.format == "json":
        print(json.dumps([asdict(each) for each in parts], indent=1, ensure_ascii=False, default=str))
    else:
        width = max(60, shutil.get_terminal_size((110, 24)).columns)
        column = max(len(each.name) for each in parts) + 2
        stage = ""
        for each in parts:
            if each.stage != stage:
                print(f"{'' if not stage else chr(10)}{each.stage}")
                stage = each.stage
            print(printable(f"  {each.name:<{column}}{each.package} {each.version}"))
            settings = " ".join(f"{key}={_shown(value)}" for key, value in (each.parameters or {}).items())
            indent = " " * (column + 2)
            for text in (each.summary, settings):
                if text:
                    lines = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
                    print("\n".join(map(printable, lines)))
    problems = [each.problem for each in parts if each.problem]
    for problem in dict.fromkeys(problems):
        progress.fail(problem)
    return 1 if problems else 0


def check(cfg: DictConfig) -> int:
    """Put one part through the contract of its stage and print each clause."""
    from speechlstm.model import contract as contracts  # the contracts bring torch: not for the list

    stage, name = _find(_shown(cfg.check))
    module, kind = _CONTRACTS[stage]
    attributes = {"name": name, "params": _settings(cfg).get(name, {})}
    contract = type(f"Contract of {name}", (getattr(importlib.import_module(module), kind),), attributes)
    contract().make()  # what cannot be made keeps no clause: one error, not twenty
    verdicts = []
    for verdict in contracts.check(contract):
        verdicts.append(verdict)
        if cfg.format == "table":
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{verdict.outcome:<8} {verdict.clause}{reason}", flush=True)
    failed = sum(verdict.outcome == "failed" for verdict in verdicts)
    if cfg.format == "json":
        print(json.dumps([asdict(verdict) for verdict in verdicts], indent=1, ensure_ascii=False))
    else:
        kept = "does NOT keep" if failed else "keeps"
        print(
            f"\n{stage} {name!r} {kept} the contract: {failed} of {counted(len(verdicts), 'clause')} failed"
        )
    return 1 if failed else 0


def new(cfg: DictConfig) -> int:
    """Write a package to start from, which keeps the contract as it is."""
    if cfg.new not in _CONTRACTS:
        raise UsageError(f"no stage {cfg.new!r}; there are: {', '.join(_CONTRACTS)}")
    folder = templates.write(cfg.new, str(cfg.name), None if cfg.out is None else Path(str(cfg.out)))
    print(f"{folder}: a package with the {cfg.new} {cfg.name!r}\n")
    print(f"  pip install -e {folder}\n  pytest {folder}\n  speechlstm plugins check={cfg.name}")
    return 0


def _find(wanted: str) -> tuple[str, str]:
    """Return stage and name of `NAME` or `STAGE/NAME`."""
    stage, slash, name = wanted.partition("/")
    if slash:
        if stage not in _CONTRACTS:
            raise UsageError(f"check={wanted}: no stage {stage!r}; there are: {', '.join(_CONTRACTS)}")
        registry.entry(stage, name)  # raises, naming what there is
        return stage, name
    stages = [each for each in _CONTRACTS if wanted in registry.names(each)]
    if len(stages) > 1:
        raise UsageError(
            f"{wanted!r} is of several stages: check={' or check='.join(f'{each}/{wanted}' for each in stages)}"
        )
    if not stages:
        known = sorted(name for each in _CONTRACTS for name in registry.names(each))
        raise UsageError(
            f"no part {wanted!r}{registry.nearest(wanted, known)}; installed are: {', '.join(known)}"
        )
    return stages[0], wanted


def bench(cfg: DictConfig) -> int:
    """Measure every decoder on the log-probabilities of a manifest."""
    import speechlstm  # these bring torch, which takes seconds: not for the list
    from speechlstm.cli.devices import batch_threads
    from speechlstm.decoders import names
    from speechlstm.evaluation import benchmark, logprobs
    from speechlstm.evaluation.plots import check_plots

    if cfg.plot is not None:
        check_plots()  # now, not after the work
        Outputs([*configs.reads(cfg), cfg.bench], cfg.overwrite).check(plot := file_path(cfg.plot))
    settings = _settings(cfg)
    chosen = list(cfg.only) if cfg.only is not None else names()
    for name in (*chosen, *settings):
        if name not in names():
            registry.entry("decoder", name)  # raises, naming what there is
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    place = None if cfg.cache is None else expanded(cfg.cache)
    utterances, bad = read_usable(cfg.bench)
    computed = logprobs.compute(bundle, utterances, place, cfg.batch_seconds, batch_threads(cfg.threads))
    references = [bundle.tokenizer.normalize(utterance.text) for utterance in computed.utterances]
    if not any(references):
        raise SpeechlstmError(f"{cfg.bench}: no texts, so that there is nothing to count errors against")
    seconds = sum(len(row) for row in computed.rows) * bundle.frame_shift
    trials: list[benchmark.Trial] = []
    problems: dict[str, str] = {}
    for name in progress.track(chosen, "decoding", unit="decoder"):
        try:
            own = settings.get(name, {})
            for width in benchmark.widths(name, own, cfg.beam_sizes, cfg.beams):
                decoder = benchmark.make(name, bundle.tokenizer, cfg.lm, own | width)
                setting = " ".join(f"{key}={value:g}" for key, value in width.items())
                trials.append(benchmark.measure(decoder, computed.rows, references, seconds, name, setting))
        except SpeechlstmError as error:
            if cfg.debug:
                raise
            origin = f"decoder {name!r} of {registry.package_of(registry.entry('decoder', name))}"
            problems[name] = str(error) if origin in str(error) else f"{origin}: {error}"
            progress.fail(problems[name])
    setup = {"manifest": cfg.bench, "bundle": bundle.name, "utterances": len(computed.rows), "lm": cfg.lm}
    if cfg.format == "json":
        print(json.dumps(setup | {"trials": benchmark.as_json(trials), "failed": problems}, indent=1))
    elif trials:
        about = ", ".join(f"{key} {value}" for key, value in setup.items() if value is not None)
        print(printable(about) + "\n")
        print("\n".join(map(printable, benchmark.as_table(trials))))
    if cfg.plot is not None and trials:
        title = f"{cfg.bench}: {counted(len(computed.rows), 'utterance')}, {seconds:.0f} s, {bundle.name}"
        benchmark.plot(trials, title, plot)
    return 1 if problems else SOME_FAILED if bad or computed.problems else 0


def _settings(cfg: DictConfig) -> Mapping[str, dict[str, Any]]:
    settings = OmegaConf.to_container(cfg.settings, resolve=True)
    if not isinstance(settings, dict) or not all(isinstance(each, dict) for each in settings.values()):
        raise UsageError("settings are of single parts, as in +settings.flashlight.lexicon=words.txt")
    return {str(name): dict(each) for name, each in settings.items()}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

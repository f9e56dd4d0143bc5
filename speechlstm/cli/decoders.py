"""List the installed decoders, check one, or compare their errors and speed on a manifest."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads
from speechlstm.configs.arguments import quote_arguments
from speechlstm.data.manifest import read_manifest
from speechlstm.decoders import contract as testing
from speechlstm.decoders import names
from speechlstm.evaluation import benchmark, logprobs
from speechlstm.model import installed, registry
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError


def main() -> None:
    """Run the command on `sys.argv`; file names in any script may stand there unquoted."""
    quote_arguments()
    run()


@configs.main("decoders")
def run(cfg: DictConfig) -> int:
    """List, check or compare. Exit status 1 when a decoder failed, 3 when only some audio did."""
    if cfg.format not in ("table", "json"):
        raise UsageError(f"no format {cfg.format!r}; there are: table, json")
    if cfg.check is not None and cfg.bench is not None:
        raise UsageError("check= and bench= are two commands; give one of them")
    if cfg.check is not None:
        return check(cfg)
    if cfg.bench is not None:
        return bench(cfg)
    return show(cfg)


def show(cfg: DictConfig) -> int:
    """Print name, package, summary and parameters of each decoder."""
    found = installed.installed("decoder")
    if cfg.format == "json":
        print(json.dumps([asdict(each) for each in found], indent=1, ensure_ascii=False, default=str))
    else:
        width = max(60, shutil.get_terminal_size((110, 24)).columns)
        column = max((len(each.name) for each in found), default=0) + 2
        indent = " " * column
        for each in found:
            print(f"{each.name:<{column}}{each.package} {each.version}")
            params = " ".join(f"{key}={_shown(value)}" for key, value in (each.parameters or {}).items())
            for text in (each.summary, params):
                if text:
                    print(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent))
    problems = dict.fromkeys(each.problem for each in found if each.problem)
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    return 1 if problems else 0


def check(cfg: DictConfig) -> int:
    """Put one decoder through the contract and print each clause."""
    attributes = {"decoder": cfg.check, "params": _settings(cfg).get(cfg.check, {})}
    contract = type(f"Contract of {cfg.check}", (testing.DecoderContract,), attributes)
    contract().make()  # what cannot be made keeps no clause: one error, not twenty
    verdicts = []
    for verdict in testing.check(contract):
        verdicts.append(verdict)
        if cfg.format == "table":
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{verdict.outcome:<8} {verdict.clause}{reason}", flush=True)
    failed = sum(verdict.outcome == "failed" for verdict in verdicts)
    if cfg.format == "json":
        print(json.dumps([asdict(verdict) for verdict in verdicts], indent=1, ensure_ascii=False))
    else:
        kept = "does NOT keep" if failed else "keeps"
        print(f"\ndecoder {cfg.check!r} {kept} the contract: {failed} of {len(verdicts)} clauses failed")
    return 1 if failed else 0


def bench(cfg: DictConfig) -> int:
    """Measure every decoder on the log-probabilities of a manifest."""
    if cfg.plot is not None:
        benchmark.check_plots()  # now, not after the work
    settings = _settings(cfg)
    chosen = list(cfg.only) if cfg.only is not None else names()
    for name in (*chosen, *settings):
        if name not in names():
            registry.entry("decoder", name)  # raises, naming what there is
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    place = None if cfg.cache is None else Path(cfg.cache).expanduser()
    heard = logprobs.compute(
        bundle, read_manifest(cfg.bench), place, cfg.batch_seconds, batch_threads(cfg.threads)
    )
    references = [bundle.tokenizer.normalize(utterance.text) for utterance in heard.utterances]
    if not any(references):
        raise SpeechlstmError(f"{cfg.bench}: no texts, so that there is nothing to count errors against")
    seconds = sum(len(row) for row in heard.rows) * bundle.frame_shift
    trials: list[benchmark.Trial] = []
    problems: dict[str, str] = {}
    for name in tqdm(chosen, "decoding", unit="decoder", disable=None):
        try:
            own = settings.get(name, {})
            for width in benchmark.widths(name, own, cfg.beam_sizes, cfg.beams):
                decoder = benchmark.make(name, bundle.tokenizer, cfg.lm, own | width)
                setting = " ".join(f"{key}={value:g}" for key, value in width.items())
                trials.append(benchmark.measure(decoder, heard.rows, references, seconds, name, setting))
        except SpeechlstmError as error:
            if cfg.debug:
                raise
            origin = f"decoder {name!r} of {registry.package_of(registry.entry('decoder', name))}"
            problems[name] = str(error) if origin in str(error) else f"{origin}: {error}"
            tqdm.write(f"failed: {problems[name]}", sys.stderr)
    setup = {"manifest": cfg.bench, "bundle": bundle.name, "utterances": len(heard.rows), "lm": cfg.lm}
    if cfg.format == "json":
        print(json.dumps(setup | {"trials": benchmark.as_json(trials), "failed": problems}, indent=1))
    elif trials:
        print(", ".join(f"{key} {value}" for key, value in setup.items() if value is not None) + "\n")
        print("\n".join(benchmark.as_table(trials)))
    if cfg.plot is not None and trials:
        title = f"{cfg.bench}: {len(heard.rows)} utterances, {seconds:.0f} s, {bundle.name}"
        benchmark.plot(trials, title, cfg.plot)
    return 1 if problems else SOME_FAILED if heard.problems else 0


def _settings(cfg: DictConfig) -> Mapping[str, dict[str, Any]]:
    settings = OmegaConf.to_container(cfg.settings, resolve=True)
    if not isinstance(settings, dict) or not all(isinstance(each, dict) for each in settings.values()):
        raise UsageError("settings are of single decoders, as in +settings.flashlight.lexicon=words.txt")
    return {str(name): dict(each) for name, each in settings.items()}


def _shown(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()

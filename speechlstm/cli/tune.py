"""Tune a decoder's settings on a dev set, and save them as an option of decoder=."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, decoder_settings
from speechlstm.data import progress
from speechlstm.data.audio import holders
from speechlstm.data.console import printable
from speechlstm.data.files import Outputs, file_path, write_atomically
from speechlstm.data.manifest import read_usable
from speechlstm.data.names import expanded
from speechlstm.decoders import Decoder
from speechlstm.evaluation import logprobs, tuning
from speechlstm.evaluation.plots import check_plots
from speechlstm.model.provenance import trained_on
from speechlstm.model.settings import flat
from speechlstm.transcription.recognizer import Recognizer
from speechlstm.types import SOME_FAILED, SpeechlstmError, UsageError, Utterance, counted


@configs.main("tune")
def main(cfg: DictConfig) -> int:
    """Tune on `cfg.manifest`. Exit status 3 when some of its audio could not be read."""
    out = file_path(cfg.out)
    plot = None if cfg.plot is None else file_path(cfg.plot)
    utterances, bad = read_usable(cfg.manifest)
    _check(cfg, utterances, out, plot)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    settings = decoder_settings(cfg, bundle)
    spans = tuning.ranges(settings, cfg.search)
    if not cfg.on_training_data:
        _refuse_training_data(bundle, utterances, cfg.manifest)
    place = None if cfg.cache is None else expanded(cfg.cache)
    options = (cfg.batch_seconds, batch_threads(cfg.threads), cfg.strict_audio)
    dev = logprobs.compute(bundle, utterances, place, *options)
    if not any(utterance.text.strip() for utterance in dev.utterances):
        raise SpeechlstmError(f"{cfg.manifest}: no texts, so that there is nothing to count errors against")

    def make(params: dict[str, float]) -> Decoder:
        decoder: Decoder = configs.build_part(
            "decoder", tuning.with_values(settings, params), tokenizer=bundle.tokenizer
        )
        return decoder

    before = tuning.Trial({}, tuning.score(make({}), dev))
    known = flat(settings)
    start = {name: float(known[name]) for name in spans if isinstance(known[name], int | float)}
    trials, best = _search(tuning.tune(make, dev, spans, start, cfg.trials, cfg.seed), before, cfg.trials)
    chosen = tuning.with_values(settings, best.params)
    calibrated = None
    if "confidence_power" in chosen:
        calibrated = tuning.calibrate(make(best.params | {"confidence_power": 1.0}), dev)
        chosen["confidence_power"] = tuning.rounded(calibrated[0])
    low, high = best.score.interval()
    many = counted(len(trials), "trial")
    head = (
        f"# Tuned on {printable(f'{cfg.manifest} with {bundle.name}')}: WER {best.score.wer:.2%} "
        f"({low:.2%} to {high:.2%}), {many}{'' if best.params else ', none of them better'}, seed {cfg.seed}.\n"
    )
    write_atomically(out, head + OmegaConf.to_yaml(OmegaConf.create(chosen)))
    if plot is not None:
        tuning.plot(trials, f"{cfg.manifest}: {counted(len(dev.rows), 'utterance')}, {bundle.name}", plot)
    words = best.score.words.length
    print(f"best: WER {best.score.wer:.2%} (95 % {low:.2%} to {high:.2%}, {counted(words, 'word')})")
    print(f"before: WER {before.score.wer:.2%}")
    if not best.params:
        print(f"{many}, none of them better: {', '.join(spans)} as before")
    if calibrated is not None:
        power, *nats = calibrated
        print(
            f"confidences: to the power {power:.3g}, cross-entropy {nats[0]:.3f} -> {nats[1]:.3f} nat a word"
        )
    found_there = printable(f"--config-dir {out.parent.parent} decoder={out.stem}")
    print(f"settings: {printable(str(out))}\n\n  speechlstm evaluate manifest=TEST.jsonl {found_there}")
    return SOME_FAILED if bad or dev.problems else 0


def _check(cfg: DictConfig, utterances: list[Utterance], out: Path, plot: Path | None) -> None:
    """Refuse now what would otherwise fail after the work."""
    outputs = Outputs([*configs.reads(cfg), *holders(utterances)], cfg.overwrite)
    for path in (out, plot):
        if path is not None:
            outputs.check(path)
    if plot is not None:
        check_plots()


def _search(
    tried: Iterator[tuning.Trial], before: tuning.Trial, total: int
) -> tuple[list[tuning.Trial], tuning.Trial]:
    """Return all trials, and the best one: that of before, if none is better."""
    trials, best = [], before
    for trial in progress.track(tried, "tuning", total, unit="trial"):
        trials.append(trial)
        if trial.rank < best.rank:
            best = trial
            shown = " ".join(f"{name}={value:g}" for name, value in trial.params.items())
            progress.write(
                f"{len(trials):>4}  WER {trial.score.wer:7.2%}  CER {trial.score.cer:7.2%}  {shown}"
            )
    return trials, best


def _refuse_training_data(bundle: Recognizer, utterances: list[Utterance], manifest: str) -> None:
    share = trained_on(bundle.bundle.config, utterances)
    if share > 0:
        raise UsageError(
            f"{manifest}: {share:.0%} of it is what {bundle.name} was trained on, where it makes hardly any errors; "
            "tune on a development set, or say on_training_data=true"
        )

"""Measure word and character errors on a manifest, with the mistakes that matter."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, choose_devices, decoder_name, make_decoder
from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import read_manifest, write_manifest
from speechlstm.decoders import Decoder
from speechlstm.evaluation import errorreport
from speechlstm.evaluation.metrics import Counts, Score, corpus, errors
from speechlstm.model.tokenizer import Phones, Tokenizer
from speechlstm.model.tokenizer.phones import BOUNDARY
from speechlstm.transcription.recognizer import Recognizer, transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import SOME_FAILED, AudioError, SpeechlstmError, UsageError, Utterance, counted

_SHOWN = 10  # worst utterances, and most frequent confusions


@dataclass(frozen=True, slots=True)
class _Report:
    """What is reported: the score of the utterances that could be read, and how it came about."""

    score: Score
    phones: Counts | None  # of a recogniser of phones
    utterances: list[Utterance]  # references normalised
    hypotheses: list[str]
    failed: int
    audio_seconds: float
    seconds: float
    setup: dict[str, str]
    comparison: errorreport.Comparison | None


@configs.main("evaluate")
def main(cfg: DictConfig) -> int:
    """Recognise and score `cfg.manifest`. Exit status 3 when some audio failed, 1 when all did."""
    if cfg.format not in ("table", "json"):
        raise UsageError(f"no format {cfg.format!r}; there are: table, json")
    if isinstance(cfg.report_audio, bool | str) or not cfg.report_audio >= 0:
        raise UsageError(
            f"report_audio is {cfg.report_audio!r}, but must be a number of megabytes, 0 or more"
        )
    utterances = read_manifest(cfg.manifest)
    where = choose_devices(cfg.trainer)
    bundle = speechlstm.load(cfg.bundle, device=where.device, precision=where.precision)
    others = None
    if cfg.compare_with is not None:
        others = errorreport.read_hypotheses(cfg.compare_with, utterances, bundle.tokenizer)
    decoder = make_decoder(cfg, bundle)
    results: list[Transcript | AudioError | None] = [None] * len(utterances)
    causes: list[errorreport.Cause | None] = [None] * len(utterances)
    with where.share(utterances) as utterances:
        begin = time.perf_counter()
        found = _recognize(cfg, bundle, decoder, utterances, where.claim)
        for index, result, cause in where.merge(found, len(utterances), "evaluating", "utterance"):
            results[index], causes[index] = result, cause
            if isinstance(result, AudioError):
                progress.write(f"failed: {result}", sys.stderr)
        seconds = time.perf_counter() - begin
    if not where.is_first:
        return 0
    scored = [(u, r) for u, r in zip(utterances, results, strict=True) if isinstance(r, Transcript)]
    if not scored:
        raise SpeechlstmError(
            f"{cfg.manifest}: none of {counted(len(utterances), 'utterance')} could be read"
        )
    if cfg.out is not None:
        write_manifest(cfg.out, [replace(u, extra=u.extra | {"pred_text": r.text}) for u, r in scored])
    # The reference is brought to the form the recogniser writes; characters it cannot write stay, as errors.
    references = [replace(u, text=bundle.tokenizer.normalize(u.text)) for u, _ in scored]
    hypotheses = [r.text for _, r in scored]
    score = corpus((u.text, hypothesis) for u, hypothesis in zip(references, hypotheses, strict=True))
    failed, heard = len(utterances) - len(scored), sum(r.duration for _, r in scored)
    setup = {"manifest": cfg.manifest, "bundle": bundle.name, "decoder": decoder_name(cfg, bundle)}
    transcripts = [r for _, r in scored]
    comparison = errorreport.compared(references, transcripts, others) if others is not None else None
    phones = phone_errors(bundle.tokenizer, references, transcripts)
    report = _Report(score, phones, references, hypotheses, failed, heard, seconds, setup, comparison)
    print(
        json.dumps(as_json(report), ensure_ascii=False, indent=1)
        if cfg.format == "json"
        else as_table(report)
    )
    if cfg.report is not None:
        kept = [cause for cause, r in zip(causes, results, strict=True) if isinstance(r, Transcript)]
        snrs = errorreport.measure_snr(references, bundle.sample_rate)
        figures = errorreport.analyse(references, transcripts, kept, snrs, others)
        order = errorreport.by_interest(figures["utterances"])
        audio = errorreport.embed(references, order, bundle.sample_rate, cfg.report_audio * 1e6)
        about = {"compare_with": cfg.compare_with, "failed": failed, "version": speechlstm.__version__}
        write_atomically(cfg.report, errorreport.render(figures, setup | about, audio))
    return SOME_FAILED if failed else 0


def _recognize(
    cfg: DictConfig,
    bundle: Recognizer,
    decoder: Decoder,
    utterances: list[Utterance],
    claim: Callable[[], int],
) -> Iterator[tuple[int, Transcript | AudioError, errorreport.Cause | None]]:
    """Transcribe; for the report also find out why a transcript is wrong, which takes longer."""
    if cfg.report is not None:
        yield from errorreport.examine(
            bundle, decoder, utterances, cfg.batch_seconds, batch_threads(cfg.threads), claim
        )
        return
    for index, result in transcribe(
        bundle, decoder, utterances, cfg.batch_seconds, batch_threads(cfg.threads), claim
    ):
        yield index, result, None


def phone_errors(
    tokenizer: Tokenizer, utterances: list[Utterance], transcripts: list[Transcript]
) -> Counts | None:
    """Count phone errors, if the tokens are phones.

    The reference is each word's first pronunciation, which the recogniser was trained on; boundaries between words
    are no phones. An utterance with a word that the lexicon has not is not counted.
    """
    if not isinstance(tokenizer, Phones):
        return None
    total = Counts()
    for utterance, transcript in zip(utterances, transcripts, strict=True):
        if tokenizer.unknown(utterance.text):
            continue
        said = [tokenizer.tokens[token] for token in tokenizer.encode(utterance.text)]
        both = ([phone for phone in phones if phone != BOUNDARY] for phones in (said, transcript.tokens))
        total += errors(*(" ".join(phones) for phones in both))
    return total


def as_json(report: _Report) -> dict[str, Any]:
    """Return the report as plain JSON; rates are fractions, null where infinite."""
    score = report.score
    return report.setup | {
        "utterances": len(report.utterances),
        "failed": report.failed,
        "wer": _finite(score.wer),
        "wer_interval": [_finite(end) for end in score.interval()],
        "cer": _finite(score.cer),
        "ser": score.ser,
        "words": _counts(score.words),
        "characters": _counts(score.characters),
        "phones": _counts(report.phones) if report.phones else None,
        "audio_seconds": round(report.audio_seconds, 3),
        "seconds": round(report.seconds, 3),
        "real_time_factor": report.seconds / report.audio_seconds,
        "confusions": [
            {"reference": reference, "hypothesis": hypothesis, "count": count}
            for reference, hypothesis, count in score.confusions[:_SHOWN]
        ],
        "worst": [
            {"id": u.id, "audio_filepath": u.audio_filepath, "text": u.text, "pred_text": hypothesis}
            | {"errors": score.utterances[index].errors}
            for index, u, hypothesis in _worst(report)
        ],
        "comparison": asdict(report.comparison) if report.comparison else None,
    }


def as_table(report: _Report) -> str:
    """Return the report as lines for people."""
    score = report.score
    low, high = score.interval()
    speed = report.audio_seconds / report.seconds
    lines = [
        *(f"{key:<10} {value}" for key, value in report.setup.items()),
        f"{'audio':<10} {counted(len(report.utterances), 'utterance')}, {report.audio_seconds:.1f} s,"
        f" in {report.seconds:.1f} s: real-time factor {1 / speed:.4f}, {speed:.0f} times faster",
        "",
        f"{'':<10} {'errors':>8} {'ins':>6} {'del':>6} {'sub':>6} {'of':>8}",
        _row("words", score.words) + f"   95 % interval {low:.2%} to {high:.2%}",
        _row("characters", score.characters),
        *([_row("phones", report.phones)] if report.phones else []),
        f"{'sentences':<10} {score.ser:>8.2%} {'':>20} {len(report.utterances):>8}",
    ]
    if (found := report.comparison) is not None:
        low, high = found.interval
        lines += [
            "",
            f"word errors {found.rates[0]:.2%}, of the other hypotheses {found.rates[1]:.2%}, on"
            f" {counted(found.utterances, 'utterance')}: difference {found.difference:+.2%},"
            f" 95 % interval {low:+.2%} to {high:+.2%}, p = {found.p:.2g} (paired bootstrap)",
            f"{counted(found.better, 'utterance')} better, {found.worse} worse, {found.changed} changed",
        ]
    if score.confusions:
        lines += ["", "most frequent confusions"]
        for reference, hypothesis, count in score.confusions[:_SHOWN]:
            lines.append(f"{count:>6}  {reference or '(nothing)'} -> {hypothesis or '(nothing)'}")
    worst = _worst(report)
    if worst:
        lines += ["", "worst utterances"]
    for index, u, hypothesis in worst:
        lines += [f"{score.utterances[index].errors:>6}  {u.id}", f"{'ref':>11}: {u.text}"]
        lines.append(f"{'hyp':>11}: {hypothesis}")
    given = len(report.utterances) + report.failed
    if report.failed:
        lines += ["", f"not in the score, because it could not be read: {report.failed} of {given}"]
    return "\n".join(lines)


def _worst(report: _Report) -> list[tuple[int, Utterance, str]]:
    indices = report.score.worst(_SHOWN)
    return [(index, report.utterances[index], report.hypotheses[index]) for index in indices]


def _row(name: str, counts: Counts) -> str:
    parts = f"{counts.insertions:>6} {counts.deletions:>6} {counts.substitutions:>6} {counts.length:>8}"
    return f"{name:<10} {counts.rate:>8.2%} {parts}"


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "reference": counts.length,
        "errors": counts.errors,
        "insertions": counts.insertions,
        "deletions": counts.deletions,
        "substitutions": counts.substitutions,
    }


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None


if __name__ == "__main__":
    main()

"""Measure word and character error rates on a manifest, and show the most frequent errors."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import (
    batch_threads,
    choose_cluster,
    choose_devices,
    decoder_settings,
    make_decoder,
)
from speechlstm.data import progress
from speechlstm.data.audio import holders
from speechlstm.data.files import Outputs, file_path
from speechlstm.data.manifest import read_usable, to_lines
from speechlstm.decoders import Decoder
from speechlstm.evaluation import errorreport, results
from speechlstm.transcription.recognizer import Recognizer, transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import (
    SOME_FAILED,
    AudioError,
    SpeechlstmError,
    UsageError,
    Utterance,
    __version__,
    counted,
)

Outcome = tuple[int, Transcript | AudioError, errorreport.Cause | None]


@configs.main("evaluate")
def main(cfg: DictConfig) -> int:
    """Recognize and score `cfg.manifest`. Exit status 3 when some audio failed, 1 when all did."""
    where = choose_devices(cfg.trainer)
    utterances, bad = read_usable(cfg.manifest, where.is_first)
    if where.is_first and not any(each.text.strip() for each in utterances):
        progress.warn(
            str(cfg.manifest), ["none of the utterances has a text, so all words count as inserted"]
        )
    outputs = Outputs([*configs.reads(cfg), *holders(utterances)], cfg.overwrite)
    for path in (cfg.out, cfg.report):
        if path is not None:
            outputs.check(file_path(path))  # now, not after the work
    recognizer = speechlstm.load(
        cfg.bundle, device=where.device, precision=where.precision, runtime=cfg.runtime
    )
    others = None
    if cfg.compare_with is not None:
        others = errorreport.read_hypotheses(cfg.compare_with, utterances, recognizer.tokenizer)
    decoder = make_decoder(cfg, recognizer)
    fold = results.comparable(cfg.normalize)  # is refused now, not after the work
    cluster = choose_cluster(cfg, recognizer, where)
    if cluster and cfg.report is not None:
        raise UsageError("report= needs the network at hand, which executor=ray has elsewhere: leave one out")
    outcomes: list[Outcome] = []
    with where.share(utterances) as utterances, cluster or contextlib.nullcontext():
        begin = time.perf_counter()
        if cluster:
            own: Iterator[Outcome] = ((*found, None) for found in cluster.transcribe(utterances))
        else:
            own = recognize(cfg, recognizer, decoder, utterances, where.claim)
        for outcome in where.merge(own, len(utterances), "evaluating", "utterance"):
            outcomes.append(outcome)
            if isinstance(outcome[1], AudioError):
                progress.fail(outcome[1])
            else:
                progress.warn(utterances[outcome[0]].id, outcome[1].warnings)
        seconds = time.perf_counter() - begin
    if not where.is_first:
        return 0
    setup = {
        "manifest": cfg.manifest,
        "bundle": recognizer.name,
        "decoder": decoder_settings(cfg, recognizer)["name"],
    } | ({} if cfg.normalize is None else {"normalize": cfg.normalize})
    status = conclude(cfg, recognizer, utterances, outcomes, others, seconds, setup, outputs, fold)
    return status or (SOME_FAILED if bad else 0)


def recognize(
    cfg: DictConfig,
    recognizer: Recognizer,
    decoder: Decoder,
    utterances: list[Utterance],
    claim: Callable[[], int] | None,
) -> Iterator[Outcome]:
    """Transcribe; for the report also find out why a transcript is wrong, which takes longer."""
    options = (cfg.batch_seconds, batch_threads(cfg.threads), claim, cfg.strict_audio)
    if cfg.report is not None:
        yield from errorreport.examine(recognizer, decoder, utterances, *options)
        return
    for index, result in transcribe(recognizer, decoder, utterances, *options):
        yield index, result, None


def conclude(
    cfg: DictConfig,
    recognizer: Recognizer,
    utterances: list[Utterance],
    outcomes: list[Outcome],
    others: dict[str, str] | None,
    seconds: float,
    setup: dict[str, str],
    outputs: Outputs,
    fold: Callable[[str], str],
) -> int:
    """Print the score and write the files; return the exit status."""
    read = [
        (utterances[index], result, cause)
        for index, result, cause in sorted(outcomes, key=lambda outcome: outcome[0])
        if isinstance(result, Transcript)
    ]
    if not read:
        raise SpeechlstmError(
            f"{cfg.manifest}: none of {counted(len(utterances), 'utterance')} could be read"
        )
    # The reference is brought to the form the recognizer writes; characters it cannot write stay, as errors.
    references = [replace(u, text=recognizer.tokenizer.normalize(u.text)) for u, *_ in read]
    transcripts, failed = [result for _, result, _ in read], len(utterances) - len(read)
    scored = results.score(
        recognizer.tokenizer, references, transcripts, others, failed, seconds, setup, fold
    )
    if cfg.format == "json":
        print(json.dumps(results.as_json(scored), ensure_ascii=False, indent=1))
    else:
        print(results.as_table(scored))
    files: dict[str, str | bytes] = {}
    if cfg.out is not None:
        spoken = [replace(u, extra=u.extra | {"pred_text": r.text}) for u, r, _ in read]
        files[cfg.out] = to_lines(spoken, cfg.out)
    if cfg.report is not None:
        about = {"compare_with": cfg.compare_with, "failed": failed, "version": __version__}
        causes = [cause for *_, cause in read]
        rate, budget = recognizer.sample_rate, cfg.report_audio * 1e6
        files[cfg.report] = errorreport.report(
            references, transcripts, causes, others, rate, budget, setup | about
        )
    for path, content in files.items():
        try:
            outputs.write(file_path(path), content)
        except SpeechlstmError as error:
            progress.fail(error)
            failed += 1
    return SOME_FAILED if failed else 0

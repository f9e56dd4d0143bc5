"""Write down what is said in audio files: text, subtitles, or words with times."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, choose_devices, make_decoder
from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.transcription.batches import in_order
from speechlstm.transcription.formats import FORMATS, find_formats
from speechlstm.transcription.inputs import find, output_paths
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import SpeechlstmError, UsageError, report_failures

_Results = Iterator[tuple[int, Transcript | SpeechlstmError | None]]  # None: written already

_JOINED = ("txt", "json", "ctm")  # one file can hold several recordings


@configs.main("transcribe")
def main(cfg: DictConfig) -> int:
    """Transcribe the inputs. Exit status 3 when some of them failed, 1 when all did."""
    inputs = configs.inputs(cfg)
    if not inputs:
        raise UsageError("no audio given; usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]")
    out = None if cfg.out is None else Path(str(cfg.out)).expanduser()
    kinds, one_file = find_formats(cfg.format, out, FORMATS, "txt")
    if len(kinds) > 1 and out is None:
        raise UsageError(f"several formats are for files: add out=FOLDER to format={','.join(kinds)}")
    where = choose_devices(cfg.trainer)
    recordings, problems = find(inputs)
    given = len(recordings) + len(problems)
    if one_file and given > 1 and kinds[0] not in _JOINED:
        raise UsageError(
            f"out={out} is one file, but {given} recordings are given: name a folder for a file of each"
        )
    outputs: list[tuple[Path, ...]] = [() if out is None else (out,)] * len(recordings)
    if out is not None and not one_file:
        outputs = list(zip(*(output_paths(recordings, out, kind) for kind in kinds), strict=True))
    work = list(zip(recordings, outputs, strict=True))
    if out is not None and not cfg.overwrite:
        work = [(each, paths) for each, paths in work if not all(path.exists() for path in paths)]
        if where.is_first:
            print(f"{len(recordings) - len(work)} of {len(recordings)} done before", file=sys.stderr)
    failed = len(problems)
    for problem in problems if where.is_first else ():
        print(f"failed: {problem}", file=sys.stderr)
    if not work:
        return report_failures(failed, given) if where.is_first else 0
    bundle = speechlstm.load(cfg.bundle, device=where.device, precision=where.precision)
    decoder = make_decoder(cfg, bundle)
    joined: list[str] = []
    with where.share(work) as work:
        audio = [recording.path for recording, _ in work]
        results: _Results = transcribe(
            bundle,
            decoder,
            audio,
            cfg.batch_seconds,
            batch_threads(cfg.threads),
            where.claim,
            cfg.strict_audio,
        )
        results = _warned(results)
        apart = out is not None and not one_file
        if apart:
            results = _written(results, [paths for _, paths in work])
        merged = where.merge(results, len(work), "transcribing", "file")
        for result in (each for _, each in merged) if apart else in_order(merged):
            if isinstance(result, SpeechlstmError):
                progress.write(f"failed: {result}", sys.stderr)
                failed += 1
            elif result is not None:
                text = _headed(result, kinds[0], given > 1)
                progress.write(text, sys.stdout, end="") if out is None else joined.append(text)
    if out is not None and joined:
        write_atomically(out, "".join(joined))
    return report_failures(failed, given) if where.is_first else 0


def _warned(results: _Results) -> _Results:
    """Pass on the results, and say what of their audio is missing."""
    for index, result in results:
        if isinstance(result, Transcript):
            for warning in result.warnings:
                progress.write(f"warning: {result.audio}: {warning}", sys.stderr)
        yield index, result


def _written(results: _Results, outputs: list[tuple[Path, ...]]) -> _Results:
    """Write each transcript as soon as it is there, and pass on what has failed."""
    for index, result in results:
        if isinstance(result, Transcript):
            try:
                for path in outputs[index]:
                    result.save(path)
                result = None
            except OSError as error:
                result = SpeechlstmError(f"{error.filename or outputs[index][0]}: {error.strerror or error}")
        yield index, result


def _headed(transcript: Transcript, kind: str, several: bool) -> str:
    """Return a transcript as it stands among others: formats that do not say of which recording get a heading."""
    name = {"txt": f"{transcript.audio}: ", "json": "", "ctm": ""}.get(kind, f"==> {transcript.audio} <==\n")
    gap = "" if kind in _JOINED or not several else "\n"
    return f"{name if several else ''}{FORMATS[kind](transcript)}{gap}"


if __name__ == "__main__":
    main()

"""Write down what is said in audio files: text, subtitles, or words with times."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads, choose_devices, make_decoder
from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.transcription.batches import in_order
from speechlstm.transcription.formats import FORMATS, find_format
from speechlstm.transcription.inputs import find, output_paths
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, UsageError, report_failures

_Results = Iterator[tuple[int, Transcript | AudioError | None]]  # None: written already

_USAGE = "usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]"


@configs.main("transcribe")
def main(cfg: DictConfig) -> int:
    """Transcribe `cfg.inputs`. Exit status 3 when some of them failed, 1 when all did."""
    inputs = configs.inputs(cfg)
    if not inputs:
        raise UsageError(f"no audio given; {_USAGE}")
    suffix = find_format(cfg.format, FORMATS)
    where = choose_devices(cfg.trainer)
    recordings, problems = find(inputs)
    given = len(recordings) + len(problems)
    outputs = None
    if cfg.out is not None:
        folder = Path(str(cfg.out)).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"out={cfg.out} is a file, but must be a folder for the transcripts")
        outputs = output_paths(recordings, folder, suffix)
        if not cfg.overwrite:
            left = [pair for pair in zip(recordings, outputs, strict=True) if not pair[1].exists()]
            if where.is_first:
                print(f"{len(recordings) - len(left)} of {len(recordings)} done before", file=sys.stderr)
            recordings, outputs = [recording for recording, _ in left], [path for _, path in left]
    failed = len(problems)
    for problem in problems if where.is_first else ():
        print(f"failed: {problem}", file=sys.stderr)
    if not recordings:
        return report_failures(failed, given) if where.is_first else 0
    bundle = speechlstm.load(cfg.bundle, device=where.device, precision=where.precision)
    decoder = make_decoder(cfg, bundle)
    with where.share((recordings, outputs)) as (recordings, outputs):
        paths = [recording.path for recording in recordings]
        results: _Results = transcribe(
            bundle, decoder, paths, cfg.batch_seconds, batch_threads(cfg.threads), where.claim
        )
        if outputs is not None:
            results = _written(results, outputs, FORMATS[suffix])
        merged = where.merge(results, len(recordings), "transcribing", "file")
        for result in in_order(merged) if outputs is None else (each for _, each in merged):
            if isinstance(result, AudioError):
                progress.write(f"failed: {result}", sys.stderr)
                failed += 1
            elif result is not None:
                name = f"{result.audio}: " if suffix == "txt" and given > 1 else ""
                progress.write(name + FORMATS[suffix](result), sys.stdout, end="")
    return report_failures(failed, given) if where.is_first else 0


def _written(results: _Results, outputs: list[Path], render: Callable[[Transcript], str]) -> _Results:
    """Write each transcript as soon as it is there, and pass on what could not be heard."""
    for index, result in results:
        if isinstance(result, Transcript):
            write_atomically(outputs[index], render(result))
            result = None
        yield index, result


if __name__ == "__main__":
    main()

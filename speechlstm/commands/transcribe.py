"""Write down what is said in audio files: text, subtitles, or words with times."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

import speechlstm
from speechlstm import configs
from speechlstm.arguments import take_inputs
from speechlstm.errors import AudioError, UsageError, report_failures
from speechlstm.manifest import write_atomically
from speechlstm.transcriber import Recording, find, in_order, output_paths, transcribe
from speechlstm.transcript import FORMATS, find_format
from speechlstm.types import Transcript

_USAGE = "usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]"


def main() -> None:
    """Run the command on `sys.argv`, whose plain file names become one `inputs=[...]` override first."""
    take_inputs()
    run()


@configs.main("transcribe")
def run(cfg: DictConfig) -> int:
    """Transcribe `cfg.inputs`. Exit status 3 when some of them failed, 1 when all did."""
    if not cfg.inputs:
        raise UsageError(f"no audio given; {_USAGE}")
    suffix = find_format(cfg.format, FORMATS)
    recordings, problems = find([str(path) for path in cfg.inputs])
    given = len(recordings) + len(problems)
    outputs = None
    if cfg.out is not None:
        folder = Path(str(cfg.out)).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"out={cfg.out} is a file, but must be a folder for the transcripts")
        outputs = output_paths(recordings, folder, suffix)
        if not cfg.overwrite:
            left = [pair for pair in zip(recordings, outputs, strict=True) if not pair[1].exists()]
            print(f"{len(recordings) - len(left)} of {len(recordings)} done before", file=sys.stderr)
            recordings, outputs = [recording for recording, _ in left], [path for _, path in left]
    results = _results(cfg, recordings) if recordings else iter(())
    failed = len(problems)
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    for index, result in tqdm(results, "transcribing", len(recordings), unit="file", disable=None):
        if isinstance(result, AudioError):
            tqdm.write(f"failed: {result}", sys.stderr)
            failed += 1
        elif outputs is not None:
            write_atomically(outputs[index], FORMATS[suffix](result))
        else:
            name = f"{result.audio}: " if suffix == "txt" and given > 1 else ""
            tqdm.write(name + FORMATS[suffix](result), sys.stdout, end="")
    return report_failures(failed, given)


def _results(cfg: DictConfig, recordings: list[Recording]) -> Iterable[tuple[int, Transcript | AudioError]]:
    """Load the recogniser and start: results come when they are done, or in order if they are printed."""
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    paths = [recording.path for recording in recordings]
    decoder = configs.build(cfg.decoder, tokenizer=bundle.tokenizer)
    results = transcribe(bundle, decoder, paths, cfg.batch_seconds, cfg.threads)
    return results if cfg.out is not None else enumerate(in_order(results))


if __name__ == "__main__":
    main()

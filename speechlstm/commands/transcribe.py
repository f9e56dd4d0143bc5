"""Write down what is said in audio files: text, subtitles, or words with times."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

import speechlstm
from speechlstm import configs
from speechlstm.arguments import with_inputs
from speechlstm.errors import AudioError, UsageError
from speechlstm.manifest import write_atomically
from speechlstm.transcriber import Recording, find, in_order, output_paths, transcribe
from speechlstm.transcript import FORMATS
from speechlstm.types import Transcript

_USAGE = "usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]"
_SOME_FAILED = 3


def main() -> None:
    """Run the command on `sys.argv`, whose plain file names become one `inputs=[...]` override first."""
    # Rewritten in place, so that a process which starts `sys.argv` again gets the same files.
    try:
        sys.argv[1:] = with_inputs(sys.argv[1:])
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    run()


@configs.main("transcribe")
def run(cfg: DictConfig) -> int:
    """Transcribe `cfg.inputs`. Exit status 3 when some of them failed, 1 when all did."""
    if not cfg.inputs:
        raise UsageError(f"no audio given; {_USAGE}")
    suffix = _format(cfg.format)
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
    if failed:
        print(f"{failed} of {given} failed, named above", file=sys.stderr)
    return _SOME_FAILED if 0 < failed < given else failed and 1


def _results(cfg: DictConfig, recordings: list[Recording]) -> Iterable[tuple[int, Transcript | AudioError]]:
    """Load the recogniser and start: results come when they are done, or in order if they are printed."""
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    paths = [recording.path for recording in recordings]
    decoder = configs.build(cfg.decoder, tokenizer=bundle.tokenizer)
    results = transcribe(bundle, decoder, paths, cfg.batch_seconds, cfg.threads)
    return results if cfg.out is not None else enumerate(in_order(results))


def _format(name: str) -> str:
    known = {format.lower(): format for format in FORMATS}
    if str(name).lower() not in known:
        close = difflib.get_close_matches(str(name), FORMATS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"no format {name!r}{hint}; there are: {', '.join(FORMATS)}")
    return known[str(name).lower()]


if __name__ == "__main__":
    main()

"""Find when each word and token of a manifest's known texts is said."""

from __future__ import annotations

import difflib
import sys
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

import speechlstm
from speechlstm import configs
from speechlstm.align import FORMATS, Alignment, align
from speechlstm.arguments import quoted
from speechlstm.errors import SpeechlstmError, UsageError
from speechlstm.manifest import file_names, read_manifest, write_atomically

_SOME_FAILED = 3


def main() -> None:
    """Run the command on `sys.argv`; file names in any script may stand there unquoted."""
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    run()


@configs.main("align")
def run(cfg: DictConfig) -> int:
    """Align `cfg.manifest`. Exit status 3 when some utterances failed, 1 when all did."""
    kind = _format(cfg.format)
    out = Path(str(cfg.out)).expanduser()
    if kind == "ctm" and out.is_dir():
        raise UsageError(f"out={cfg.out} is a folder, but with format=ctm must be a file for all the words")
    if kind != "ctm" and out.exists() and not out.is_dir():
        raise UsageError(f"out={cfg.out} is a file, but must be a folder for a {kind} of each utterance")
    utterances = read_manifest(cfg.manifest)
    names = file_names(utterances)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    results = align(bundle, utterances, cfg.batch_seconds, cfg.threads)
    lines: dict[int, str] = {}
    failed = 0
    for index, result in tqdm(results, "aligning", len(utterances), unit="utterance", disable=None):
        if isinstance(result, SpeechlstmError):
            tqdm.write(f"failed: {result}", sys.stderr)
            failed += 1
        elif kind == "ctm":
            lines[index] = FORMATS[kind](_named(result, names[index]))
        else:
            write_atomically(out / f"{names[index]}.{kind}", FORMATS[kind](result))
    if lines:
        write_atomically(out, "".join(lines[index] for index in sorted(lines)))
    if failed:
        print(f"{failed} of {len(utterances)} failed, named above", file=sys.stderr)
    return _SOME_FAILED if 0 < failed < len(utterances) else failed and 1


def _named(alignment: Alignment, name: str) -> Alignment:
    """Return the alignment as that of a file of this name: a ctm has no other place for an id."""
    return replace(alignment, transcript=replace(alignment.transcript, audio=f"{name}.wav"))


def _format(name: str) -> str:
    known = {format.lower(): format for format in FORMATS}
    if str(name).lower() not in known:
        close = difflib.get_close_matches(str(name), FORMATS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"no format {name!r}{hint}; there are: {', '.join(FORMATS)}")
    return known[str(name).lower()]


if __name__ == "__main__":
    main()

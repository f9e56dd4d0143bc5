"""Find when each word and token of a manifest's known texts is said."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads
from speechlstm.data import progress
from speechlstm.data.files import write_atomically
from speechlstm.data.manifest import file_names, read_manifest
from speechlstm.transcription.align import FORMATS, Alignment, align
from speechlstm.transcription.formats import find_format
from speechlstm.types import SpeechlstmError, UsageError, report_failures


@configs.main("align")
def main(cfg: DictConfig) -> int:
    """Align `cfg.manifest`. Exit status 3 when some utterances failed, 1 when all did."""
    kind = find_format(cfg.format, FORMATS)
    out = Path(str(cfg.out)).expanduser()
    if kind == "ctm" and out.is_dir():
        raise UsageError(f"out={cfg.out} is a folder, but with format=ctm must be a file for all the words")
    if kind != "ctm" and out.exists() and not out.is_dir():
        raise UsageError(f"out={cfg.out} is a file, but must be a folder for a {kind} of each utterance")
    utterances = read_manifest(cfg.manifest)
    names = file_names(utterances)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    results = align(bundle, utterances, cfg.batch_seconds, batch_threads(cfg.threads))
    lines: dict[int, str] = {}
    failed = 0
    for index, result in progress.track(results, "aligning", len(utterances), unit="utterance"):
        if isinstance(result, SpeechlstmError):
            progress.write(f"failed: {result}", sys.stderr)
            failed += 1
        elif kind == "ctm":
            lines[index] = FORMATS[kind](_named(result, names[index]))
        else:
            write_atomically(out / f"{names[index]}.{kind}", FORMATS[kind](result))
    if lines:
        write_atomically(out, "".join(lines[index] for index in sorted(lines)))
    return report_failures(failed, len(utterances))


def _named(alignment: Alignment, name: str) -> Alignment:
    """Return the alignment as that of a file of this name: a ctm has no other place for an id."""
    return replace(
        alignment, transcript=replace(alignment.transcript, audio=f"{name.replace('/', '%2F')}.wav")
    )


if __name__ == "__main__":
    main()

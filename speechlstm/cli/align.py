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
from speechlstm.transcription.formats import find_formats
from speechlstm.types import SpeechlstmError, UsageError, report_failures

_JOINED = ("ctm", "json")  # one file can hold several utterances


@configs.main("align")
def main(cfg: DictConfig) -> int:
    """Align `cfg.manifest`. Exit status 3 when some utterances failed, 1 when all did."""
    out = Path(str(cfg.out)).expanduser()
    kinds, one_file = find_formats(cfg.format, out, FORMATS, "TextGrid")
    if "ctm" in kinds:  # holds all utterances
        if out.is_dir() or len(kinds) > 1:
            raise UsageError(
                f"format=ctm is one file for all the words: name a file, not out={cfg.out}, and no other format"
            )
        one_file = True
    utterances = read_manifest(cfg.manifest)
    if one_file and len(utterances) > 1 and kinds[0] not in _JOINED:
        raise UsageError(
            f"out={cfg.out} is one file, but {cfg.manifest} has {len(utterances)} utterances: "
            "name a folder for a file of each"
        )
    names = file_names(utterances)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    results = align(bundle, utterances, cfg.batch_seconds, batch_threads(cfg.threads))
    joined: dict[int, str] = {}
    failed = 0
    for index, result in progress.track(results, "aligning", len(utterances), unit="utterance"):
        if isinstance(result, SpeechlstmError):
            progress.write(f"failed: {result}", sys.stderr)
            failed += 1
        elif one_file:
            joined[index] = FORMATS[kinds[0]](_named(result, names[index]) if kinds == ["ctm"] else result)
        else:
            for kind in kinds:
                write_atomically(out / f"{names[index]}.{kind}", FORMATS[kind](result))
    if joined:
        write_atomically(out, "".join(joined[index] for index in sorted(joined)))
    return report_failures(failed, len(utterances))


def _named(alignment: Alignment, name: str) -> Alignment:
    """Return the alignment as that of a file of this name: a ctm has no other place for an id."""
    return replace(
        alignment, transcript=replace(alignment.transcript, audio=f"{name.replace('/', '%2F')}.wav")
    )


if __name__ == "__main__":
    main()

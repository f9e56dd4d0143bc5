"""Align the texts of a manifest with its audio: the time of each word and token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads
from speechlstm.data import progress
from speechlstm.data.audio import holder
from speechlstm.data.files import Outputs, is_folder, write_atomically
from speechlstm.data.manifest import file_names, read_usable
from speechlstm.transcription.align import FORMATS, Alignment, align
from speechlstm.transcription.formats import find_formats
from speechlstm.types import SpeechlstmError, UsageError, report_failures

_JOINED = ("ctm", "json")  # one file can hold several utterances


@configs.main("align")
def main(cfg: DictConfig) -> int:
    """Align `cfg.manifest`. Exit status 3 when some utterances failed, 1 when all did."""
    out = Path(str(cfg.out)).expanduser()
    kinds, one_file = find_formats(cfg.format, str(cfg.out), FORMATS, "TextGrid")
    if "ctm" in kinds:  # holds all utterances
        if is_folder(cfg.out) or len(kinds) > 1:
            raise UsageError(
                f"format=ctm is one file for all the words: name a file, not out={cfg.out}, and no other format"
            )
        one_file = True
    utterances, bad = read_usable(cfg.manifest)
    if one_file and len(utterances) > 1 and kinds[0] not in _JOINED:
        raise UsageError(
            f"out={cfg.out} is one file, but {cfg.manifest} has {len(utterances)} utterances: "
            "name a folder for a file of each"
        )
    outputs = Outputs(
        [*configs.reads(cfg), *(holder(each.audio_filepath) for each in utterances)], cfg.overwrite
    )
    if one_file:
        outputs.check(out)
    names = file_names(utterances)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    results = align(bundle, utterances, cfg.batch_seconds, batch_threads(cfg.threads), cfg.strict_audio)
    joined: dict[int, str] = {}
    failed = bad
    for index, result in progress.track(results, "aligning", len(utterances), unit="utterance"):
        try:
            if isinstance(result, SpeechlstmError):
                raise result
            progress.warn(names[index], result.transcript.warnings)
            if one_file:
                joined[index] = FORMATS[kinds[0]](
                    _named(result, names[index]) if kinds == ["ctm"] else result
                )
            else:
                for kind in kinds:
                    outputs.write(out / f"{names[index]}.{kind}", FORMATS[kind](result))
            if result.missing:
                raise SpeechlstmError(
                    f"{names[index]}: no speech for the end of the text: {' '.join(result.missing)}"
                )
        except SpeechlstmError as error:
            progress.fail(error)
            failed += 1
    if joined:
        write_atomically(out, "".join(joined[index] for index in sorted(joined)))
    return report_failures(failed, len(utterances) + bad)


def _named(alignment: Alignment, name: str) -> Alignment:
    """Return the alignment as that of a file of this name: a ctm has no other place for an id."""
    return replace(
        alignment, transcript=replace(alignment.transcript, audio=f"{name.replace('/', '%2F')}.wav")
    )

"""Align known texts with their audio: the time of each word and token."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import batch_threads
from speechlstm.data import progress
from speechlstm.data.audio import Piped, audio_name, holders, is_pipe, is_stdin
from speechlstm.data.files import Outputs, is_folder, write_atomically
from speechlstm.data.lines import STDIN, read_lines
from speechlstm.data.manifest import file_names, read_usable
from speechlstm.data.names import expanded
from speechlstm.transcription.align import FORMATS, Alignment, align
from speechlstm.transcription.formats import find_formats
from speechlstm.types import SpeechlstmError, UsageError, Utterance, report_failures

_JOINED = ("ctm", "json")  # one file can hold several utterances
_SHOWN = 5  # places that a message names
_ENDS = 40  # characters that it shows of a long text at either end


@configs.main("align")
def main(cfg: DictConfig) -> int:
    """Align `cfg.manifest`, or `cfg.audio`. Exit status 3 when some utterances failed, 1 when all did."""
    out = expanded(cfg.out)
    kinds, one_file = find_formats(cfg.format, str(cfg.out), FORMATS, "TextGrid")
    if "ctm" in kinds:  # holds all utterances
        if is_folder(cfg.out) or len(kinds) > 1:
            raise UsageError(
                f"format=ctm is one file for all the words: name a file, not out={cfg.out}, and no other format"
            )
        one_file = True
    utterances, bad = _given(cfg)
    if one_file and len(utterances) > 1 and kinds[0] not in _JOINED:
        raise UsageError(
            f"out={cfg.out} is one file, but {cfg.manifest} has {len(utterances)} utterances: "
            "name a folder for a file of each"
        )
    outputs = Outputs([*configs.reads(cfg), *holders(utterances)], cfg.overwrite)
    if one_file:
        outputs.check(out)
    names = file_names(utterances)
    bundle = speechlstm.load(cfg.bundle, device=cfg.device)
    inputs = utterances if cfg.manifest else [(each.audio_filepath, each.text) for each in utterances]
    results = align(bundle, inputs, cfg.batch_seconds, batch_threads(cfg.threads), cfg.strict_audio)
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
            _report(names[index], result)
        except SpeechlstmError as error:
            progress.fail(error)
            failed += 1
    if joined:
        write_atomically(out, "".join(joined[index] for index in sorted(joined)))
    return report_failures(failed, len(utterances) + bad)


def _given(cfg: DictConfig) -> tuple[list[Utterance], int]:
    """Return what is to be aligned, and how many lines of the manifest cannot be used.

    Raises:
        UsageError: neither a manifest nor a recording with its text is set, or both.
        SpeechlstmError: the manifest or the text cannot be read.
    """
    keys = [key for key in ("manifest", "audio", "text") if cfg[key] is not None]
    if keys == ["manifest"]:
        return read_usable(cfg.manifest)
    if keys != ["audio", "text"]:
        raise UsageError(
            f"{' and '.join(keys)} {'is' if len(keys) == 1 else 'are'} set, but must be manifest=, or audio= and text="
            if keys
            else "nothing to align: set manifest=FILE, or audio=FILE and text=FILE"
        )
    audio, file = (str(expanded(cfg[key])) for key in keys)
    if is_stdin(audio) and is_stdin(file):
        raise UsageError("audio and text are both the standard input: name a file for one of them")
    if is_stdin(file) and os.isatty(0):
        raise UsageError(f"text={file}: the standard input is a terminal; pipe the text into the command")
    text = " ".join(line for _, line in read_lines(STDIN if is_stdin(file) else file))
    audio = Piped(audio) if is_pipe(audio) else audio
    return [Utterance(audio, 0.0, text, Path(audio_name(audio)).stem)], 0


def _report(name: str, alignment: Alignment) -> None:
    """Say where text and speech differ.

    Raises:
        SpeechlstmError: there is no speech for a part of the text.
    """
    if alignment.extra:
        spans = [f"{start:.2f} to {end:.2f} s" for start, end in alignment.extra]
        progress.warn(name, [f"speech that is not in the text at {_first(spans)}"])
    if alignment.missing:
        places = [f"{_short(each.text)!r} at {each.at:.2f} s" for each in alignment.missing]
        raise SpeechlstmError(f"{name}: no speech for {_first(places)}")


def _short(text: str) -> str:
    """Return a long text by its ends."""
    return text if len(text) <= 2 * _ENDS else f"{text[:_ENDS]} ... {text[-_ENDS:]}"


def _first(texts: list[str]) -> str:
    """Return the first few of texts for a message."""
    rest = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + rest


def _named(alignment: Alignment, name: str) -> Alignment:
    """Return the alignment as that of a file of this name: a ctm has no other place for an id."""
    return replace(
        alignment, transcript=replace(alignment.transcript, audio=f"{name.replace('/', '%2F')}.wav")
    )

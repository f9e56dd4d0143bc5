"""Transcribe audio files to text, subtitles, or words with times."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import (
    about_the_default,
    batch_threads,
    choose_cluster,
    choose_devices,
    make_decoder,
)
from speechlstm.data import progress
from speechlstm.data.audio import is_pipe, parse_channel
from speechlstm.data.console import printable
from speechlstm.data.files import Outputs, is_stdout, write_atomically
from speechlstm.data.remote import RemotePath, Target, is_url, target
from speechlstm.decoders import Decoder
from speechlstm.transcription.batches import in_order
from speechlstm.transcription.channels import transcribe_each
from speechlstm.transcription.devices import Devices, OneDevice
from speechlstm.transcription.formats import find_formats, recording_name, styled
from speechlstm.transcription.inputs import Recording, find, output_paths, parse_time
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.journal import Journals
from speechlstm.transcription.numbers import with_digits
from speechlstm.transcription.recognizer import Recognizer, transcribe
from speechlstm.transcription.subtitles import Style
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, SpeechlstmError, UsageError, counted, report_failures

_Results = Iterator[tuple[int, Transcript | SpeechlstmError | None]]  # None: written already

_Work = tuple[Recording, tuple[Target, ...]]  # and where its transcripts go

_Formats = dict[str, Callable[[Transcript], str]]

_IRRELEVANT = (
    "inputs",
    "format",
    "out",
    "overwrite",
    "subtitles",
    "text",
    "batch_seconds",
    "threads",
    "debug",
    "executor",
)

_NAMING = ("ctm", "stm", "trn")  # each line has the name of its recording, without folders

_JOINED = ("txt", "json", *_NAMING)  # one file can hold several recordings


@configs.main("transcribe")
def main(cfg: DictConfig) -> int:
    """Transcribe the inputs. Exit status 3 when some of them failed, 1 when all did."""
    if not (inputs := configs.inputs(cfg)):
        raise UsageError("no audio given; usage: speechlstm transcribe FILE|FOLDER ... [KEY=VALUE ...]")
    out = None if cfg.out is None else target(str(cfg.out))
    formats = styled(Style(**cfg.subtitles))
    kinds, one_file = find_formats(cfg.format, None if out is None else str(cfg.out), formats, "txt")
    channel = parse_channel(cfg.channel)
    number = None if channel is None or channel == "each" else int(channel)
    start, duration = parse_time("start", cfg.start) or 0.0, parse_time("duration", cfg.duration)
    where = choose_devices(cfg.trainer)
    _check_fit(cfg, where, channel == "each", any(map(is_pipe, inputs)))
    recordings, problems, notes = find(inputs)
    if kinds[0] in _NAMING and (out is None or one_file):
        recordings.sort(key=lambda each: recording_name(each.path))  # as `sclite` demands
        notes += _alike(recordings)
    given = len(recordings) + len(problems)
    if one_file and given > 1 and kinds[0] not in _JOINED:
        raise UsageError(
            f"out={out} is one file, but {given} recordings are given: name a folder for a file of each"
        )
    outputs = Outputs([*configs.reads(cfg), *(recording.path for recording in recordings)], cfg.overwrite)
    work: list[_Work] = [(recording, ()) for recording in recordings]
    if out is not None and one_file:
        outputs.check(out)
    elif out is not None:
        paths = zip(*(output_paths(recordings, out, kind) for kind in kinds), strict=True)
        work = _left(list(zip(recordings, paths, strict=True)), out, cfg.overwrite, where.is_first)
    failed = len(problems)
    if where.is_first:
        _report([*about_the_default(cfg.bundle), *notes], problems)
    if not work:
        return report_failures(failed, given) if where.is_first else 0
    bundle = speechlstm.load(cfg.bundle, device=where.device, precision=where.precision, runtime=cfg.runtime)
    decoder = make_decoder(cfg, bundle)
    joined: list[str] = []
    cluster = choose_cluster(cfg, bundle, where, channel == "each")
    with where.share(work) as work, cluster or contextlib.nullcontext():
        parts = [Part(each.path, start, duration, number, cfg.track) for each, _ in work]
        apart = out is not None and not one_file
        journals = _journals(cfg, work, out, bundle.path, apart or isinstance(where, OneDevice))
        found = cluster.transcribe(parts) if cluster else _here(cfg, bundle, decoder, parts, where, journals)
        results = _warned(found, cfg.text.itn)
        if apart:
            results = _written(results, work, outputs, formats, journals)
        merged = where.merge(results, len(work), "transcribing", "file")
        for result in (each for _, each in merged) if apart else in_order(merged):
            if isinstance(result, SpeechlstmError):
                progress.fail(result)
                failed += 1
            elif result is not None:
                text = _headed(result, kinds[0], formats, given > 1)
                progress.write(text, sys.stdout, end="") if out is None else joined.append(text)
    if out is not None and joined:
        outputs.write(out, "".join(joined)) if isinstance(out, RemotePath) else write_atomically(
            out, "".join(joined)
        )
    for recording in () if apart else recordings:
        journals.remove(recording.path)
    return report_failures(failed, given) if where.is_first else 0


def _alike(recordings: list[Recording]) -> list[str]:
    """Return a note if what stands in one file, under the names that scorers expect, can no longer be told apart."""
    counts = Counter(recording_name(each.path) for each in recordings)
    alike = [name for name, count in counts.items() if count > 1]
    if not alike:
        return []
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    advice = "rename them, or write each to a file of its own with out=FOLDER"
    return [f"{counts[alike[0]]} recordings have the name {alike[0]!r} in the output{more}; {advice}"]


def _check_fit(cfg: DictConfig, where: Devices, channels: bool, pipes: bool) -> None:
    """Raise a UsageError if the devices, the executor, and the inputs do not go together."""
    if not isinstance(where, OneDevice) and (channels or pipes):
        raise UsageError("channel=each and pipes are for one device: add trainer.devices=1")
    if cfg.executor.name == "ray" and pipes:
        raise UsageError("executor=ray takes no pipes: write what comes from them to files first")


def _here(
    cfg: DictConfig,
    bundle: Recognizer,
    decoder: Decoder,
    parts: list[Part],
    where: Devices,
    journals: Journals,
) -> _Results:
    """Transcribe on the devices of this process."""
    each = transcribe_each if cfg.channel == "each" else transcribe
    options = (cfg.batch_seconds, batch_threads(cfg.threads), where.claim, cfg.strict_audio, journals)
    yield from each(bundle, decoder, parts, *options)


def _report(notes: list[str], problems: list[AudioError]) -> None:
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    for problem in problems:
        progress.fail(problem)


def _warned(results: _Results, itn: str | None) -> _Results:
    """Pass on the results, numbers as digits in that language, and say what of their audio is missing."""
    for index, result in results:
        if isinstance(result, Transcript):
            progress.warn(result.audio, result.warnings)
            result = with_digits(result, itn) if itn else result
        yield index, result


def _journals(cfg: DictConfig, work: list[_Work], out: Target | None, bundle: Path, known: bool) -> Journals:
    """Return the journals of local recordings that become local files, if it is `known` when they are written."""
    targets: dict[str, Path] = {}
    for each, paths in work if known and not is_stdout(out) else ():
        place = paths[0] if paths else out
        if isinstance(place, Path) and not is_url(
            each.path
        ):  # nobody tells whether what is at a URL has changed
            targets[each.path] = place
    relevant = str({key: value for key, value in cfg.items() if key not in _IRRELEVANT})
    return Journals(targets, relevant, [*configs.reads(cfg), *sorted(bundle.rglob("*"))])


def _left(work: list[_Work], out: Target, overwrite: bool, speaks: bool) -> list[_Work]:
    """Return what is left to do: a transcript that is there stays as it is, unless all are to be written anew."""
    if overwrite:
        return work
    listed = out.files() if isinstance(out, RemotePath) else {}  # at once: a store is asked over the network

    left: list[_Work] = []
    for each, paths in work:
        missing = tuple(
            path for path in paths if not isinstance(path, RemotePath) or path.path() not in listed
        )
        if missing and not all(isinstance(path, Path) and path.is_file() for path in missing):
            left.append((each, missing))
    if speaks and len(left) < len(work):
        there = f"{len(work) - len(left)} of {counted(len(work), 'transcript')} there already"
        print(f"{there}; overwrite=true writes them again", file=sys.stderr)
    return left


def _written(
    results: _Results, work: list[_Work], outputs: Outputs, formats: _Formats, journals: Journals
) -> _Results:
    """Write each transcript as soon as it is there, and pass on what has failed."""
    for index, result in results:
        if isinstance(result, Transcript):
            try:
                for path in work[index][1]:
                    outputs.write(path, formats[path.suffix[1:]](result))
                result = None
            except SpeechlstmError as error:
                result = error
        if result is None or isinstance(result, AudioError):  # else what is done waits for room on the disk
            journals.remove(work[index][0].path)
        yield index, result


def _headed(transcript: Transcript, kind: str, formats: _Formats, several: bool) -> str:
    """Return a transcript as it stands among others: formats without the name of the recording get a heading."""
    name = printable(transcript.audio)
    name = f"{name}: " if kind == "txt" else "" if kind in _JOINED else f"==> {name} <==\n"
    gap = "" if kind in _JOINED or not several else "\n"
    return f"{name if several else ''}{formats[kind](transcript)}{gap}"

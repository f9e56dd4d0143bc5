"""Show the gates and the memory of a network on a recording, as a page with pictures."""

from __future__ import annotations

import sys

from omegaconf import DictConfig

from speechlstm import configs
from speechlstm.cli.devices import make_decoder
from speechlstm.configs.arguments import as_typed, given_keys
from speechlstm.configs.folders import conf_flags
from speechlstm.data import progress
from speechlstm.data.console import printable
from speechlstm.data.files import Outputs, folder_path
from speechlstm.evaluation.plots import check_plots
from speechlstm.study.inspect import checkpoint, figures
from speechlstm.study.inspect.observe import observe
from speechlstm.study.inspect.page import choose, render
from speechlstm.transcription.inputs import find, output_paths
from speechlstm.types import OutputError, SpeechlstmError, UsageError, report_failures

_OWN = ("inputs", "text", "offset", "duration")  # settings that are of one recording, or one part of it
_USAGE = "usage: speechlstm inspect FILE|FOLDER ... [KEY=VALUE ...]"


@configs.main("inspect")
def main(cfg: DictConfig) -> int:
    """Write a page for each of `cfg.inputs`. Exit status 3 when some of them failed, 1 when all did."""
    inputs = configs.inputs(cfg)
    if not inputs:
        raise UsageError(f"no audio given; {_USAGE}")
    if cfg.png:
        check_plots(", or leave them out with png=false")  # now, not after the work
    folder = folder_path(cfg.out, "a folder for the pages")
    recordings, problems, notes = find(inputs)
    given = len(recordings) + len(problems)
    if cfg.text is not None and given > 1:
        raise UsageError(f"text= is of one recording, but {given} are given")
    outputs = Outputs([*configs.reads(cfg), *(recording.path for recording in recordings)], cfg.overwrite)
    pages = output_paths(recordings, folder, "html")
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    for problem in problems:
        progress.fail(problem)
    failed = len(problems)
    if recordings:
        bundle = checkpoint.load(cfg.bundle)
        decoder = make_decoder(cfg, bundle)
    work, shared = zip(recordings, pages, strict=True), _shared()
    for recording, page in progress.track(work, "inspecting", len(recordings), unit="recording"):
        try:
            outputs.check(page)  # now, not after the work
            seen = observe(
                bundle, recording.path, decoder, cfg.text, cfg.offset, cfg.duration, cfg.strict_audio
            )
            progress.warn(seen.transcript.audio, seen.transcript.warnings)
            index = choose(seen, cfg.layer, cfg.direction)
            outputs.write(page, render(seen, cfg.layer, cfg.direction, shared))
            if cfg.png:
                outputs.write(page.with_suffix(".png"), figures.draw_signals(seen, index))
                outputs.write(page.with_name(f"{page.stem}-memory.png"), figures.draw_memory(seen, index))
        except SpeechlstmError as error:
            if isinstance(error, UsageError) and not isinstance(error, OutputError):
                raise
            progress.fail(error)
            failed += 1
            continue
        if seen.overview is not None and cfg.duration is None:
            shown = f"{seen.offset:g} to {seen.offset + seen.seconds:g} s of {seen.recording_seconds:.0f} s"
            hint = "on the page you can choose another part"
            progress.write(f"{printable(seen.transcript.audio)}: showing {shown}; {hint}", sys.stderr)
        progress.write(str(page), sys.stdout)
    return report_failures(failed, given)


def _shared() -> list[str]:
    """Return the arguments of this command that are also meant for another part of a recording."""
    given = configs.task_overrides()
    kept = [each for each, key in zip(given, given_keys(given), strict=True) if key not in _OWN]
    return [*conf_flags(sys.argv[1:]), *map(as_typed, kept)]

"""Transcribe live speech from a microphone or a pipe, as it is spoken."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict

import torch
from omegaconf import DictConfig

import speechlstm
from speechlstm import configs
from speechlstm.cli.devices import about_the_default, choose_devices, make_decoder
from speechlstm.transcription.devices import OneDevice
from speechlstm.transcription.formats import find_format
from speechlstm.transcription.live import Stream, Update
from speechlstm.transcription.sound import from_microphone, from_pipe, list_microphones
from speechlstm.types import SpeechlstmError, UsageError


@configs.main("live")
def main(cfg: DictConfig) -> int:
    """Print what is spoken, until the pipe ends or the command is stopped."""
    if cfg.devices:
        print("\n".join(list_microphones()) or "no microphone")
        return 0
    inputs, kind = configs.inputs(cfg), find_format(cfg.format, ("txt", "json"))
    if inputs not in ([], ["-"]):
        raise UsageError(
            f"live reads a microphone, or with - the standard input, not {inputs[0]}: speechlstm transcribe reads files"
        )
    where = choose_devices(cfg.trainer)
    if not isinstance(where, OneDevice):
        raise UsageError("live is for one device: add trainer.devices=1")
    model = speechlstm.load(cfg.bundle, device=where.device, precision=where.precision, runtime=cfg.runtime)
    stream = Stream(model, make_decoder(cfg, model), cfg.step, cfg.pause)
    torch.set_num_threads(1)  # the steps of an LSTM are too small to be shared
    if inputs:
        blocks = from_pipe(sys.stdin.buffer, cfg.rate, cfg.channels, model.sample_rate)
    else:
        blocks = from_microphone(cfg.device, model.sample_rate)
        print("listening; Ctrl-C ends it", file=sys.stderr)
    for note in about_the_default(cfg.bundle):
        print(f"note: {note}", file=sys.stderr)
    show = _json if kind == "json" else _Text()
    try:
        # Closed here, or nanobind reports soxr's objects as leaks if the reader goes away.
        with contextlib.closing(blocks):
            for block in blocks:
                for update in stream.accept(block):
                    show(update)
    except (KeyboardInterrupt, SpeechlstmError):  # what was spoken is not lost
        show(stream.finish())
        raise
    show(stream.finish())
    return 0


def _json(update: Update) -> None:
    line = asdict(update) | {
        "time": round(update.time, 3),
        "words": [
            asdict(word) | {"start": round(word.start, 3), "end": round(word.end, 3)} for word in update.words
        ],
    }
    print(json.dumps(line, ensure_ascii=False), flush=True)


class _Text:
    """Prints a line for each stretch between pauses; on a terminal, what is not final yet stands below it."""

    def __init__(self) -> None:
        self.line: list[str] = []
        self.shown = sys.stderr.isatty()

    def __call__(self, update: Update) -> None:
        """Print what is new."""
        self.line += [word.text for word in update.words]
        if self.shown:
            partial = " ".join([*self.line, update.partial])[-78:]
            print(f"\r\x1b[K{partial}", end="", file=sys.stderr, flush=True)
        if update.endpoint and self.line:
            if self.shown:
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            print(" ".join(self.line), flush=True)
            self.line = []

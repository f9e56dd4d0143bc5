"""Transcribe files, or the samples that ship with the package, and show each word's time and confidence."""

from __future__ import annotations

import sys
from pathlib import Path

import speechlstm
from speechlstm.types import AudioError, SpeechlstmError

_SOME_FAILED = 3
_SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


def main(arguments: list[str]) -> int:
    """Print the transcripts. Exit status 3 when some files failed, 1 when all did."""
    bundles = [argument for argument in arguments if argument.startswith("bundle=")]
    files = [Path(argument) for argument in arguments if argument not in bundles]
    files = files or sorted(_SAMPLES.glob("*.flac"))
    recognizer = speechlstm.load(bundles[-1].partition("=")[2] if bundles else None)
    failed = 0
    for path in files:
        try:
            transcript = recognizer.transcribe(path)
        except AudioError as error:
            print(f"failed: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{path.name}, {transcript.duration:.1f} s: {transcript.text or '(no words recognized)'}")
        for word in transcript.words:
            print(f"  {word.start:6.2f} to {word.end:5.2f} s  {word.confidence:4.0%}  {word.text}")
        print()
    command = Path(sys.prefix) / "bin" / "speechlstm"
    command = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    print("Try next:")
    print(f"  {command} transcribe FILE format=srt     # or a folder; also txt, json, vtt, ctm, TextGrid")
    print(
        f"  {command} prepare corpus=text_files root=FOLDER out=data/mine   # your recordings and their .txt"
    )
    print(f"  {command} train data.train=data/mine/train.jsonl data.dev=data/mine/dev.jsonl")
    return _SOME_FAILED if 0 < failed < len(files) else failed and 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpeechlstmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)

"""Transcribe files, or the samples that ship with the small and the English model."""

from __future__ import annotations

import sys
from pathlib import Path

import speechlstm
from speechlstm.types import AudioError, SpeechlstmError

_SOME_FAILED = 3
_SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
_ENGLISH = Path(__file__).resolve().parents[1] / "plugins" / "speechlstm-english"


def main(arguments: list[str]) -> int:
    """Print the transcripts. Exit status 3 when some files failed, 1 when all did."""
    bundles = [argument.partition("=")[2] for argument in arguments if argument.startswith("bundle=")]
    bundle = bundles[-1] if bundles else None
    files = [Path(argument) for argument in arguments if not argument.startswith("bundle=")]
    if files:
        failed = _show(speechlstm.load(bundle), files)
    else:
        print("The small model, which knows letters, numbers, and a few commands:\n")
        files = sorted(_SAMPLES.glob("*.flac"))
        failed = _show(speechlstm.load(bundle or "small"), files)
        if bundle is None:
            print("The English model (pip install -e plugins/speechlstm-english makes it the default):\n")
            sentences = sorted((_ENGLISH / "samples").glob("*.flac"))
            failed += _show(speechlstm.load(_ENGLISH / "speechlstm_english"), sentences)
            files += sentences
    command = Path(sys.prefix) / "bin" / "speechlstm"
    command = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    print("Try next:")
    print(f"  {command} transcribe FILE format=srt     # or a folder; also txt, json, vtt, ctm, TextGrid")
    print(
        f"  {command} prepare corpus=text_files root=FOLDER out=data/mine   # your recordings and their .txt"
    )
    print(f"  {command} train data.train=data/mine/train.jsonl data.dev=data/mine/dev.jsonl")
    return _SOME_FAILED if 0 < failed < len(files) else min(failed, 1)


def _show(recognizer: speechlstm.Recognizer, files: list[Path]) -> int:
    """Print each transcript with its words' times and confidences; return how many files failed."""
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
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SpeechlstmError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)

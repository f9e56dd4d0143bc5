"""Audio that is damaged: every command that uses it says what is missing, or refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from warm import Server

COMMANDS = {
    "evaluate": ["manifest=m.jsonl", "out=o.jsonl"],
    "evaluate with a report": ["manifest=m.jsonl", "report=o.html"],
    "align": ["manifest=m.jsonl", "out=o"],
    "tune": ["manifest=m.jsonl", "decoder=beam", "trials=1", "on_training_data=true", "cache=kept", "out=o.yaml"],
    "inspect": ["cut.wav", "stop.flac", "png=false", "out=o"],
}  # fmt: skip


@pytest.fixture
def damaged(work: Path) -> Path:
    """Return a folder with a recording that ends before its header says, and a good one."""
    samples, rate = soundfile.read(work / "number.flac", dtype="int16")
    soundfile.write(work / "cut.wav", samples, rate)
    content = (work / "cut.wav").read_bytes()
    (work / "cut.wav").write_bytes(content[:-rate])  # half a second
    lines = [
        {
            "audio_filepath": "cut.wav",
            "duration": len(samples) / rate,
            "text": "four one two five five oh one",
            "id": "cut",
        },
        {"audio_filepath": "stop.flac", "duration": 1.18, "text": "stop", "id": "stop"},
    ]
    (work / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return work


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_missing_is_said(command: str, warm: Server, damaged: Path) -> None:
    name = command.split()[0]
    for _ in range(2):  # what was computed once and kept is no whole recording either
        ended = warm.run(damaged, name, *COMMANDS[command], "overwrite=true")
        warnings = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
        assert ended.status == 0 and len(warnings) == 1
        assert warnings[0].startswith("warning: cut") and "0.50 s missing at 2.1 s" in warnings[0]
    ended = warm.run(damaged, name, *COMMANDS[command], "strict_audio=true", "overwrite=true")
    assert ended.status == 3
    assert "cut.wav: damaged or truncated, 0.50 s missing at 2.1 s" in ended.err
    assert "warning" not in ended.err


def test_control_characters_of_names_break_no_line(warm: Server, work: Path) -> None:
    names = ["a\nb.flac", "c\x1b[2J.flac"]
    for name in names:
        (work / name).write_bytes((work / "stop.flac").read_bytes())
    (work / "no\rsound.flac").write_bytes(b"fLaC")
    for kind, heads in (
        ("srt", ("==> a\\nb.flac <==", "==> c\\x1b[2J.flac <==")),
        ("txt", ("a\\nb.flac: ", "c\\x1b[2J.flac: ")),
    ):
        ended = warm.run(work, "transcribe", *names, "no\rsound.flac", f"format={kind}")
        assert ended.status == 3
        for head in heads:
            assert any(line.startswith(head) for line in ended.out.splitlines())
        assert any(line.startswith("failed: no\\rsound.flac: ") for line in ended.err.splitlines())
        assert not set("\x1b\r") & set(ended.out + ended.err)

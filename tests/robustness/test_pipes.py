"""Audio through pipes: as good as the file it was, and named when it is no audio."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from warm import Server

import speechlstm

NUMBER = Path(speechlstm.__file__).parent / "data/samples/number.flac"
WORDS = "four one two five five one nine\n"


def encoded(ending: str, tmp_path: Path) -> bytes:
    soundfile.write(tmp_path / f"a.{ending}", *soundfile.read(NUMBER, dtype="float32"))
    return (tmp_path / f"a.{ending}").read_bytes()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_the_standard_input_is_transcribed(ending: str, warm: Server, work: Path, tmp_path: Path) -> None:
    ended = warm.run(work, "transcribe", "-", stdin=encoded(ending, tmp_path))
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.split()[-2:] == ["one", "nine"]


def test_a_header_of_unknown_length(warm: Server, work: Path, tmp_path: Path) -> None:
    content = bytearray(encoded("wav", tmp_path))
    place = content.find(b"data") + 4
    content[4:8] = content[place : place + 4] = b"\xff" * 4  # as ffmpeg writes to a pipe
    ended = warm.run(work, "transcribe", "-", stdin=bytes(content))
    assert (ended.status, ended.out, ended.err) == (0, WORDS, "")


def test_outputs_are_as_for_files(warm: Server, work: Path) -> None:
    content = NUMBER.read_bytes()
    assert warm.run(work, "transcribe", "-", "out=o", "format=srt,json", stdin=content).status == 0
    assert sorted(path.name for path in (work / "o").iterdir()) == ["stdin.json", "stdin.srt"]
    assert json.loads((work / "o/stdin.json").read_text())["audio"] == "stdin"
    assert warm.run(work, "transcribe", "-", "out=talk.vtt", stdin=content).status == 0
    assert (work / "talk.vtt").read_text().startswith("WEBVTT")
    ended = warm.run(work, "transcribe", "-", "stop.flac", "gone.wav", "channel=each", stdin=content)
    assert (ended.status, ended.out) == (3, f"stdin: {WORDS}stop.flac: stop\n")
    assert "gone.wav: no such file" in ended.err and "stdin" not in ended.err


def aligned(folder: Path) -> list[tuple[str, float]]:
    """Return the words of an alignment and when they begin."""
    return [(word["text"], word["start"]) for word in json.loads((folder / "a.json").read_text())["words"]]


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_audio_or_text_to_align_is_read_from_the_standard_input(name: str, warm: Server, work: Path) -> None:
    text = "four one two five\nfive one nine\n"
    (work / "number.txt").write_text(text)
    assert warm.run(work, "align", "audio=number.flac", "text=number.txt", "out=a.json").err == ""
    words = aligned(work)
    assert [word for word, _ in words] == text.split()
    for key, other, content in (
        ("audio", "text=number.txt", NUMBER.read_bytes()),
        ("text", "audio=number.flac", text.encode()),
        ("text", "audio=number.flac", text.encode("utf-16")),
    ):
        (work / "a.json").unlink()
        ended = warm.run(work, "align", f"{key}={name}", other, "out=a.json", stdin=content)
        assert (ended.status, ended.out, ended.err) == (0, "", "")
        assert aligned(work) == words
    assert (
        warm.run(work, "align", f"audio={name}", "text=number.txt", "out=o", stdin=NUMBER.read_bytes()).status
        == 0
    )
    assert [path.name for path in (work / "o").iterdir()] == ["stdin.TextGrid"]


@pytest.mark.parametrize(
    ("settings", "content", "status", "message"),
    [
        (["audio=-", "text=-"], b"", 2, "error: audio and text are both the standard input: name a file for one of"),
        (["audio=-", "text=/dev/stdin"], b"", 2, "error: audio and text are both the standard input"),
        (["audio=-", "text=number.txt"], b"hello\n" * 99, 1, "failed: stdin: not audio in a known format"),
        (["audio=-", "text=number.txt"], b"", 1, "failed: stdin: empty (0 bytes)"),
        (["audio=number.flac", "text=-"], b"", 1, "failed: number.flac: there is no text to align"),
        (["audio=number.flac", "text=-"], b"four\n\xff\n", 1, "error: stdin:2: not UTF-8 text (byte 0xff"),
        (["audio=number.flac", "text=-"], bytes(range(256)) * 9, 1, "error: stdin: not text but binary data"),
    ],
)  # fmt: skip
def test_what_the_standard_input_lacks_for_align_is_named(
    settings: list[str], content: bytes, status: int, message: str, warm: Server, work: Path
) -> None:
    (work / "number.txt").write_text(WORDS)
    ended = warm.run(work, "align", *settings, "out=a.json", stdin=content)
    assert (ended.status, ended.out) == (status, "") and ended.err.startswith(message)
    assert "Traceback" not in ended.err and not (work / "a.json").exists()


def test_it_counts_once_as_a_file_does(warm: Server, work: Path) -> None:
    ended = warm.run(work, "transcribe", "-", "-", stdin=NUMBER.read_bytes())
    assert (ended.status, ended.out, ended.err) == (0, WORDS, "")


def test_what_is_missing_at_the_end_of_live_wav_is_said(warm: Server, work: Path, tmp_path: Path) -> None:
    content = encoded("wav", tmp_path)
    ended = warm.run(work, "live", "-", stdin=content[: len(content) // 2])
    assert ended.status == 0 and ended.err.startswith("warning: standard input: ")
    assert ended.err.endswith(f" s missing at {(len(content) // 2 - 44) / 32_000:.1f} s\n")
    assert warm.run(work, "live", "-", stdin=content).err == ""


def test_what_is_damaged_is_named(warm: Server, work: Path, tmp_path: Path) -> None:
    content = encoded("wav", tmp_path)
    ended = warm.run(work, "transcribe", "-", stdin=content[: len(content) // 2])
    assert ended.status == 0 and ended.err.startswith("warning: stdin: ") and "missing at" in ended.err
    ended = warm.run(work, "transcribe", "-", "strict_audio=true", stdin=content[: len(content) // 2])
    assert ended.status == 1 and ended.err.startswith("failed: stdin: damaged or truncated")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty (0 bytes)"),
        (b"R", "not audio in a known format"),
        (b"hello\n" * 1000, "not audio in a known format"),
        (struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 0),
         "no samples"),
    ],
)  # fmt: skip
def test_what_is_no_audio_is_named(content: bytes, reason: str, warm: Server, work: Path) -> None:
    ended = warm.run(work, "transcribe", "-", "number.flac", stdin=content)
    assert (ended.status, ended.out) == (3, f"number.flac: {WORDS}")
    assert ended.err.startswith(f"failed: stdin: {reason}") and ended.err.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transcribe", "-"], "-: the standard input is a terminal; pipe audio"),
        (["align", "audio=-", "text=text.txt", "out=a.json"], "-: the standard input is a terminal; pipe audio"),
        (["align", "audio=stop.flac", "text=-", "out=a.json"], "text=-: the standard input is a terminal; pipe"),
    ],
)  # fmt: skip
def test_a_terminal_is_not_waited_for(arguments: list[str], message: str, warm: Server, work: Path) -> None:
    master, slave = pty.openpty()
    ended = warm.run(work, *arguments, stdin=os.ttyname(slave))
    os.close(master)
    os.close(slave)
    assert ended.status == 2 and ended.err.startswith(f"error: {message}")
    assert ended.err.count("\n") == 1


def test_a_file_of_that_name_is_given_by_its_folder(warm: Server, work: Path) -> None:
    (work / "-").write_bytes((work / "stop.flac").read_bytes())
    assert warm.run(work, "transcribe", "./-").out == "stop\n"


def test_a_pipe_of_the_shell(work: Path) -> None:
    command = f"{sys.executable} -m speechlstm transcribe <(cat number.flac) stop.flac"
    ended = subprocess.run(["bash", "-c", command], cwd=work, capture_output=True, text=True, check=True)
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("/dev/fd/") and lines[0].endswith(WORDS[:-1])
    assert lines[1:] == ["stop.flac: stop"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [("transcribe", "failed: stdin: empty"), ("live", "error: standard input: no samples")],
)
def test_a_closed_standard_input_is_empty(command: str, reason: str, work: Path) -> None:
    program = f"{sys.executable} -m speechlstm {command} - bundle=small <&-"
    ended = subprocess.run(["bash", "-c", program], cwd=work, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "") and ended.stderr.startswith(reason)


@pytest.mark.parametrize(("names", "status"), [(["none.flac"], 3), ([], 0)])
def test_a_reader_that_goes_away_hides_no_failure(names: list[str], status: int, tmp_path: Path) -> None:
    sample = Path(speechlstm.__file__).parent / "data" / "samples" / "stop.flac"
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "speechlstm", "transcribe", *names, str(sample), "bundle=small"]
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
    os.close(write)
    assert done.returncode == status, done.stderr

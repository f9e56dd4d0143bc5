"""Where commands run: closed, full and unread streams, encodings without letters, no home, no place for caches.

Files and the exit status are those of the work, whatever becomes of what is printed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from warm import Server

STREAMS = ["file", "full", "closed", "gone"]
TINY = (
    "encoder.hidden_size=8 encoder.num_layers=1 encoder.conv_channels=2 trainer.accelerator=cpu trainer.max_epochs=1 "
    "data.train=samples.jsonl data.dev=samples.jsonl data.num_workers=0 ~logger.tensorboard out=run"
)


@pytest.mark.parametrize("out", STREAMS)
@pytest.mark.parametrize("err", STREAMS)
def test_files_are_written_whatever_the_streams_are(warm: Server, work: Path, out: str, err: str) -> None:
    ended = warm.run(work, "transcribe", "stop.flac", "none.wav", "bundle=small", "out=o", out=out, err=err)
    assert ended.status == 3
    assert (work / "o/stop.txt").read_text() == "stop\n"
    if err == "file":
        assert ended.err == "failed: none.wav: no such file; check the name\n1 of 2 failed, named above\n"


@pytest.mark.parametrize("out", ["gone", "full", "closed"])
def test_a_reader_that_goes_away_does_not_stop_an_evaluation(warm: Server, work: Path, out: str) -> None:
    settings = ["manifest=samples.jsonl", "bundle=small", "report=r.html", "out=e.jsonl", "threads=1"]
    ended = warm.run(work, "evaluate", *settings, out=out)
    assert (ended.status, ended.err) == (0, "")
    assert (work / "r.html").exists() and len((work / "e.jsonl").read_text().splitlines()) == 6


@pytest.mark.parametrize(("out", "err"), [("gone", "gone"), ("full", "full"), ("closed", "closed")])
def test_a_training_ends_with_its_bundle(warm: Server, work: Path, out: str, err: str) -> None:
    ended = warm.run(work, "train", *TINY.split(), out=out, err=err)
    assert ended.status == 0
    assert (work / "run/bundle/model.safetensors").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["transcribe", "--help"],
        ["plugins"],
        ["models"],
        ["completion", "bash"],
        ["verify", "bundle=small"],
    ],
)
@pytest.mark.parametrize(
    ("out", "status", "message"),
    [("full", 1, "error: standard output: No space left on device\n"), ("closed", 0, ""), ("gone", 0, "")],
)
def test_what_cannot_be_printed_is_reported_once(
    warm: Server, work: Path, arguments: list[str], out: str, status: int, message: str
) -> None:
    ended = warm.run(work, *arguments, out=out)
    assert (ended.status, ended.err) == (status, message)


def test_an_error_needs_no_stream(warm: Server, work: Path) -> None:
    for err in STREAMS[1:]:
        assert warm.run(work, "transcribe", "none.wav", "bundle=small", err=err).status == 1
        assert warm.run(work, "trian", err=err).status == 2
        assert warm.run(work, "transcribe", "formt=srt", err=err).status == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_the_output_lacks_are_escaped(warm: Server, work: Path, encoding: str) -> None:
    (work / "stop.flac").rename(work / "größe 日本.flac")
    ended = warm.run(work, "transcribe", "größe 日本.flac", "fehlt日.wav", "bundle=small", encoding=encoding)
    name, missing = {
        "ascii": (r"gr\u00f6\u00dfe \u65e5\u672c.flac", r"fehlt\u65e5.wav"),
        "latin-1": (r"größe \u65e5\u672c.flac", r"fehlt\u65e5.wav"),
        "utf-8": ("größe 日本.flac", "fehlt日.wav"),
    }[encoding]
    assert (ended.status, ended.out) == (3, f"{name}: stop\n")
    assert ended.err.startswith(f"failed: {missing}: no such file")
    ended = warm.run(
        work, "transcribe", "größe 日本.flac", "bundle=small", "out=o", "format=json", encoding=encoding
    )
    assert ended.status == 0
    assert json.loads((work / "o/größe 日本.json").read_text(encoding="utf-8"))["audio"] == "größe 日本.flac"


def test_a_closed_stream_is_not_replaced_by_an_output(warm: Server, work: Path) -> None:
    """A file that takes the number of a closed stream would get what is printed."""
    ended = warm.run(
        work, "transcribe", "stop.flac", "none.wav", "bundle=small", "out=o", out="closed", err="closed"
    )
    assert ended.status == 3
    assert (work / "o/stop.txt").read_bytes() == b"stop\n"


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": None, "XDG_CACHE_HOME": None},
        {"HOME": "/nonexistent", "XDG_CACHE_HOME": None},
        {"HOME": "", "SPEECHLSTM_CACHE": "/dev/null/x"},
        {"LC_ALL": "C", "LANG": None},
        {"TMPDIR": "/nonexistent"},
        {"TERM": "dumb"},
        {"COLUMNS": "0", "LINES": "x"},
        {"COLUMNS": "nonsense"},
        {"USER": None, "LOGNAME": None},
        {"PATH": None},
    ],
    ids=str,
)
def test_odd_surroundings_change_nothing(
    warm: Server, work: Path, environment: dict[str, str | None]
) -> None:
    for command, settings in (
        ("transcribe", "stop.flac bundle=small decoder=beam"),
        ("lm", "text=text.txt out=lm.arpa"),
    ):
        ended = warm.run(work, command, *settings.split(), environment=environment)
        assert ended.status == 0 and "Traceback" not in ended.err, ended.err
    assert warm.run(work, "transcribe", "--help", environment=environment).status == 0


def test_a_folder_that_cannot_be_written(warm: Server, work: Path) -> None:
    """Standing for a read-only one, which root could write all the same: a file in its place."""
    (work / "o").touch()
    for command, status in (
        ("transcribe stop.flac bundle=small out=o/x", 2),
        ("lm text=text.txt out=o/lm.arpa", 1),
    ):
        ended = warm.run(work, *command.split())
        assert ended.status == status and "o" in ended.err and "Traceback" not in ended.err
    shutil.rmtree(work)
    work.mkdir()
    assert warm.run(work, "transcribe", ".").status == 1


def test_a_current_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    command = 'cd "$0" && rmdir "$0" && exec "$@"'
    (tmp_path / "gone").mkdir()
    program = ["sh", "-c", command, str(tmp_path / "gone"), sys.executable, "-m", "speechlstm"]
    done = subprocess.run([*program, "transcribe", "a.wav"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "error: the current folder is not there (No such file or directory); change to another one\n"
    )


def test_packages_that_do_not_fit_into_memory_are_named() -> None:
    program = ["sh", "-c", 'ulimit -v 1000000; exec "$0" "$@"', sys.executable, "-m", "speechlstm"]
    done = subprocess.run([*program, "transcribe", "a.wav"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: a package cannot be loaded (") and done.stderr.count("\n") == 1

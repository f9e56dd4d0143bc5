"""The one place that writes files: links, FIFOs, devices, folders, full disks, long names, and files of others."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import stat
import time
from pathlib import Path

import pytest

from speechlstm.data.files import Outputs, write_atomically
from speechlstm.types import OutputError, SpeechlstmError, UsageError


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_file_of_others_is_replaced_only_when_told_so(empty: Path) -> None:
    Path("f").write_text("by hand")
    with pytest.raises(OutputError, match=r"^f: exists, .*overwrite=true to replace it$"):
        Outputs([]).write("f", "ours")
    assert Path("f").read_text() == "by hand"
    Outputs([], overwrite=True).write("f", "ours")
    Outputs([]).write("f", "ours again")  # now it is this program's own
    assert Path("f").read_text() == "ours again"
    Path("f").write_text("ours, edited")
    with pytest.raises(OutputError, match="exists"):
        Outputs([]).write("f", "ours")


def test_an_empty_file_may_be_filled(empty: Path) -> None:
    Path("f").touch()
    Outputs([]).write("f", "x")
    assert Path("f").read_text() == "x"


def test_a_disk_without_attributes_protects_every_file(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    Outputs([]).write("f", "ours")
    with pytest.raises(OutputError, match="exists"):
        Outputs([]).write("f", "ours again")


@pytest.mark.parametrize("alias", ["in", "./in", "hard", "soft", "way/../in"])
def test_what_is_read_is_never_replaced(empty: Path, alias: str) -> None:
    write_atomically("in", "to be read")
    Path("way").mkdir()
    os.link("in", "hard")
    Path("soft").symlink_to("in")
    with pytest.raises(OutputError, match=f"^{alias}: is read by this command, so it is not replaced"):
        Outputs([empty / "in", "gone", "a\0b"], overwrite=True).write(alias, "x")
    assert Path("in").read_text() == "to be read"


def test_links_are_followed(empty: Path) -> None:
    write_atomically("f", "old")
    Path("f").chmod(0o640)
    Path("link").symlink_to("f")
    Path("dangling").symlink_to("folder/new")
    Outputs([]).write("link", "new")
    Outputs([]).write("dangling", "new")
    assert Path("link").is_symlink() and Path("f").read_text() == "new"
    assert stat.S_IMODE(Path("f").stat().st_mode) == 0o640
    assert Path("dangling").is_symlink() and Path("folder/new").read_text() == "new"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("fifo", "a FIFO, but must be a file"),
        ("folder", "a folder, but must be a file"),
        ("to-folder", "a folder, but must be a file"),
        ("/dev/full", "a device, but must be a file"),
        ("/dev/null", "a device, but must be a file"),
        ("to-device", "a device, but must be a file"),
        ("loop", "Too many levels of symbolic links"),
        ("file/below", "Not a directory"),
        ("/proc/none/x", "No such file"),
        ("x" * 256, "File name too long"),
        ("a\0b", "cannot be the name of a file"),
        ("\ud83d", "cannot be the name of a file"),
    ],
)
def test_what_no_file_can_be_written_to(empty: Path, path: str, message: str) -> None:
    os.mkfifo("fifo")
    Path("folder").mkdir()
    Path("file").touch()
    for link, target in (("to-folder", "folder"), ("to-device", "/dev/null"), ("loop", "loop")):
        Path(link).symlink_to(target)
    before = names()
    with pytest.raises(SpeechlstmError, match=message):
        Outputs([], overwrite=True).write(path, "x")
    assert names() == before and stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("path", ["-", "/dev/stdout", "/dev/fd/1"])
def test_standard_output(path: str, capsys: pytest.CaptureFixture[str], empty: Path) -> None:
    Outputs([]).write(path, "é\n")
    assert capsys.readouterr().out == "é\n" and names() == []


def test_the_longest_name(empty: Path) -> None:
    Outputs([]).write("é" * 127 + "x", "x")
    assert names() == ["é" * 127 + "x"]


def test_halves_of_surrogate_pairs(empty: Path) -> None:
    write_atomically("f.json", json.dumps("\ud83d", ensure_ascii=False))
    assert json.loads(Path("f.json").read_text()) == "\ud83d"


def test_a_full_disk_leaves_the_old_file(empty: Path) -> None:
    write_atomically("f", "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(SpeechlstmError, match=r"^f: File too large$"):
            Outputs([]).write("f", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert Path("f").read_text() == "old" and names() == ["f"]


@pytest.mark.parametrize("value", ["no", "false", 1, None])
def test_overwrite_is_true_or_false(value: object) -> None:
    with pytest.raises(UsageError, match="must be true or false"):
        Outputs([], value)  # type: ignore[arg-type]


def test_what_a_killed_process_leaves_does_not_pile_up(empty: Path) -> None:
    def die() -> None:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        write_atomically("f", "half")

    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=die)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(names()) == 1
    write_atomically("f", "whole")
    assert names() == ["f"] and Path("f").read_text() == "whole"


def test_many_writers_of_one_file_take_turns(empty: Path) -> None:
    def work(letter: str) -> None:
        for _ in range(20):
            write_atomically("f", letter * 100_000)

    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=work, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if Path("f").exists():
            content = Path("f").read_text()
            assert len(content) == 100_000 and len(set(content)) == 1
        time.sleep(0.01)
    assert [writer.exitcode for writer in writers] == [0, 0, 0] and names() == ["f"]

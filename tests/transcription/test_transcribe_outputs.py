"""Files that `transcribe` writes: their names, what is there already, and work that was interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from spelling import RATE, SpellingBundle, spell, write

Run = Callable[..., tuple[int, str, str]]

THERE = "transcripts there already; overwrite=true writes them again\n"


@pytest.mark.parametrize("name", ["x.srt", "x.VTT", "deep/x.TextGrid", "x.json", "x.labels"])
def test_a_name_that_ends_in_a_format_is_a_file(name: str, transcribe: Run) -> None:
    write(Path("a.wav"), "no go")
    kind = Path(name).suffix[1:].lower().replace("textgrid", "TextGrid")
    for _ in range(2):  # the second time the file is there
        assert transcribe("a.wav", f"out={name}") == (0, "", "")
        assert Path(name).read_text() == transcribe("a.wav", f"format={kind}")[1]


def test_one_file_holds_several_recordings_in_their_order(transcribe: Run) -> None:
    for text, seconds in (("one", 3), ("so", 1), ("three", 2)):
        write(Path(f"{text}.wav"), text, seconds)
    given = ("one.wav", "so.wav", "missing.wav", "three.wav", "batch_seconds=1")
    assert transcribe(*given, "out=all.txt")[0] == 3
    assert Path("all.txt").read_text() == "one.wav: one\nso.wav: so\nthree.wav: three\n"
    assert transcribe(*given, "out=all.json")[0] == 3
    lines = Path("all.json").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "so", "three"]
    assert transcribe(*given, "out=all.trn")[0] == 3
    assert Path("all.trn").read_text() == "one (one)\nso (so)\nthree (three)\n"
    assert transcribe("missing.wav", "out=none.txt")[0] == 1 and not Path("none.txt").exists()


def test_a_folder_of_that_name_stays_a_folder(transcribe: Run) -> None:
    write(Path("a.wav"), "a")
    Path("x.srt").mkdir()
    assert transcribe("a.wav", "out=x.srt") == (0, "", "")
    assert [path.name for path in Path("x.srt").iterdir()] == ["a.txt"]


def test_several_formats_at_once(transcribe: Run) -> None:
    for name in "ab":
        write(Path(f"t/{name}.wav"), name)
    assert transcribe("t", "format=srt,json,srt", "out=o") == (0, "", "")
    assert sorted(path.name for path in Path("o/t").iterdir()) == ["a.json", "a.srt", "b.json", "b.srt"]
    Path("o/t/a.srt").unlink()
    assert transcribe("t", "format=[srt,json]", "out=o") == (
        0,
        "",
        f"1 of 2 {THERE}",
    )
    assert Path("o/t/a.srt").exists()


def test_an_output_that_cannot_be_written_fails_alone(transcribe: Run) -> None:
    for name in "abc":
        write(Path(f"{name}.wav"), name)
    Path("o/b.txt").mkdir(parents=True)
    status, out, err = transcribe("a.wav", "b.wav", "c.wav", "out=o")
    assert (status, out) == (3, "")
    assert err == "failed: o/b.txt: a folder, but must be a file\n1 of 3 failed, named above\n"
    assert Path("o/a.txt").read_text() == "a\n" and Path("o/c.txt").read_text() == "c\n"


def test_outputs_keep_relative_paths(transcribe: Run) -> None:
    for name in ("t/u/b.wav", "t/a.wav", "t/a.flac"):
        write(Path(name), "so")
    assert transcribe("t", "out=deep/o", "format=textgrid") == (0, "", "")
    written = sorted(str(path) for path in Path("deep").rglob("*") if path.is_file())
    assert written == ["deep/o/t/a.flac.TextGrid", "deep/o/t/a.wav.TextGrid", "deep/o/t/u/b.TextGrid"]


def test_finished_outputs_can_be_left(transcribe: Run) -> None:
    for name in "abc":
        write(Path(f"{name}.wav"), name)
    Path("o").mkdir()
    Path("o/b.txt").write_text("by hand\n")
    assert transcribe("a.wav", "b.wav", "c.wav", "out=o") == (0, "", f"1 of 3 {THERE}")
    assert [Path(f"o/{name}.txt").read_text() for name in "abc"] == ["a\n", "by hand\n", "c\n"]
    assert transcribe("a.wav", "b.wav", "out=o") == (0, "", f"2 of 2 {THERE}")
    assert transcribe("b.wav", "out=o", "overwrite=true")[0] == 0
    assert Path("o/b.txt").read_text() == "b\n"


def test_what_is_done_is_on_disk_before_the_next_begins(transcribe: Run, bundle: SpellingBundle) -> None:
    for name, seconds in (("a", 2), ("b", 1), ("c", 3)):
        write(Path(f"{name}.wav"), name, seconds)
    bundle.power_cut_after = 2
    assert transcribe("a.wav", "b.wav", "c.wav", "out=o", "batch_seconds=1", "threads=1")[0] == 130
    assert sorted(path.name for path in Path("o").iterdir()) == ["a.txt", "b.txt"]


def test_an_interrupted_recording_goes_on_unless_something_changed(
    transcribe: Run, bundle: SpellingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = spell("the quick brown fox jumps over the lazy dog")
    soundfile.write("a.wav", np.tile(np.pad(sentence, (0, 2 * RATE)), 90), RATE)
    arguments = ("a.wav", "format=json", "batch_seconds=30", "threads=1")
    assert transcribe(*arguments, "out=whole")[0] == 0
    batches = len(bundle.batches)

    def interrupted(*more: str, change: Callable[[], object] = lambda: None) -> int:
        """Interrupt in mid-recording, change something, run it again, and return how many batches that took."""
        bundle.batches.clear()
        bundle.power_cut_after = batches // 2
        assert transcribe(*arguments, "out=o")[0] == 130
        bundle.power_cut_after = None
        change()
        bundle.batches.clear()
        status, _, err = transcribe(*arguments, "out=o", *more)
        assert status == 0 and ("a.wav: goes on at 0:0" in err) == (len(bundle.batches) < batches)
        (written,) = Path("o").iterdir()  # and no journal
        assert written.read_text() == Path("whole/a.json").read_text()
        written.unlink()
        return len(bundle.batches)

    assert interrupted() <= batches // 2 + 2
    assert interrupted("overwrite=true") <= batches // 2 + 2
    assert interrupted("strict_audio=true") == batches
    assert interrupted("duration=9999") == batches
    content = Path("a.wav").read_bytes()
    assert interrupted(change=lambda: Path("a.wav").write_bytes(content)) == batches
    Path("model").mkdir()
    monkeypatch.setattr(bundle, "path", Path("model"))
    assert interrupted() < batches
    assert interrupted(change=lambda: Path("model/weights").write_text("other")) == batches


@pytest.mark.parametrize("out", ["o", "o/a.json"])
def test_a_long_recording_that_found_the_disk_full_is_not_recognized_again(
    out: str, transcribe: Run, bundle: SpellingBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write("a.wav", np.tile(np.pad(spell("the quick brown fox"), (0, 2 * RATE)), 200), RATE)
    arguments = ("a.wav", "format=json", "batch_seconds=30", "threads=1", f"out={out}")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as while_full:
        while_full.setattr("os.fsync", full)
        assert transcribe(*arguments)[0] == 1
    batches = len(bundle.batches)
    bundle.batches.clear()
    status, _, err = transcribe(*arguments)
    assert status == 0 and "a.wav: goes on at 0:" in err
    assert 2 * len(bundle.batches) < batches
    assert [path.name for path in Path("o").iterdir()] == ["a.json"]


@pytest.mark.parametrize("out", ["o", "o/a.json"])
def test_a_long_recording_that_fails_leaves_nothing_behind(out: str, transcribe: Run) -> None:
    soundfile.write("a.wav", np.tile(np.pad(spell("the quick brown fox"), (0, 2 * RATE)), 50), RATE)
    content = Path("a.wav").read_bytes()
    Path("a.wav").write_bytes(content[: len(content) * 3 // 4])
    status, _, err = transcribe("a.wav", "format=json", "strict_audio=true", f"out={out}")
    assert status == 1 and "truncated" in err
    assert list(Path("o").glob("*")) == []


def test_a_full_disk_is_named(transcribe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("a.wav"), "a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    named = "o/a.txt: No space left on device\n"
    assert transcribe("a.wav", "out=o") == (1, "", f"failed: {named}1 of 1 failed, named above\n")
    assert transcribe("a.wav", "out=o/a.txt") == (1, "", f"error: {named}")

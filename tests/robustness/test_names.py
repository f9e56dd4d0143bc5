"""Recordings whose names an output cannot tell apart, and names that begin like those of homes."""

from __future__ import annotations

import shutil
from pathlib import Path

from warm import Server


def test_recordings_that_scorers_would_take_for_one_are_named(warm: Server, work: Path) -> None:
    for name in ("d1", "d2"):
        (work / name).mkdir()
        shutil.copy(work / "stop.flac", work / name / "a.flac")
    (work / "d1/x y.flac").write_bytes((work / "stop.flac").read_bytes())
    (work / "d1/x_y.flac").write_bytes((work / "stop.flac").read_bytes())
    note = (
        "note: 2 recordings have the name 'a' in the output and 1 more; rename them, or write each to a file of its own"
        " with out=FOLDER\n"
    )
    for kind in ("ctm", "stm", "trn"):
        ended = warm.run(work, "transcribe", "d1", "d2", f"format={kind}")
        assert (ended.status, ended.err) == (0, note)
        assert warm.run(work, "transcribe", "d1", "d2", f"out=all.{kind}").err == note
        assert warm.run(work, "transcribe", "d1", "d2", f"out={kind}", f"format={kind}").err == ""
    assert warm.run(work, "transcribe", "d1", "d2").err == ""


def test_the_lines_of_a_folder_are_in_the_order_of_their_names(warm: Server, work: Path) -> None:
    for name in ("d1/z.flac", "d2/a.flac", "d2/B.flac"):
        (work / name).parent.mkdir(exist_ok=True)
        shutil.copy(work / "stop.flac", work / name)
    for kind in ("ctm", "stm"):
        lines = warm.run(work, "transcribe", "d1", "d2", f"format={kind}").out.splitlines()
        names = [line.split()[0] for line in lines if not line.startswith(";;")]
        assert names == sorted(names) and set(names) == {"B", "a", "z"}


def test_a_name_that_begins_like_the_home_of_nobody_is_a_plain_name(warm: Server, work: Path) -> None:
    ended = warm.run(work, "transcribe", "stop.flac", "bundle='~nobodyhere/model'")
    assert (ended.status, ended.err.partition("; ")[0]) == (
        1,
        "error: ~nobodyhere/model: no such folder, and no installed model of that name",
    )
    ended = warm.run(work, "transcribe", "stop.flac", "out='~nobodyhere/'")
    assert (ended.status, (work / "~nobodyhere/stop.txt").is_file()) == (0, True)

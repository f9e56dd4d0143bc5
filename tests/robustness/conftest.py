"""Warmed processes, and a folder with all that a command needs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from warm import Server

import speechlstm

SAMPLES = Path(speechlstm.__file__).parent / "data/samples"


@pytest.fixture(scope="session")
def warm() -> Iterator[Server]:
    """A process that has imported the commands."""
    server = Server(
        "transcribe", "evaluate", "align", "train", "lm", "inspect", "listen", "validate", "compare", "tune"
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def cold() -> Iterator[Server]:
    """A process that has imported nothing."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with recordings, their manifest, and texts."""
    folder = tmp_path / "work"
    shutil.copytree(SAMPLES, folder)
    (folder / "text.txt").write_text("one two three\ntwo three four\n" * 20)
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each kind were tried, and how many failed."""
    tried, failed = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            path = Path(report.nodeid.partition("::")[0])
            if path.parent.name == Path(__file__).parent.name:
                kind = path.stem.removeprefix("test_").replace("_", " ")
                tried[kind] += 1
                failed[kind] += outcome != "passed"
    if tried:
        terminalreporter.section("robustness: cases by kind")
        for kind, count in [*sorted(tried.items()), ("all", tried.total())]:
            wrong = failed.total() if kind == "all" else failed[kind]
            terminalreporter.write_line(f"{kind:<24}{count:>6} tried{wrong:>6} failed")

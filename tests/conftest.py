"""What several test files share: where the real corpora are, if they are; and the summary of robustness."""

from __future__ import annotations

import logging
import os
import signal
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from hypothesis import settings
from warm import Server

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

# A shell lets what it starts in the background ignore Ctrl-C, and the commands that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Run first in each process of the tests: plugins that are installed where the tests run bring no parts.
HIDE_PLUGINS = f"""
from importlib.metadata import Distribution, EntryPoints

def hide(read=vars(Distribution)["entry_points"].fget, installed={sysconfig.get_path("purelib")!r}):
    def entry_points(self):
        points = read(self)
        others = EntryPoints(each for each in points if not each.group.startswith("speechlstm."))
        if len(others) == len(points) or str(self.locate_file("")) != installed or self.name == "speechlstm":
            return points  # to read the name of every package takes long
        return others
    Distribution.entry_points = property(entry_points)

hide()
"""


@pytest.fixture(scope="session", autouse=True)
def no_plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hide installed plugins, here and in what the tests start; yield the module for other environments."""
    path = tmp_path_factory.mktemp("hidden") / "sitecustomize.py"
    path.write_text(HIDE_PLUGINS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distribution, "entry_points", vars(Distribution)["entry_points"])  # put back at the end
        exec(HIDE_PLUGINS, {})
        patch.setenv("PYTHONPATH", str(path.parent), prepend=os.pathsep)
        yield path


@pytest.fixture(scope="session", autouse=True)
def _settings_are_parsed_once() -> Iterator[None]:
    """Remember what the text of a config file says: a config is composed of dozens, in thousands of tests."""
    parse, known = yaml.load, dict[str, Any]()

    def load(stream: Any, Loader: Any) -> Any:  # noqa: N803 - as PyYAML calls it
        if Loader.__name__ != "OmegaConfLoader" or not hasattr(stream, "seek"):
            return parse(stream, Loader)
        text = stream.read()
        if text not in known:
            stream.seek(0)
            known[text] = parse(stream, Loader)  # OmegaConf copies it
        return known[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", load)
        yield


@pytest.fixture(autouse=True)
def _handlers_go() -> Iterator[None]:
    """Take away the handlers of logs and signals that a command set up and, with its test, left behind."""
    before = list(logging.root.handlers)
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    logging.root.handlers = before
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def warm(no_plugins: Path) -> Iterator[Server]:
    """A process that has imported the commands, for tests of what one does, not of how it starts."""
    server = Server(
        "transcribe",
        "evaluate",
        "align",
        "train",
        "lm",
        "inspect",
        "listen",
        "validate",
        "compare",
        "tune",
        "serve",
    )
    yield server
    server.close()


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder of real speech; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SPEECHLSTM_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real speech at {folder}; set SPEECHLSTM_DATA")
    return folder


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs a module of `speechlstm.cli` here: exit status, stdout and stderr."""

    def call(command: ModuleType, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(logging.root, "handlers", [])  # as in a new process, where nobody has set any up
        monkeypatch.setattr(sys, "argv", [f"{command.__name__.rpartition('.')[2]}.py", *arguments])
        try:
            command.main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the manifests and the audio of `tones.py`."""
    from tones import write_both  # imports torch: not for tests without a training

    write_both(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each kind were tried, and how many failed."""
    tried, failed = Counter[str](), Counter[str]()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            path = Path(report.nodeid.partition("::")[0])
            if path.parent.name == "robustness":
                kind = path.stem.removeprefix("test_").replace("_", " ")
                tried[kind] += 1
                failed[kind] += outcome != "passed"
    if tried:
        terminalreporter.section("robustness: cases by kind")
        for kind, count in [*sorted(tried.items()), ("all", tried.total())]:
            wrong = failed.total() if kind == "all" else failed[kind]
            terminalreporter.write_line(f"{kind:<24}{count:>6} tried{wrong:>6} failed")

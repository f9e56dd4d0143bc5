"""The scripts: set-up happens once, the checks all run, and what they report gets out."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL = sorted([*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"])

# Stands in for every Python: notes how it is called, "makes" an environment, fails when told to.
PYTHON = """#!/usr/bin/env bash
line="$*"
case "$line" in
    "-c import sys"*) exit "${FAKE_TOO_OLD:-0}" ;;
    --version) echo "Python 3.9.1"; exit ;;
    *"config list") echo "${FAKE_SETTINGS-}"; exit ;;
esac
echo "$line |${PYTHONPATH-}${VIRTUAL_ENV-}|${OMP_NUM_THREADS-}| $PWD" >> "$FAKE_LOG"
case "$line" in
    "-m venv"*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
esac
[[ "$line" != "${FAKE_FAILS:-nothing}"* ]] || { echo "$FAKE_FAILS failed"; exit 4; }
"""


class Project:
    """A copy of the scripts in which nothing real is installed or run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a project"  # people's folders have spaces
        self.log = folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copytree(ROOT / ".ci", self.root / ".ci")
        for name in ("pyproject.toml", "constraints.txt"):
            (self.root / name).write_text(name)
        for tool in ("bash", "env", "cat", "cksum", "cp", "dirname", "mkdir", "mktemp", "rm", "tee"):
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        (self.bin / "python3").write_text(PYTHON)
        (self.bin / "python3").chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            [str(self.bin / "bash"), str(self.root / script), *arguments],
            env={"PATH": str(self.bin), "FAKE_LOG": str(self.log)} | environment,
            cwd=self.bin,
            capture_output=True,
            text=True,
        )

    def calls(self, word: str = "") -> list[str]:
        return [line for line in self.log.read_text().splitlines() if word in line]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_bash_can_read_it(script: Path) -> None:
    result = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "/work" not in script.read_text(), "no path of one machine"


def test_ci_run_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_set_up_happens_once_and_again_when_the_project_changes(project: Project) -> None:
    assert project.run("scripts/demo.sh").returncode == 0
    assert len(project.calls("-m venv --clear")) == 1
    uv, install = project.calls(" install ")
    assert f"-c {project.root}/constraints.txt uv |" in uv
    assert (
        f"-m uv pip install --python {project.root}/.venv/bin/python -c {project.root}/constraints.txt"
        in install
    )
    assert f"-e {project.root} |" in install
    assert project.run("scripts/demo.sh").returncode == 0
    assert [call.split(" |")[0] for call in project.calls()] == [f"{project.root}/scripts/demo.py"]
    (project.root / "constraints.txt").write_text("other")
    project.run("scripts/demo.sh")
    assert len(project.calls("-m uv pip install")) == 1
    assert not project.calls("-m venv"), "the environment itself stays"


def test_tests_install_their_extra_and_the_demo_needs_nothing_more(project: Project) -> None:
    project.run("scripts/demo.sh")
    project.run("scripts/test.sh")
    assert f"-e {project.root}[test] |" in project.calls("-m uv pip install")[0]
    project.run("scripts/demo.sh")
    assert not project.calls(" install ")
    (project.root / "pyproject.toml").write_text("other")
    project.run("scripts/test.sh")
    project.run("scripts/demo.sh")
    assert not project.calls(" install ")


@pytest.mark.parametrize(
    "environment",
    [
        {"FAKE_FAILS": "-m uv"},
        {"FAKE_SETTINGS": "global.index-url='mirror'"},
        {"FAKE_SETTINGS": "global.extra-index-url='more'\n:env:.no-index='1'"},
    ],
)
def test_pip_installs_what_uv_cannot_and_what_comes_from_an_index_of_ones_own(
    project: Project, environment: dict[str, str]
) -> None:
    result = project.run("scripts/test.sh", **environment)
    assert result.returncode == 0
    (install,) = project.calls("install -qq")
    assert f"-c {project.root}/constraints.txt -e {project.root}[test] |" in install
    assert bool(project.calls("-m uv")) == ("FAKE_FAILS" in environment)


def test_a_failed_installation_is_said_and_tried_again(project: Project) -> None:
    result = project.run("scripts/demo.sh", FAKE_FAILS="-m pip")
    assert result.returncode == 1
    assert "error: the installation failed" in result.stderr
    assert not project.calls("demo.py")
    assert project.run("scripts/demo.sh").returncode == 0
    assert project.calls("-m uv pip install")


def test_an_old_python_is_named(project: Project) -> None:
    result = project.run("scripts/test.sh", FAKE_TOO_OLD="1")
    assert result.returncode == 1
    assert result.stderr == (
        "error: Python 3.11 or newer is needed on the PATH; python3 there says: Python 3.9.1\n"
    )
    assert not (project.root / ".venv").exists()


def test_a_missing_python_is_said(project: Project) -> None:
    (project.bin / "python3").unlink()
    result = project.run("scripts/demo.sh")
    assert result.returncode == 1
    assert result.stderr.startswith("error: Python 3.11 or newer is needed")


def test_an_environment_that_cannot_be_made_is_not_left_half_done(project: Project) -> None:
    result = project.run("scripts/demo.sh", FAKE_FAILS="-m venv")
    assert result.returncode == 1
    assert "could not make" in result.stderr
    assert not (project.root / ".venv").exists()


def test_the_callers_python_does_not_reach_in(project: Project) -> None:
    project.run("scripts/test.sh", PYTHONPATH="leak", VIRTUAL_ENV="leak")
    assert project.calls("-m pytest")
    assert not project.calls("leak")


def test_all_checks_run_with_the_callers_arguments(project: Project) -> None:
    assert project.run("scripts/test.sh", "-k", "one name").returncode == 0
    names = [call.split(" |")[0] for call in project.calls()][3:]
    beside = [
        name for name in names if "transcribe" in name or "librosa" in name
    ]  # which compile what tests use
    checks = [name for name in names if name not in beside]
    assert checks == ["-m ruff check .", "-m ruff format --check .", "-m mypy", "-m pytest -n 2 -k one name"]
    assert len(beside) == 2 and names[-1] == checks[-1]
    assert project.calls("-m pytest")[0].endswith(f"||1| {project.root}"), "one thread each, in the project"


@pytest.mark.parametrize("check", ["ruff check", "ruff format", "mypy"])
def test_a_failed_check_does_not_stop_the_others_but_counts(project: Project, check: str) -> None:
    project.run("scripts/test.sh")
    result = project.run("scripts/test.sh", FAKE_FAILS=f"-m {check}")
    assert result.returncode == 1
    assert check in result.stderr
    assert project.calls("-m pytest")


def test_ci_gives_the_status_and_the_last_words_of_pytest(project: Project) -> None:
    project.run("scripts/test.sh")
    result = project.run(".ci/run", FAKE_FAILS="-m pytest")
    assert (result.returncode, result.stdout, result.stderr) == (4, "-m pytest failed\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages of the system")
def test_ci_installs_what_some_tests_need_and_tests_without_it_if_it_must(project: Project) -> None:
    installer = project.bin / "apt-get"
    installer.write_text('#!/bin/bash\necho "apt-get $*" >> "$FAKE_LOG"\n')
    installer.chmod(0o755)
    assert project.run(".ci/run").returncode == 0
    assert [call.split()[:2] for call in project.calls("apt-get")] == [
        ["apt-get", "update"],
        ["apt-get", "install"],
    ]
    assert " chromium " in project.calls("apt-get install")[0]
    installer.write_text("#!/bin/bash\necho no network\nexit 100\n")
    result = project.run(".ci/run")
    assert (result.returncode, len(project.calls("-m pytest"))) == (0, 1)
    assert "warning: no network\nthe tests that need a browser" in result.stderr


def test_demo_takes_files_relative_to_the_caller(project: Project) -> None:
    project.run("scripts/demo.sh", "an odd, name=1.wav", "b.mp3")
    (call,) = project.calls("demo.py")
    assert call == f"{project.root}/scripts/demo.py an odd, name=1.wav b.mp3 ||| {project.bin}"


# the Python scripts


@pytest.mark.parametrize("name", ["train", "transcribe", "evaluate"])
def test_script_is_the_command(name: str) -> None:
    script = runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))
    command = __import__(f"speechlstm.cli.{name}", fromlist=["main"])
    assert script["main"] is command.main

"""`speechlstm plugins new`: packages to start from, which keep their contract as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from speechlstm.cli import plugins as command

Run = Callable[..., tuple[int, str, str]]


def test_each_stage_has_a_package_to_start_from_that_keeps_its_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Write all four, register them as pip would, and run their own tests in one process."""
    monkeypatch.chdir(tmp_path)
    stages = ["decoder", "encoder", "features", "tokenizer"]
    for stage in stages:
        monkeypatch.setattr(sys, "argv", ["plugins.py", "new", stage, f"my_{stage}"])
        command.main()
        project = tomllib.loads(Path(f"my_{stage}/pyproject.toml").read_text())["project"]
        info = tmp_path / f"my_{stage}" / f"speechlstm_my_{stage}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
        [(group, points)] = project["entry-points"].items()
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    assert "pip install -e my_decoder\n  pytest my_decoder\n" in capsys.readouterr().out
    paths = [*(f"my_{stage}" for stage in stages), os.environ["PYTHONPATH"]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    tests = [f"my_{stage}" for stage in stages]
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest_here, *tests], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "decoder"], "write: speechlstm plugins new "),
        (["new", "decodr", "mine"], "no stage 'decodr'; there are: features, encoder, tokenizer, decoder"),
        (["new", "decoder", "My-Own"], "name is 'My-Own', but must be lowercase letters, digits, and _"),
        (["new", "decoder", "mine_"], "name is 'mine_', but must be lowercase letters"),  # pip refuses it
        (["new", "decoder", "on"], "none of true, false, null, yes, no, on, off"),
        (["new", "decoder", "taken"], "the package speechlstm_taken is installed already"),
        (["new", "decoder", "greedy"], "already has decoder 'greedy'"),
        (["new", "decoder", "mine", "out=audio"], "audio: already exists"),
    ],
)
def test_what_cannot_be_written_is_wrong_usage(
    site: Path, plugins: Run, arguments: list[str], message: str
) -> None:
    (site / "speechlstm_taken").mkdir()
    (site / "speechlstm_taken/__init__.py").touch()
    status, out, err = plugins(*arguments)
    assert (status, out) == (2, "") and message in err

"""The plugins' documents, word for word: a plugin is made from the text, installed, tested and used."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from speechlstm.data.manifest import read_manifest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "speechlstm" / "data" / "samples"
GUIDE = ROOT / "plugins" / "README.md"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))

pytestmark = pytest.mark.slow


_BLOCK = re.compile(r"(?:^`([\w./-]+)`\n\n)?^(~~~|```)(\w*)\n(.*?)^\2$", re.MULTILINE | re.DOTALL)


def files(document: Path) -> dict[str, str]:
    """Return the files that a document gives: a name by itself in a line, and the block after it."""
    return {name: content for name, _, _, content in _BLOCK.findall(document.read_text()) if name}


def commands(document: Path) -> list[str]:
    """Return the lines of the blocks of commands, which are fenced by tildes without a language."""
    blocks = _BLOCK.findall(document.read_text())
    texts = [content for _, fence, language, content in blocks if fence == "~~~" and not language]
    return [line for text in texts for line in text.splitlines()]


def make_stage(folder: Path) -> None:
    """Lay out the audio and manifests that the documents name, all made of the samples."""
    shutil.copy(SAMPLES / "enter.flac", folder / "call.wav")
    lines = [
        {"audio_filepath": u.audio_filepath, "duration": u.duration, "text": u.text}
        for u in read_manifest(SAMPLES / "samples.jsonl")
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "data" / "an4").mkdir(parents=True)
    for name in ("dev.jsonl", "data/an4/train.jsonl"):
        (folder / name).write_text(text)


def run(folder: Path, command: list[str], **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean |= {"SPEECHLSTM_CACHE": str(folder / "cache"), **environment}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_guide_makes_a_plugin_that_is_installed_tested_and_used(tmp_path: Path, no_plugins: Path) -> None:
    assert len(files(GUIDE)) == 4
    for name, content in files(GUIDE).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    make_stage(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    # A path in a .pth file comes after the environment's own packages, and .pth files there are not read.
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    shutil.copy(no_plugins, site)
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    programs = {"pip": pip, "pytest": [python, "-m", "pytest"], "speechlstm": [python, "-m", "speechlstm"]}
    outputs = {}
    for line in commands(GUIDE):
        program, *words = shlex.split(line)
        if program == "pip":
            words = [words[0], *offline, *words[1:]]
        elif program == "python":
            words = [*words, "--no-isolation"]
        elif program == "twine":
            assert words[:1] == ["upload"] and list(tmp_path.glob(words[1])), "there is something to upload"
            continue
        elif any(word.startswith("plot=") for word in words):
            pytest.importorskip("matplotlib")
        outputs[line] = run(tmp_path, [*programs.get(program, [python]), *words])
    [tested] = [out for line, out in outputs.items() if line.startswith("pytest")]
    assert re.search(r"\b1[5-9] passed, [2-6] skipped", tested), tested
    [checked] = [out for line, out in outputs.items() if "check=" in line]
    assert "decoder 'cautious' keeps the contract" in checked
    [printed] = [out for line, out in outputs.items() if "transcribe" in line]
    assert printed == "enter nine\n"
    [compared] = [out for line, out in outputs.items() if "bench=" in line]
    assert (
        re.search(r"^cautious .*%", compared, re.MULTILINE)
        and (tmp_path / "decoders.png").stat().st_size > 5000
    )


def test_the_guide_names_every_plugin() -> None:
    named = re.findall(r"^\| `(speechlstm-[\w-]+)` \| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE)
    there = []
    for plugin in PLUGINS:
        project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
        there += [(plugin.name, name) for group in project["entry-points"].values() for name in group]
    assert sorted(named) == sorted(there)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_each_plugins_own_commands_work(plugin: Path, tmp_path: Path) -> None:
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=~ ]", requirement)[0]
        try:
            version(name)
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
    [(group, entries)] = project["entry-points"].items()
    [(name, value)] = entries.items()
    info = tmp_path / "site" / f"{plugin.name.replace('-', '_')}-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    make_stage(tmp_path)
    paths = os.pathsep.join(map(str, (plugin, tmp_path / "site", ROOT, os.environ["PYTHONPATH"])))
    for line in commands(plugin / "README.md"):
        program, *words = shlex.split(line)
        if program == "pip":
            assert words == ["install", "-e", f"plugins/{plugin.name}"]
            continue
        assert program == "speechlstm", line
        if (
            group != "speechlstm.decoders"
        ):  # takes hours, or real speech: the settings must be those that there are
            run(tmp_path, [sys.executable, "-m", "speechlstm", *words, "--help"], PYTHONPATH=paths)
            continue
        out = run(tmp_path, [sys.executable, "-m", "speechlstm", *words], PYTHONPATH=paths)
        assert words[0] != "transcribe" or out == "enter nine\n", line

"""The README: its commands and snippets run, one after the other, and every file that the documents name exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SAMPLES = ROOT / "speechlstm" / "data" / "samples"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = [
    *("encoder.hidden_size=8", "encoder.num_layers=1", "encoder.conv_channels=2", "trainer.max_epochs=1"),
    *("trainer.accelerator=cpu", "data.num_workers=0"),
]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the README's commands in their order, but those that install, which other tests run."""
    lines = [
        line
        for kind, text in _BLOCK.findall(README.read_text())
        if kind == "bash"
        for line in text.splitlines()
    ]
    assert [line for line in lines if not line.startswith("speechlstm ")] == [
        *("bash scripts/demo.sh", "bash scripts/test.sh", "pip install -c constraints.txt -e .")
    ]
    return [line for line in lines if line.startswith("speechlstm ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the commands name."""
    place = tmp_path_factory.mktemp("readme")
    for name in ("call.wav", "talks/one.wav"):
        (place / name).parent.mkdir(exist_ok=True)
        soundfile.write(place / name, load_audio(SAMPLES / "stop.flac", 16_000), 16_000)
    (place / "recordings").mkdir()
    for number in range(4):
        for sample in read_manifest(SAMPLES / "samples.jsonl"):
            name = place / "recordings" / f"{sample.id}-{number}"
            soundfile.write(name.with_suffix(".wav"), load_audio(sample.audio_filepath, 16_000), 16_000)
            name.with_suffix(".txt").write_text(sample.text)
    return place


@pytest.mark.slow
def test_the_commands_run_in_their_order(folder: Path) -> None:
    for line in commands():
        words = shlex.split(line)[1:] + (SMALL if line.startswith("speechlstm train") else [])
        done = subprocess.run(
            [sys.executable, "-m", "speechlstm", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        # what validate finds wrong, it says by its status
        assert done.returncode in ((0, 1, 3) if words[0] == "validate" else (0,)), f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr, line
        if line == "speechlstm transcribe call.wav":
            assert done.stdout == "stop\n"
    assert (folder / "subtitles/call.srt").read_text().startswith("1\n00:00:00")
    assert (folder / "runs/mine/bundle/model.safetensors").stat().st_size > 1000
    assert (folder / "mine/pyproject.toml").exists()


def test_the_snippets_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    snippets = [text for kind, text in _BLOCK.findall(README.read_text()) if kind == "python"]
    assert len(snippets) == 2
    spaces: list[dict[str, object]] = []
    for snippet in snippets:
        spaces.append({"__name__": "snippet"})
        exec(snippet, spaces[-1])
    assert re.fullmatch(r" +\d\.\d\d +\d\.\d\d \d\.\d\d stop\n", capsys.readouterr().out)
    recognizer = speechlstm.load()
    best_path = spaces[1]["BestPath"](tokenizer=recognizer.tokenizer)  # type: ignore[operator]
    assert speechlstm.load(decoder=best_path).transcribe("call.wav").text == "stop"


def test_it_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text()):
        made = link == "reference/settings.md"  # when the site is built
        assert made or (document.parent / link).exists(), link

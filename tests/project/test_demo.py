"""The demo: what it prints of the samples and of the files given, and what it says of those that fail."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import speechlstm
from speechlstm.transcription.transcript import Transcript, Word
from speechlstm.types import AudioError

ROOT = Path(__file__).parents[2]


class Recognizer:
    """Hears the file's name, and nothing in what is no audio."""

    def transcribe(self, path: Path) -> Transcript:
        if path.suffix == ".txt":
            raise AudioError(f"{path}: no audio")
        words = [Word(word, index, index + 0.5, 0.9) for index, word in enumerate(path.stem.split("-"))]
        return Transcript(str(path), " ".join(word.text for word in words), words, -1.0, 3.0)


def demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    bundles: list[str | Path | None] = []

    def load(bundle: str | Path | None) -> Recognizer:
        bundles.append(bundle)
        return Recognizer()

    monkeypatch.setattr(speechlstm, "load", load)
    status = runpy.run_path(str(ROOT / "scripts" / "demo.py"))["main"](list(arguments))
    out, err = capsys.readouterr()
    return status, f"{' '.join(map(str, bundles))}\n{out}", err


def test_demo_shows_times_and_confidences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = demo(monkeypatch, capsys, "some/turn-left.wav", "bundle=mine")
    assert (status, err) == (0, "")
    shown, _, commands = out.partition("Try next:\n")
    assert shown.splitlines() == [
        "mine",
        "turn-left.wav, 3.0 s: turn left",
        "    0.00 to  0.50 s   90%  turn",
        "    1.00 to  1.50 s   90%  left",
        "",
    ]
    assert len(commands.splitlines()) == 3
    assert all("speechlstm " in line for line in commands.splitlines())


def test_demo_without_files_takes_the_samples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = demo(monkeypatch, capsys)
    assert status == 0
    plugin = ROOT / "plugins" / "speechlstm-english"
    assert out.startswith(f"small {plugin / 'speechlstm_english'}\n")
    folders = (ROOT / "speechlstm" / "data" / "samples", plugin / "samples")
    assert [line.split(",")[0] for line in out.splitlines() if ".flac," in line] == [
        path.name for folder in folders for path in sorted(folder.glob("*.flac"))
    ]


@pytest.mark.parametrize(("files", "expected"), [(["a.txt", "b.wav"], 3), (["a.txt"], 1)])
def test_demo_names_what_failed_and_goes_on(
    files: list[str], expected: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = demo(monkeypatch, capsys, *files)
    assert status == expected
    assert err == "failed: a.txt: no audio\n"
    assert ("b.wav, 3.0 s: b" in out) == ("b.wav" in files)


@pytest.mark.slow
def test_demo_for_real(tmp_path: Path) -> None:
    if not (ROOT / ".venv" / "installed").is_file() or not Path(sys.prefix).samefile(ROOT / ".venv"):
        pytest.skip("not the environment that the scripts set up: demo.sh would install into it")
    result = subprocess.run(
        ["bash", str(ROOT / "scripts" / "demo.sh")], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0
    said = ("compiling the beam search, ", "reading lm.arpa.gz: ")  # the first time
    assert all(line.startswith(said) for line in result.stderr.splitlines()), result.stderr
    assert "stop.flac, 1.2 s: stop" in result.stdout
    assert "road.flac, 4.0 s: the old man walked slowly down the road with his dog" in result.stdout

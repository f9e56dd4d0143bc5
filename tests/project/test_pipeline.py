"""From audio to words: a model that is overfitted to two utterances returns them word for word."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

import speechlstm
from speechlstm.cli import evaluate, verify
from speechlstm.data.manifest import write_manifest
from speechlstm.types import Utterance

RATE = 16000
Run = Callable[..., tuple[int, str, str]]
TEXTS = {"one.wav": "enter nine", "two.flac": "yes repeat"}


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "speechlstm", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    for noise in ("Traceback", "litlogger", "LeafSpec"):
        assert noise not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two spoken utterances and the bundle that `train experiment=overfit` makes of them."""
    pytest.importorskip("espeakng_loader")
    speak = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "espeak.py"))["speak"]
    folder = tmp_path_factory.mktemp("pipeline")
    utterances = []
    for name, text in TEXTS.items():
        waveform = speak(text, "en-us", 50, 160)
        soundfile.write(folder / name, waveform, RATE)
        utterances.append(Utterance(str(folder / name), len(waveform) / RATE, text, Path(name).stem))
    write_manifest(folder / "two.jsonl", utterances)
    run(
        folder, "train", "experiment=overfit", "data.train=two.jsonl", "out=run", "trainer.accelerator=cpu",
        "trainer.max_epochs=80", "trainer.check_val_every_n_epoch=40",
    )  # fmt: skip
    return folder


@pytest.mark.slow
def test_transcribe_gives_the_texts_back(folder: Path) -> None:
    spoken = run(folder, "transcribe", *TEXTS, "bundle=run/bundle")
    for name, text in TEXTS.items():
        assert [line for line in spoken.splitlines() if name in line] == [f"{name}: {text}"]


@pytest.mark.slow
def test_evaluate_finds_no_error(folder: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    status, out, err = run_command(evaluate, "manifest=two.jsonl", "bundle=run/bundle", "format=json")
    assert status == 0, err
    found = json.loads(out)
    assert found["wer"] == 0 and found["cer"] == 0


@pytest.mark.slow
def test_verify_reproduces_it(folder: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    status, out, err = run_command(verify, "bundle=run/bundle")
    assert status == 0 and "run/bundle: reproduced: " in out, err


@pytest.mark.slow
def test_in_python_words_have_times_and_confidences(folder: Path) -> None:
    transcript = speechlstm.load(folder / "run/bundle").transcribe(folder / "one.wav")
    assert transcript.text == "enter nine" and [word.text for word in transcript.words] == ["enter", "nine"]
    enter, nine = transcript.words
    assert 0 <= enter.start < enter.end <= nine.start < nine.end <= transcript.duration
    assert min(enter.confidence, nine.confidence) > 0.5

"""The examples in the docstrings run, and what a Python user needs has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
import soundfile

import speechlstm
from speechlstm.data.audio import load_audio
from speechlstm.decoders import Decoder
from speechlstm.study import cells

PACKAGE = Path(speechlstm.__file__).parent
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
NEEDED = [
    *(speechlstm.load, speechlstm.Recognizer.transcribe, speechlstm.Recognizer.align, speechlstm.Transcript),
    *(Decoder.from_labels, cells.from_torch),
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_give_what_they_show(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    waveform = load_audio(PACKAGE / "data/samples/stop.flac", 16_000)
    soundfile.write(tmp_path / "call.wav", waveform, 16_000)
    monkeypatch.chdir(tmp_path)
    names = {"speechlstm": speechlstm, "soundfile": soundfile}
    failed, tried = doctest.testmod(module, extraglobs=names)
    assert tried and not failed


@pytest.mark.parametrize("needed", NEEDED, ids=lambda each: each.__qualname__)
def test_the_python_interface_has_examples(needed: object) -> None:
    assert doctest.DocTestFinder().find(needed, "needed")[0].examples

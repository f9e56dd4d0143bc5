"""Other runtimes: the same transcripts from files, arrays and long recordings, and refusals in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import speechlstm
from speechlstm.cli import evaluate, transcribe
from speechlstm.data.audio import load_audio
from speechlstm.data.manifest import read_manifest
from speechlstm.model.selftest import synthesize
from speechlstm.types import UsageError

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
STOP = str(SAMPLES / "stop.flac")


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'speechlstm[onnx]'")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_transcripts_are_those_of_pytorch() -> None:
    files: list[Any] = [each.audio_filepath for each in read_manifest(SAMPLES / "samples.jsonl")]
    files.append((np.zeros(1, np.float32), 16_000))
    wanted = speechlstm.load("small").transcribe(files)
    got = speechlstm.load("small", runtime="onnx").transcribe(files)
    for one, other in zip(got, wanted, strict=True):
        assert one.text == other.text
        assert [word.start for word in one.words] == [word.start for word in other.words]
    rough = speechlstm.load("small", runtime="onnx-int8").transcribe(files)
    assert sum(one.text != other.text for one, other in zip(rough, wanted, strict=True)) <= 1


def test_int8_gives_an_utterance_the_same_alone_and_in_any_batch() -> None:
    recognizer = speechlstm.load("small", runtime="onnx-int8")
    waveforms = torch.stack([synthesize(16_000, 1.0), 0.001 * synthesize(16_000, 1.0), torch.zeros(16_000)])
    together, frames = recognizer.log_probs(waveforms, torch.tensor([16_000, 9000, 0]))
    for row, length in enumerate((16_000, 9000, 0)):
        alone, count = recognizer.log_probs(waveforms[row : row + 1, :length], torch.tensor([length]))
        assert count.tolist() == [frames[row]]
        assert torch.equal(alone[0], together[row, : int(count)])
        assert not together[row, int(count) :].any()


def test_lengths_may_be_of_either_type() -> None:
    for runtime in ("onnx", "onnx-int8"):
        recognizer = speechlstm.load("small", runtime=runtime)
        _, frames = recognizer.log_probs(torch.zeros(2, 9000), torch.tensor([9000, 5000], dtype=torch.int32))
        assert frames.tolist() == [recognizer.bundle.model.num_frames(each) for each in (9000, 5000)]


def test_long_recordings_and_known_texts_are_the_same() -> None:
    speech = load_audio(SAMPLES / "number.flac", 16_000)
    long = (np.tile(np.concatenate((speech, np.zeros(8000, np.float32))), 25), 16_000)  # over a minute
    one, other = (speechlstm.load("small", runtime=name) for name in ("onnx", "torch"))
    assert one.transcribe(long).text == other.transcribe(long).text != ""
    text = "four one two five five oh one nine"
    aligned = [each.align((speech, 16_000), text).transcript.words for each in (one, other)]
    assert [word.start for word in aligned[0]] == [word.start for word in aligned[1]]


def test_what_a_runtime_is_not_for_is_refused() -> None:
    with pytest.raises(UsageError, match="runtime is 'tflite', but must be one of torch, onnx, onnx-int8"):
        speechlstm.load("small", runtime="tflite")
    with pytest.raises(UsageError, match="runtime=onnx is for the CPU and precision 32-true"):
        speechlstm.load("small", runtime="onnx", precision="bf16-mixed")


def test_a_missing_package_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("speechlstm.model.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"ONNX needs onnxruntime: pip install 'speechlstm\[onnx\]'"):
        speechlstm.load("small", runtime="onnx")
    assert speechlstm.load("small").transcribe(STOP).text == "stop"


@pytest.mark.parametrize("threads", [1, 2])
def test_commands_take_a_runtime(tmp_path: Path, run_command: Any, threads: int) -> None:
    torch_threads = torch.get_num_threads()
    try:
        arguments = ("bundle=small", "runtime=onnx", f"threads={threads}", "trainer=cpu")
        assert run_command(transcribe, STOP, *arguments) == (0, "stop\n", "")
        manifest = SAMPLES / "samples.jsonl"
        status, table, _ = run_command(evaluate, f"manifest={manifest}", *arguments)
        assert status == 0 and "letters-digits-commands" in table
    finally:
        torch.set_num_threads(torch_threads)

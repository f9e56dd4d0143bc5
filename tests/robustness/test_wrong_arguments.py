"""Arguments of the library that are none: one of its own errors, in one sentence that says what is wanted."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import speechlstm
from speechlstm.types import AudioError, SpeechlstmError, UsageError

STOP = Path(speechlstm.__file__).parent / "data/samples/stop.flac"
QUIET = np.zeros(16_000, np.float32)


@pytest.fixture(scope="module")
def recognizer() -> speechlstm.Recognizer:
    return speechlstm.load("small")


def complaint(kind: type[SpeechlstmError], call: Callable[[], object]) -> str:
    """Return what an error says, which is one sentence."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    message.encode()  # it can be printed
    assert "\n" not in message and ". " not in message.replace(" .", "")
    return message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bundle": 5}, "bundle is 5, but must be a name or path"),
        ({"bundle": b"x"}, "bundle is b'x', but must be a name or path"),
        ({"bundle": ["small"]}, "bundle is ['small'], but must be a name or path"),
        ({"decoder": 5}, "decoder is 5, but must be the name of a decoder, a Decoder, or None"),
        ({"decoder": speechlstm.Decoder}, "but must be the name of a decoder"),
        ({"decoder": ["beam"]}, "decoder is ['beam'], but must be"),
        ({"decoder": ""}, "no decoder ''; installed are"),
        ({"tokenizer": 5}, "tokenizer is no setting of a decoder"),
        ({"name": "beam"}, "name is no setting of a decoder"),
        ({"device": "foo"}, "device is 'foo', but must be a device, such as 'cpu' or 'cuda'"),
        ({"device": ["cpu"]}, "device is ['cpu'], but must be a device"),
        ({"device": None}, "device is None, but must be a device"),
        ({"precision": ["x"]}, "precision is ['x'], but must be one of 32-true"),
        ({"runtime": {}}, "runtime is {}, but must be one of torch"),
    ],
)
def test_what_is_loaded(arguments: dict[str, Any], message: str) -> None:
    assert message in complaint(UsageError, lambda: speechlstm.load(**{"bundle": "small"} | arguments))


@pytest.mark.parametrize("device", ["meta", "xla", "hpu"])
def test_a_device_that_computes_nothing(device: str) -> None:
    said = complaint(SpeechlstmError, lambda: speechlstm.load("small", device=device))
    assert said.startswith(f"device '{device}' cannot be used (") and said.endswith("; use device='cpu'")


def test_settings_beside_a_decoder_that_is_made_already(recognizer: speechlstm.Recognizer) -> None:
    said = complaint(UsageError, lambda: speechlstm.load("small", decoder=recognizer.decoder, beam_size=3))
    assert said.startswith(
        "beam_size is a setting of a decoder that is given by its name, but decoder is a Greedy"
    )


@pytest.mark.parametrize("path", [5, None, b"x.txt", ["x.txt"], True])
def test_where_a_transcript_is_saved(recognizer: speechlstm.Recognizer, path: Any) -> None:
    transcript = recognizer.transcribe((QUIET, 16_000))
    assert "but must be a name or path" in complaint(UsageError, lambda: transcript.save(path))


@pytest.mark.parametrize("value", ["x", None, True, [1], 0, float("nan"), 1e308])
def test_times_of_a_stream(recognizer: speechlstm.Recognizer, value: Any) -> None:
    for name in ("step", "pause"):
        said = complaint(UsageError, lambda name=name: recognizer.stream(**{name: value}))
        assert said == f"{name} is {value!r}, but must be a number from 0 to 3600, without 0"


@pytest.mark.parametrize("text", [None, 5, b"stop", ["stop"]])
def test_a_text_to_align(recognizer: speechlstm.Recognizer, text: Any) -> None:
    assert (
        complaint(UsageError, lambda: recognizer.align(STOP, text)) == f"text is {text!r}, but must be text"
    )


class Broken:
    """What looks like a file."""

    def __init__(self, read: Any) -> None:
        self.read = read


def closed() -> io.BytesIO:
    file = io.BytesIO(STOP.read_bytes())
    file.close()
    return file


def written(mode: str) -> io.BufferedWriter:
    return Path("new.wav").open(mode)  # type: ignore[return-value]


def gone(size: int = -1) -> bytes:
    raise ConnectionError("the other side has hung up")


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (closed, UsageError, "file: the file is closed; open it in binary mode, 'rb'"),
        (lambda: written("wb"), UsageError, "new.wav: open it in binary mode, 'rb'"),
        (lambda: written("ab"), UsageError, "new.wav: open it in binary mode, 'rb'"),
        (lambda: STOP.open(), UsageError, f"{STOP}: open it in binary mode, 'rb'"),
        (
            lambda: (STOP, STOP),
            UsageError,
            "audio is a tuple that begins with a PosixPath, but must be (array, s",
        ),
        (lambda: (closed(), 8000), UsageError, "audio is a tuple that begins with a BytesIO"),
        (
            lambda: (STOP, STOP, STOP),
            UsageError,
            "audio is a tuple of 3, but must be (array, sample_rate); give sev",
        ),
        (lambda: Broken(gone), AudioError, "file: cannot be read (the other side has hung up)"),
        (lambda: Broken(5), AudioError, "file: cannot be read ("),
        (lambda: "", AudioError, "'': an empty name; name an audio file"),
        (lambda: "\ud800.wav", AudioError, "?.wav: no such file; check the name"),
    ],
)
def test_what_is_transcribed(
    recognizer: speechlstm.Recognizer,
    make: Callable[[], Any],
    kind: type[SpeechlstmError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (recognizer.transcribe, lambda audio: recognizer.align(audio, "stop")):
        assert complaint(kind, lambda call=call: call(make())).startswith(message)
    assert complaint(kind, lambda: recognizer.transcribe([STOP, make()])).startswith(message)


WAVEFORMS, LENGTHS = torch.zeros(2, 8000), torch.tensor([8000, 4000])
WAVEFORM = ", but must be a float32 tensor (batch, samples) with full scale 1"
LENGTH = ", but must be an int64 tensor (2,), a number each waveform"


@pytest.mark.parametrize(
    ("waveforms", "lengths", "message"),
    [
        (None, LENGTHS, "waveforms is a NoneType" + WAVEFORM),
        ([[0.0] * 8000], LENGTHS, "waveforms is a list" + WAVEFORM),
        (WAVEFORMS.numpy(), LENGTHS, "waveforms is a ndarray" + WAVEFORM),
        (WAVEFORMS.double(), LENGTHS, "waveforms is a tensor of shape (2, 8000) and type float64" + WAVEFORM),
        (WAVEFORMS.short(), LENGTHS, "waveforms is a tensor of shape (2, 8000) and type int16" + WAVEFORM),
        (WAVEFORMS[0], LENGTHS, "waveforms is a tensor of shape (8000,) and type float32" + WAVEFORM),
        (WAVEFORMS[None], LENGTHS, "waveforms is a tensor of shape (1, 2, 8000) and type float32" + WAVEFORM),
        (WAVEFORMS[:0], LENGTHS[:0], "waveforms is a tensor of shape (0, 8000) and type float32" + WAVEFORM),
        (WAVEFORMS.to("meta"), LENGTHS, "waveforms is a tensor of shape (2, 8000) and type float32, meta" + WAVEFORM),
        (WAVEFORMS.to_sparse(), LENGTHS, "waveforms is a tensor of shape (2, 8000) and type float32, sparse_coo"),
        (WAVEFORMS, [8000, 4000], "lengths is a list" + LENGTH),
        (WAVEFORMS, LENGTHS.numpy(), "lengths is a ndarray" + LENGTH),
        (WAVEFORMS, LENGTHS / 1, "lengths is a tensor of shape (2,) and type float32" + LENGTH),
        (WAVEFORMS, LENGTHS > 0, "lengths is a tensor of shape (2,) and type bool" + LENGTH),
        (WAVEFORMS, LENGTHS[:1], "lengths is a tensor of shape (1,) and type int64" + LENGTH),
        (WAVEFORMS, LENGTHS[:, None], "lengths is a tensor of shape (2, 1) and type int64" + LENGTH),
        (WAVEFORMS, LENGTHS * 2, "lengths are from 8000 to 16000, but must be from 0 to 8000, the samples of"),
        (WAVEFORMS, -LENGTHS, "lengths are from -8000 to -4000, but must be from 0 to 8000, the samples of"),
    ],
)  # fmt: skip
def test_tensors_for_the_model(
    recognizer: speechlstm.Recognizer, waveforms: Any, lengths: Any, message: str
) -> None:
    assert complaint(UsageError, lambda: recognizer.log_probs(waveforms, lengths)).startswith(message)


def test_tensors_that_the_model_takes(recognizer: speechlstm.Recognizer) -> None:
    for lengths in (LENGTHS, LENGTHS.int(), LENGTHS * 0):
        log_probs, frames = recognizer.log_probs(WAVEFORMS, lengths)
        assert log_probs.isfinite().all() and len(frames) == 2


def test_an_open_file_that_cannot_be_read_again_is_read_once(recognizer: speechlstm.Recognizer) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for content in (Pipe(STOP.read_bytes()), Broken(io.BytesIO(STOP.read_bytes()).read)):
        assert recognizer.transcribe(content).text == "stop"


def test_live_samples_as_loud_as_integers(recognizer: speechlstm.Recognizer) -> None:
    samples, _ = soundfile.read(STOP, dtype="int16")
    stream = recognizer.stream()
    said = complaint(UsageError, lambda: list(stream.accept(samples.astype(np.float32))))
    assert said.endswith("but full scale is 1; divide by 32768 if it was 16-bit audio")
    loud = complaint(AudioError, lambda: recognizer.transcribe((samples.astype(np.float32), 16_000)))
    assert loud.removeprefix("array: ") == said.removeprefix("samples: ")


def test_live_samples_after_the_end(recognizer: speechlstm.Recognizer) -> None:
    stream = recognizer.stream()
    stream.finish()
    said = complaint(UsageError, lambda: list(stream.accept(QUIET)))
    assert said == "the stream is finished, so it takes no more samples; begin another"

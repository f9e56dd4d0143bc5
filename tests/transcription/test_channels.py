"""Channels apart: one of them, or each with its own transcript, merged by time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import speechlstm
from speechlstm.data.audio import load_audio, parse_channel
from speechlstm.transcription.channels import transcribe_each
from speechlstm.transcription.formats import FORMATS
from speechlstm.transcription.jobs import Part
from speechlstm.transcription.recognizer import transcribe
from speechlstm.transcription.transcript import Transcript
from speechlstm.types import AudioError, UsageError

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"
RATE = 16_000


@pytest.fixture(scope="module")
def recognizer() -> speechlstm.Recognizer:
    return speechlstm.load()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a recording with one speaker on each channel, the second of whom begins later."""
    left, right = load_audio(SAMPLES / "number.flac", RATE), load_audio(SAMPLES / "stop.flac", RATE)
    size = len(left) + 4 * RATE
    both = np.zeros((size, 2), np.float32)
    both[: len(left), 0] = left
    both[size - len(right) :, 1] = right
    path = tmp_path_factory.mktemp("calls") / "call.wav"
    soundfile.write(path, both, RATE)
    return str(path)


def one(recognizer: speechlstm.Recognizer, path: str, channel: int | str) -> Transcript | AudioError:
    parts = [Part(path, channel=None if isinstance(channel, str) else channel)]
    function = transcribe_each if channel == "each" else transcribe
    ((index, result),) = function(recognizer, recognizer.decoder, parts)
    assert index == 0
    return result


def test_each_channel_has_its_transcript(recognizer: speechlstm.Recognizer, call: str) -> None:
    apart = [one(recognizer, call, channel) for channel in (0, 1)]
    both = one(recognizer, call, "each")
    assert isinstance(both, Transcript)
    assert both.channels == apart
    assert "stop" in both.channels[1].text and "stop" not in both.channels[0].text
    assert len(both.words) == sum(len(each.words) for each in both.channels)
    assert [word.start for word in both.words] == sorted(word.start for word in both.words)
    lines = FORMATS["txt"](both).splitlines()
    assert lines[0].startswith("channel 0: ") and lines[-1].startswith("channel 1: ") and "stop" in lines[-1]
    assert "[channel 1] stop" in FORMATS["srt"](both).replace("\n", " ")
    assert "<v channel 0>" in FORMATS["vtt"](both)
    assert {line.split()[1] for line in FORMATS["ctm"](both).splitlines()} == {"1", "2"}
    assert 'name = "channel 1"' in FORMATS["TextGrid"](both)
    document = json.loads(FORMATS["json"](both))
    assert [each["channel"] for each in document["channels"]] == [0, 1]
    assert document["channels"][1]["text"] == both.channels[1].text


def test_one_channel_and_none(recognizer: speechlstm.Recognizer, call: str) -> None:
    mono = str(SAMPLES / "stop.flac")
    plain = one(recognizer, mono, "each")
    assert isinstance(plain, Transcript) and plain.text == "stop" and not plain.channels
    failed = one(recognizer, mono, 1)
    assert isinstance(failed, AudioError) and "no channel 1" in str(failed)
    assert isinstance(one(recognizer, "missing.wav", "each"), AudioError)


def test_names_of_channels() -> None:
    names = {"left": 0, "right": 1, "mix": None, None: None, "each": "each", 0: 0, "3": 3}
    assert {name: parse_channel(name) for name in names} == names
    for wrong in ("up", -1, True, 1.5, [0]):
        with pytest.raises(UsageError, match="must be a number from 0, left, right, mix, or each"):
            parse_channel(wrong)

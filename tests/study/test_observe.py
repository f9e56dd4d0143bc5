"""Observations of the shipped recognizer, of a stretch, and with a text that is given."""

from __future__ import annotations

from pathlib import Path

import pytest

import speechlstm
from speechlstm.study.inspect.observe import observe
from speechlstm.types import AudioError, SpeechlstmError

SAMPLES = Path(speechlstm.__file__).parent / "data" / "samples"


def test_the_shipped_recognizer_is_observed() -> None:
    bundle = speechlstm.load()
    seen = observe(bundle, SAMPLES / "number.flac", bundle.decoder)
    assert seen.transcript.text == "four one two five five one nine"
    frames = len(seen.log_probs)
    assert frames == pytest.approx(seen.seconds / seen.frame_shift, abs=1.01)
    assert len(seen.directions) == 6 and {each.memory.shape for each in seen.directions} == {(frames, 256)}
    assert len(seen.reaches) == 7 and seen.shares[3].shape == (frames, 2)
    assert seen.overview is None
    stretch = observe(bundle, SAMPLES / "number.flac", bundle.decoder, offset=0.5, duration=0.75)
    assert stretch.seconds == pytest.approx(0.75) and len(stretch.transcript.words) < 5
    assert (stretch.offset, stretch.recording_seconds) == (0.5, pytest.approx(seen.seconds))
    assert stretch.overview.min() == seen.waveform.min() and stretch.overview.max() == seen.waveform.max()


def test_a_text_is_aligned_instead_of_found() -> None:
    bundle = speechlstm.load()
    seen = observe(bundle, SAMPLES / "stop.flac", bundle.decoder, text=" Stop ")
    assert seen.aligned and [word.text for word in seen.transcript.words] == ["stop"]
    for text, message in (("", "text= is empty"), ("supercalifragilistic", "not in the tokenizer's words")):
        with pytest.raises(SpeechlstmError, match=message):
            observe(bundle, SAMPLES / "stop.flac", bundle.decoder, text=text)


def test_too_long_a_recording_is_refused() -> None:
    bundle = speechlstm.load()
    with pytest.raises(AudioError, match=r"61 s long, but at most 60 s can be shown; choose a stretch"):
        observe(bundle, SAMPLES / "stop.flac", bundle.decoder, duration=61.0)
    with pytest.raises(AudioError, match="no such file"):
        observe(bundle, "nowhere.wav", bundle.decoder)

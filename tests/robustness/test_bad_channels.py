"""Channels that cancel each other or are not finite: what can be heard of them, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech_files import RATE, read, speech

from speechlstm.data.audio import load_audio
from speechlstm.types import AudioError


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    quiet = 0.5 * speech()
    soundfile.write(path, np.stack([quiet, -speech()], 1), RATE, subtype="FLOAT")
    soundfile.write(path.with_name("b.wav"), np.stack([speech(), -speech()], 1), RATE, subtype="FLOAT")
    soundfile.write(path.with_name("c.wav"), np.stack([speech(), 0 * speech()], 1), RATE, subtype="FLOAT")
    for name, canceled, scale in (("b.wav", True, 1.0), ("c.wav", False, 0.5), ("a.wav", False, -0.25)):
        sound, warnings = read(path.with_name(name))
        assert sound is not None
        np.testing.assert_allclose(sound, scale * speech(), atol=1e-6)
        assert warnings == (
            ["channels cancel each other at 0.0 s; channel 0 was taken there"] if canceled else []
        )


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_channel_that_is_not_finite(tmp_path: Path, broken: int, value: float) -> None:
    path = tmp_path / "a.wav"
    begin = RATE // 2
    channels = np.stack([speech(), speech()], 1)
    channels[begin:, broken] = value
    soundfile.write(path, channels, RATE, subtype="FLOAT")
    said = f"channel {broken} has values that are not finite (NaN or infinity) at 0.5 s"
    sound, warnings = read(path)
    np.testing.assert_allclose(sound, speech(), atol=1e-6)
    assert warnings == [f"{said}; the others were taken there"]
    with pytest.raises(AudioError) as caught:
        load_audio(path, RATE, strict=True)
    assert str(caught.value).startswith(f"{path}: {said}; ") and "strict_audio=false" in str(caught.value)
    channels[begin : begin + RATE // 4] = value  # in both
    soundfile.write(path, channels, RATE, subtype="FLOAT")
    sound, warnings = read(path)
    assert sound is not None and warnings[0] == "0.25 s missing at 0.5 s" and len(warnings) == 2
    np.testing.assert_allclose(sound[begin + RATE // 4 :], speech()[begin + RATE // 4 :], atol=1e-6)

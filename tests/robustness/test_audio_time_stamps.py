"""Sound lies where its time stamps say: late, beside a longer picture, and with packets lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from speech_files import RATE, SECONDS, mux, read, shift, speech, strictly


@pytest.mark.parametrize("form", ["asf", "matroska", "mp4", "avi"])
def test_a_picture_that_is_longer_is_no_missing_sound(form: str, tmp_path: Path) -> None:
    codec, rate = ("wmav2", 44_100) if form == "asf" else (LATE[form], RATE)
    path = mux(tmp_path / f"a.{form}", form, codec, rate, picture=3 * SECONDS)
    sound, missing = read(path)
    assert sound is not None and not missing and strictly(path) is None
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.15)


LATE = {"mp4": "aac", "mov": "aac", "matroska": "aac", "mpegts": "mp2", "avi": "pcm_s16le", "flv": "aac"}


@pytest.mark.parametrize("form", LATE)
def test_sound_lies_where_its_time_stamps_say(form: str, tmp_path: Path) -> None:
    rate = 44_100 if form == "flv" else RATE
    plain, _ = read(mux(tmp_path / "plain", form, LATE[form], rate, picture=5.0))
    late, missing = read(mux(tmp_path / "late", form, LATE[form], rate, late=2.0, picture=7.0))
    assert plain is not None and late is not None and not missing
    delay = shift(late, speech()) - shift(plain, speech())
    assert delay == pytest.approx(0.0 if form == "avi" else 2.0, abs=0.07)  # avi has no time stamps
    assert len(plain) / RATE == pytest.approx(SECONDS, abs=0.2)  # the picture lasts longer


@pytest.mark.parametrize("form", ["mp4", "matroska", "webm", "mpegts", "flv", "asf"])
@pytest.mark.parametrize("drop", [(1.0, 1.5), (2.0, 3.0), (0.5, 0.9)])
def test_lost_packets_become_silence(form: str, drop: tuple[float, float], tmp_path: Path) -> None:
    codec = {"webm": "libopus", "mpegts": "mp2", "asf": "wmav2"}.get(form, "aac")
    rate = {"webm": 48_000, "flv": 44_100, "asf": 44_100}.get(form, RATE)
    path = mux(tmp_path / "a", form, codec, rate, drop=drop)
    sound, missing = read(path)
    assert sound is not None
    assert len(sound) / RATE == pytest.approx(SECONDS, abs=0.2)
    quiet = sound[round((drop[0] + 0.15) * RATE) : round((drop[1] - 0.1) * RATE)]
    assert np.abs(quiet).max() < 0.02
    if form != "mp4":  # whose header gives the packet before the whole time
        assert len(missing) == 1
        assert "missing at" in (strictly(path) or "")

"""Files that somebody has joined byte by byte: all are heard, in whatever format, or what is missing is said."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from speech_files import CODED, RATE, mux, read, shift, speech, strictly

from speechlstm.data.audio import joined, load_audio
from speechlstm.types import AudioError

SPLIT = ["flac", "m4a", "mp4", "mov", "caf", "au", "aiff", "flv", "tta", "wv"]  # formats for one recording


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives a file of an ending, at the rate of its format or another, with some channels."""
    folder = tmp_path_factory.mktemp("audio")

    @cache
    def make(ending: str, rate: int = 0, channels: int = 1) -> bytes:
        form, codec, usual, _ = CODED[ending]
        return mux(folder / f"{rate}.{channels}.{ending}", form, codec, rate or usual, channels).read_bytes()

    return make


@pytest.mark.parametrize("ending", sorted(CODED))
def test_nothing_is_lost_without_a_word(ending: str, made: Any, tmp_path: Path) -> None:
    path = tmp_path / f"joined.{ending}"
    path.write_bytes(made(ending))
    one, _ = read(path)
    path.write_bytes(2 * made(ending))
    sound, missing = read(path)
    assert one is not None and sound is not None
    assert missing or len(sound) == pytest.approx(2 * len(one), abs=0.2 * RATE)
    if ending in SPLIT:
        assert not missing and strictly(path) is None
        for part in np.array_split(sound, 2):
            assert abs(shift(part, one)) < 0.01


@pytest.mark.parametrize("ending", SPLIT)
@pytest.mark.parametrize("block", [16, 61, 4096])
def test_places_are_found_wherever_blocks_end(
    ending: str, block: int, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined, "_BLOCK", block)
    path = tmp_path / "joined"
    path.write_bytes(made(ending) + made(ending, 22_050) + made(ending))
    with path.open("rb") as file:
        contents = [link.content.read() for link in joined.joined(file, str(path)) if link.content]
    assert contents == [made(ending), made(ending, 22_050), made(ending)]


@pytest.mark.parametrize("ending", SPLIT)
def test_rates_and_channels_may_differ_and_a_stretch_is_read(ending: str, made: Any, tmp_path: Path) -> None:
    path = tmp_path / f"joined.{ending}"
    path.write_bytes(made(ending, 22_050) + made(ending, 44_100, 2))
    sound, missing = read(path)
    assert sound is not None and not missing
    one = len(speech())
    assert len(sound) == pytest.approx(2 * one, abs=0.2 * RATE)
    stretch = load_audio(path, RATE, offset=5.0, duration=1.0)
    assert len(stretch) == RATE and abs(shift(stretch, sound[5 * RATE : 6 * RATE])) < 0.001


@pytest.mark.parametrize("ending", SPLIT)
def test_a_second_one_that_is_cut_off_is_said(ending: str, made: Any, tmp_path: Path) -> None:
    path = tmp_path / f"joined.{ending}"
    whole = made(ending)
    path.write_bytes(whole + whole[: len(whole) // 2])
    sound, missing = read(path)
    assert sound is not None and len(sound) >= 0.95 * len(speech())
    assert missing and strictly(path)


def test_one_recording_is_left_alone(made: Any, tmp_path: Path) -> None:
    for ending in sorted(CODED):
        path = tmp_path / f"one.{ending}"
        path.write_bytes(made(ending))
        with path.open("rb") as file:
            assert joined.joined(file, str(path)) == []
    surround = tmp_path / "six.wv"  # each moment has several blocks, three of them at the very beginning
    mux(surround, "wv", "wavpack", RATE, 2)
    soundfile.write(tmp_path / "six.flac", np.stack([speech()] * 6, 1), RATE)
    for path in (surround, tmp_path / "six.flac"):
        with path.open("rb") as file:
            assert joined.joined(file, str(path)) == []


def test_a_file_is_looked_through_once_and_again_when_it_has_changed(made: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    for content, times in ((2 * made("flac"), 2), (made("flac"), 1), (3 * made("flac"), 3)):
        path.write_bytes(content)
        missed = joined._places.cache_info().misses
        lengths = [len(load_audio(path, RATE)) for _ in range(3)]
        assert lengths == 3 * [times * len(speech())]
        assert joined._places.cache_info().misses == missed + 1


def test_what_is_not_finite_is_where_it_is(tmp_path: Path) -> None:
    samples = np.tile(speech(), 2)
    samples[6 * RATE : 6 * RATE + RATE // 2] = np.nan
    contents = []
    for half in np.split(samples, 2):
        soundfile.write(tmp_path / "half.au", half, RATE, subtype="FLOAT")
        contents.append((tmp_path / "half.au").read_bytes())
    path = tmp_path / "joined.au"
    path.write_bytes(b"".join(contents))
    assert read(path)[1] == ["0.50 s missing at 6.0 s"]
    with pytest.raises(AudioError, match=r"not finite \(NaN or infinity\), 0.50 s missing at 6.0 s"):
        load_audio(path, RATE, 5.0, 2.0)
    assert len(load_audio(path, RATE, 1.0, 4.0)) == 4 * RATE

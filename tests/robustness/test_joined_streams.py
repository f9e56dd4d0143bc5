"""Files of formats that may be joined byte by byte are read to the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from speech_files import RATE, SECONDS, mux, read, strictly


def joined(tmp_path: Path, *files: Path) -> np.ndarray:
    path = tmp_path / f"joined{files[0].suffix}"
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    sound, missing = read(path)
    assert sound is not None and not missing and strictly(path) is None
    return sound


@pytest.mark.parametrize("ending", ["mp3", "aac", "opus", "vorbis", "ac3", "mp2", "ts", "ogg"])
@pytest.mark.parametrize("times", [2, 3])
def test_joined_files_are_read_to_the_end(
    ending: str, times: int, made: Callable[[str], Path], tmp_path: Path
) -> None:
    one, _ = read(made(ending))
    assert one is not None
    sound = joined(tmp_path, *[made(ending)] * times)
    assert len(sound) == pytest.approx(times * len(one), abs=0.1 * times * RATE)


@pytest.mark.parametrize(
    ("form", "codec"), [("adts", "aac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("ogg", "flac")]
)
@pytest.mark.parametrize("rates", [(48_000, 48_000), (24_000, 48_000), (48_000, 16_000)])
def test_layout_and_rate_may_change(form: str, codec: str, rates: tuple[int, int], tmp_path: Path) -> None:
    files = [
        mux(tmp_path / f"{number}.{form}", form, codec, rate, channels)
        for number, (rate, channels) in enumerate(zip(rates, (1, 2), strict=True))
    ]
    sound = joined(tmp_path, *files)
    assert len(sound) / RATE == pytest.approx(2 * SECONDS, abs=0.3)

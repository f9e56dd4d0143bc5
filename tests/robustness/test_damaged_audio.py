"""Audio that is cut off, has holes, or has other bytes: samples or an error that names the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from speech_files import CODED, RATE, SECONDS, read, strictly


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def hole(content: bytes, share: float) -> bytes:
    at = int(len(content) * share)
    return content[:at] + content[at + len(content) // 10 :]


def noise(content: bytes, share: float) -> bytes:
    at, size = int(len(content) * share), len(content) // 10
    return content[:at] + random.Random(at).randbytes(size) + content[at + size :]


def zeros(content: bytes, share: float) -> bytes:
    at, size = int(len(content) * share), len(content) // 10
    return content[:at] + bytes(size) + content[at + size :]


HARM = [cut, hole, noise, zeros]
UNPROTECTED = {
    "wav",
    "w64",
    "au",
    "aiff",
    "mov",
    "avi",
    "nut",
    "aac",
    "amr",
    "wma",
    "flv",
    "ac3",
    "eac3",
    "mp2",
    "ts",
    "mpg",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("ending", [*CODED, "wav"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_damage(
    ending: str,
    harm: Callable[[bytes, float], bytes],
    share: float,
    made: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    path = tmp_path / f"harmed.{ending}"
    path.write_bytes(harm(made(ending).read_bytes(), share))
    sound, missing = read(path)
    if sound is None:
        return
    assert np.isfinite(sound).all() and len(sound) / RATE < SECONDS + 1.0
    if harm is cut:
        assert len(sound) / RATE <= SECONDS * share + 0.6
    elif ending not in ("webm", "mkv", "mka", "nut", "tta"):  # whose demuxers skip far
        assert len(sound) / RATE > SECONDS * 0.5
    if harm is not zeros and ending not in UNPROTECTED:  # a code with checksums or stated lengths
        assert missing, "nobody would learn that something is missing"
        assert "missing at" in (strictly(path) or "") or "cut off" in (strictly(path) or "")


def pages(content: bytes) -> list[tuple[int, int]]:
    """Return where the pages of an Ogg file begin and end."""
    found: list[tuple[int, int]] = []
    place = 0
    while (place := content.find(b"OggS", place)) >= 0:
        count = content[place + 26]
        end = place + 27 + count + sum(content[place + 27 : place + 27 + count])
        found.append((place, end))
        place = end
    return found


@pytest.mark.parametrize("ending", ["vorbis", "opus"])
@pytest.mark.parametrize("way", ["lost", "damaged", "headless"])
@pytest.mark.parametrize("number", range(-2, 6))
def test_one_page_of_ogg(
    ending: str, way: str, number: int, made: Callable[[str], Path], tmp_path: Path
) -> None:
    content = made(ending).read_bytes()
    whole, _ = read(made(ending))
    begin, end = pages(content)[number]
    middle = (begin + end) // 2
    changed = {
        "lost": content[:begin] + content[end:],
        "damaged": content[:middle]
        + bytes(byte ^ 85 for byte in content[middle : middle + 9])
        + content[middle + 9 :],
        "headless": content[:begin] + b"XXXX" + content[begin + 4 :],
    }[way]
    path = tmp_path / "a.ogg"
    path.write_bytes(changed)
    sound, missing = read(path)
    if number in (0, 1):  # without the decoder's headers there is no sound; Opus needs no comments
        assert (sound is None) == (number == 0 or ending == "vorbis")
        return
    assert sound is not None and whole is not None and len(missing) == 1
    assert (
        end > len(content) - 1000 or number == -2 or len(sound) == pytest.approx(len(whole), abs=0.05 * RATE)
    )
    assert strictly(path)


def test_a_file_that_cannot_be_read_is_named() -> None:
    place = Path("/proc/self/mem")
    if not place.exists():
        pytest.skip("no /proc here")
    assert "cannot be read" in (strictly(place) or "")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ending=st.sampled_from(
        ["wav", "flac", "mp3", "m4a", "webm", "opus", "vorbis", "aac", "wma", "avi", "caf", "w64"]
    ),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8), st.booleans()), max_size=6),
    keep=st.floats(0.01, 1),
)
def test_any_bytes_give_samples_or_an_error(
    ending: str,
    edits: list[tuple[float, bytes, bool]],
    keep: float,
    made: Callable[[str], Path],
    scratch: Path,
) -> None:
    content = bytearray(made(ending).read_bytes())
    for share, piece, early in edits:
        at = int(share * (min(300, len(content)) if early else len(content)))
        content[at : at + len(piece)] = piece
    path = scratch / f"a.{ending}"
    path.write_bytes(content[: int(len(content) * keep)])
    sound, _ = read(path)
    assert sound is None or (len(sound) and np.isfinite(sound).all())

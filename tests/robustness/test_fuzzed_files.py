"""Files with changes that follow from a seed: any outcome but a crash, a hang, another exception, or much memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import READERS, fuzz

FILES = 12  # of a case


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory by /proc")
@pytest.mark.parametrize("begin", range(0, 4 * FILES, FILES))
@pytest.mark.parametrize("reader", READERS)
def test_a_changed_file_is_read_or_named(reader: str, begin: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHLSTM_CACHE", "")  # restored after; the reader of caches sets its own
    assert fuzz(reader, range(begin, begin + FILES)) == FILES


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory by /proc")
def test_a_frame_with_more_channels_than_pyav_counts_is_no_crash() -> None:
    """Of 32 channels apart from each other, which a change of this ADTS header claims."""
    assert fuzz("aac", range(1775, 1776)) == 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory by /proc")
def test_a_part_with_a_name_of_thousands_of_letters_is_named_in_short() -> None:
    assert fuzz("config", range(1002963, 1002964)) == 1

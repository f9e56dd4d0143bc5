"""Bundles in which a file is something else, or another: one sentence each, at once and in little memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import NO_FILES, instead, refused

from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import verify

NO_JSON = ["deep", "deep objects", "long number", "UTF-16", "null", "number", "list"]


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "selftest.safetensors", "decoder.json"])
def test_a_file_that_is_none(tiny: Path, name: str, kind: str) -> None:
    instead(kind)(tiny / name)
    with refused(tiny / name, message="damaged|missing"):
        verify(load_bundle(tiny))


@pytest.mark.parametrize("kind", NO_JSON)
@pytest.mark.parametrize("name", ["config.json", "decoder.json"])
def test_json_that_is_none(tiny: Path, name: str, kind: str) -> None:
    instead(kind)(tiny / name)
    with refused(tiny / name):
        load_bundle(tiny)


def test_files_that_are_swapped_are_named(tiny: Path) -> None:
    one, other = tiny / "model.safetensors", tiny / "selftest.safetensors"
    one.rename(tiny / "x")
    other.rename(one)
    (tiny / "x").rename(other)
    with refused(
        tiny, message=r"model\.safetensors: holds no weights .*, but log_probs, waveform; is it another"
    ):
        load_bundle(tiny)

"""Settings of every part are checked by its annotations, in one place, before anything is made."""

from __future__ import annotations

import inspect
import time
import tracemalloc
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from speechlstm.model import installed, registry
from speechlstm.model.settings import Size, Within, describe, fits
from speechlstm.types import UsageError

GIVEN: dict[str, dict[str, Any]] = {
    "encoder": {"num_features": 20, "vocab_size": 5},
    "features": {"sample_rate": 16000},
    "tokenizer": {"texts": ["one two"]},
}
SMALL = {"hidden_size": 6, "num_layers": 2, "conv_channels": 2}
REFUSED: list[tuple[str, str, dict[str, object], str]] = [
    (
        "encoder",
        "blstm",
        {"cell": "transformer"},
        "encoder.cell is 'transformer', but must be one of lstm, gru, rnn",
    ),
    ("encoder", "blstm", {"subsampling": 3}, "encoder.subsampling is 3, but must be one of 1, 2, 4"),
    ("encoder", "blstm", {"subsampling": True}, "encoder.subsampling is True"),
    (
        "encoder",
        "blstm",
        {"hidden_size": 0},
        "encoder.hidden_size is 0, but must be a whole number from 1 to 8192",
    ),
    ("encoder", "blstm", {"hidden_size": 8.5}, "encoder.hidden_size is 8.5, but must be a whole number"),
    ("encoder", "blstm", {"hidden_size": "8"}, "encoder.hidden_size is '8'"),
    ("encoder", "blstm", {"hidden_size": None}, "encoder.hidden_size is None"),
    ("encoder", "blstm", {"hidden_size": [8]}, r"encoder.hidden_size is \[8\]"),
    ("encoder", "blstm", {"num_layers": 0}, "encoder.num_layers is 0"),
    ("encoder", "blstm", {"num_layers": float("nan")}, "encoder.num_layers is nan"),
    ("encoder", "blstm", {"conv_channels": -1}, "encoder.conv_channels is -1"),
    (
        "encoder",
        "blstm",
        {"projection_size": 0},
        "projection_size is 0, but must be a whole number .* or null",
    ),
    ("encoder", "blstm", {"dropout": 1.0}, "encoder.dropout is 1.0, but must be a number from 0 to 0.99"),
    ("encoder", "blstm", {"dropout": -0.1}, "encoder.dropout is -0.1"),
    ("encoder", "blstm", {"layer_norm": 0}, "encoder.layer_norm is 0, but must be true or false"),
    (
        "encoder",
        "blstm",
        {"intermediate": 2},
        "encoder.intermediate is 2, but must be a list, each a whole number",
    ),
    ("encoder", "blstm", {"intermediate": [True]}, r"encoder.intermediate is \[True\]"),
    ("encoder", "blstm", {"num_layers": 3, "intermediate": [3]}, r"intermediate is \[3\], .* from 1 to 2"),
    ("encoder", "lookahead", {"lookahead": -1}, "encoder.lookahead is -1, but must be a whole number from 0"),
    ("encoder", "lookahead", {"cell": "x"}, "encoder.cell is 'x'"),
    ("encoder", "chunked", {"chunk_size": 0}, "encoder.chunk_size is 0"),
    ("encoder", "conformer", {"width": 9, "num_heads": 2}, "width 9 must be a multiple of num_heads 2"),
    ("encoder", "conformer", {"kernel_size": 4}, "kernel_size 4 odd"),
    (
        "features",
        "logmel",
        {"normalize": "both"},
        "normalize is 'both', but must be one of utterance, global, none",
    ),
    (
        "features",
        "logmel",
        {"hop": 0.05},
        "the hop must be at least one sample and no longer than the window",
    ),
    ("features", "logmel", {"hop": 0.0}, "features.hop is 0.0"),
    ("features", "logmel", {"window": 0.5, "sample_rate": 96000}, "no more than 32768 samples"),
    ("features", "logmel", {"high_freq": 9e3}, "high_freq 9000.0 Hz, but must be in order"),
    (
        "features",
        "logmel",
        {"num_mels": 3},
        "features.num_mels is 3, but must be a whole number from 4 to 512",
    ),
    ("features", "logmel", {"floor": 0.0}, "features.floor is 0.0"),
    ("features", "fbank", {"low_freq": 9e3}, "features.low_freq is 9000.0"),
    ("features", "mfcc", {"num_coefficients": 41}, "num_coefficients is 41, more than the 40 mel bands"),
    ("features", "mfcc", {"deltas": "yes"}, "features.deltas is 'yes', but must be true or false"),
]
HUGE = [
    ("encoder", "blstm", "hidden_size"), ("encoder", "blstm", "num_layers"), ("encoder", "blstm", "conv_channels"),
    ("encoder", "blstm", "projection_size"), ("encoder", "chunked", "chunk_size"), ("encoder", "chunked", "lookahead"),
    ("encoder", "lookahead", "lookahead"), ("encoder", "conformer", "width"), ("encoder", "conformer", "ffn_size"),
    ("encoder", "conformer", "kernel_size"), ("features", "logmel", "sample_rate"), ("features", "logmel", "num_mels"),
    ("features", "logmel", "window"), ("features", "logmel", "hop"), ("features", "fbank", "num_mels"),
    ("features", "mfcc", "num_coefficients"), ("features", "spectrogram", "window"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "name", "settings", "message"), REFUSED)
def test_a_setting_that_cannot_be_is_named_with_what_fits(
    stage: str, name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        registry.create(stage, name=name, **{**GIVEN[stage], **settings})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [900_001, 10**400])
@pytest.mark.parametrize(("stage", "name", "key"), HUGE)
def test_huge_settings_end_in_a_sentence_at_once(stage: str, name: str, key: str, value: float) -> None:
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(UsageError, match=f"{stage}.{key} is ") as raised:
        registry.create(stage, name=name, **{**GIVEN[stage], key: value})
    assert time.process_time() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert len(str(raised.value)) < 200


def test_defaults_fit_their_own_annotations() -> None:
    for stage in ("features", "encoder", "tokenizer"):
        for point in registry.points(stage):
            yaml = installed.settings(stage, point.name)
            kind = registry.load(stage, point.name)
            for make in registry.makers(stage, kind):
                hints = inspect.get_annotations(make, eval_str=True)
                for key in yaml.keys() & hints.keys():
                    if not str(yaml[key]).startswith(("$", "?")):
                        assert fits(yaml[key], hints[key]), (stage, point.name, key)


@pytest.mark.parametrize(
    ("value", "hint", "wanted"),
    [
        (np.int64(3), int, True), (np.float32(3), float, True), (3, float, True), (True, int, False),
        (3.0, int, False), (None, Size | None, True), (0, Size | None, False), ("a", str | Path, True),
        ([1, 2], list[int], True), ((1, 2), list[int], False), ("12", list[int], False), ([1, "2"], list[int], False),
        ("b", Literal["a", "b"], True), (1, Literal["1"], False), (0.5, Annotated[float, "a unit", Within(0, 1)], True),
        (object(), int | Path, True), ({"a": 1}, dict[str, int], True),
    ],
)  # fmt: skip
def test_what_an_annotation_takes(value: object, hint: Any, wanted: bool) -> None:
    assert fits(value, hint) is wanted
    assert describe(hint)

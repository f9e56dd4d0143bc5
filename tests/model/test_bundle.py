"""Bundles: what is saved is what is loaded, wherever it is moved."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bundle import ENCODER, RATE, log_probs_of, make

import speechlstm
from speechlstm.model import encoder
from speechlstm.model.bundle import load_bundle
from speechlstm.model.selftest import save_bundle
from speechlstm.model.selftest import verify as check
from speechlstm.types import PluginError, SpeechlstmError


@pytest.mark.parametrize("normalize", ["utterance", "global", "none"])
def test_a_bundle_comes_back_as_it_was(tmp_path: Path, normalize: str) -> None:
    bundle = make(normalize)
    save_bundle(bundle, tmp_path / "b", "# Card\n")
    loaded = load_bundle(tmp_path / "b")
    assert torch.equal(log_probs_of(loaded), log_probs_of(bundle))
    assert loaded.tokenizer.to_dict() == bundle.tokenizer.to_dict()
    assert (loaded.name, loaded.model.sample_rate, loaded.model.frame_shift) == ("small", RATE, 0.04)
    assert check(loaded) == 0.0
    assert not loaded.model.encoder.training
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        *("README.md", "config.json", "model.safetensors", "selftest.safetensors", "tokens.txt")
    ]
    assert (tmp_path / "b" / "README.md").read_text() == "# Card\n"
    lines = (tmp_path / "b" / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines == bundle.tokenizer.tokens


def test_half_precision_is_half_the_size_and_verifies(tmp_path: Path) -> None:
    exact = log_probs_of(make())
    save_bundle(make(), tmp_path / "whole", "")
    bundle = make()
    save_bundle(bundle, tmp_path / "half", "", torch.float16)
    loaded = load_bundle(tmp_path / "half")
    assert check(loaded) == 0.0, "the self-test is of the weights as they are stored"
    assert next(loaded.model.encoder.parameters()).dtype == torch.float32, (
        "computed with in float32 all the same"
    )
    assert 0 < (log_probs_of(loaded) - exact).abs().max() < 0.01
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.65 * sizes[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_counts_and_tied_weights_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """As batch normalization has a count of batches, and an output layer can be used twice."""

    class Counting(encoder.Encoder):
        def __init__(self, num_features: int, vocab_size: int, **settings: Any) -> None:
            super().__init__(num_features, vocab_size, **settings)
            self.register_buffer("batches", torch.tensor(0))
            self.twin = self.output

    monkeypatch.setattr(encoder, "Encoder", Counting)
    bundle = make()
    bundle.model.encoder = Counting(16, len(bundle.tokenizer), **ENCODER).eval()
    bundle.model.encoder.batches.fill_(2001)  # which bfloat16 has not
    save_bundle(bundle, tmp_path / "b", "", dtype)
    loaded = load_bundle(tmp_path / "b")
    assert torch.equal(log_probs_of(loaded), log_probs_of(bundle))
    assert loaded.model.encoder.batches == bundle.model.encoder.batches == 2001
    assert loaded.model.encoder.twin is loaded.model.encoder.output


def test_an_older_bundle_is_replaced_and_nothing_else_is_left(small: Path) -> None:
    save_bundle(make(seed=1), small, "new")
    assert (small / "README.md").read_text() == "new"
    assert torch.equal(log_probs_of(load_bundle(small)), log_probs_of(make(seed=1)))
    assert [path.name for path in small.parent.iterdir()] == ["small"]


def test_a_bundle_can_be_moved_and_is_readable_by_those_who_may(small: Path, tmp_path: Path) -> None:
    moved = shutil.move(small, tmp_path / "elsewhere")
    assert check(load_bundle(moved)) == 0.0


def test_log_probs_do_not_depend_on_the_batch(small: Path) -> None:
    bundle = load_bundle(small)
    rng = np.random.default_rng(0)
    clips = [torch.from_numpy(rng.standard_normal(n).astype(np.float32)) for n in (8000, 123, 20001, 4000)]
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=9.0)
    together, frames = bundle.model(padded, lengths)
    for row, count, clip in zip(together, frames, clips, strict=True):
        alone, _ = bundle.model(clip[None], torch.tensor([len(clip)]))
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=0)


def test_an_unusable_device_is_one_line(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpeechlstmError, match="device is 'abacus', but must be a device, such as"):
        speechlstm.load(small, device="abacus")


@pytest.mark.parametrize("stage", ["features", "encoder"])
def test_a_stage_that_leaves_does_not_pass_for_success(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make()
    monkeypatch.setattr(getattr(bundle.model, stage), "forward", lambda *_: sys.exit(0))
    with pytest.raises(PluginError, match=r"LogMel or Encoder called sys\.exit"):
        log_probs_of(bundle)

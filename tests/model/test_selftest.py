"""The self-test of a bundle, and `verify`, which runs it: changes of every kind are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_bundle import edit, edit_weights

from speechlstm.cli import verify
from speechlstm.model.bundle import load_bundle
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import synthesize
from speechlstm.model.selftest import verify as check
from speechlstm.types import BundleError


def run_verify(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["verify.py", f"bundle={folder}", *arguments])
    try:
        verify.main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def test_the_clip_of_the_self_test_excites_the_recognizer() -> None:
    clip = synthesize(16000)
    assert clip.shape == (24000,) and clip.dtype == torch.float32
    assert 0.2 < clip.abs().max() <= 0.3
    features, _ = LogMel(16000, normalize="none")(clip[None], torch.tensor([24000]))
    assert features.std() > 2, "loud and soft, high and low"


def test_verify_reproduces_a_bundle(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verify(monkeypatch, small) == 0
    assert capsys.readouterr().out.startswith(f"{small}: reproduced: log-probabilities differ by at most 0.0")


def test_verify_finds_changed_weights(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_weights(small, lambda tensors: tensors["encoder.output.bias"].add_(torch.rand(10)[:1]).mul_(1.01))
    edit_weights(small, lambda tensors: tensors["encoder.output.weight"].mul_(1.01))
    assert check(load_bundle(small)) > 1e-3
    assert run_verify(monkeypatch, small) == 1
    assert "NOT reproduced" in capsys.readouterr().out
    assert run_verify(monkeypatch, small, "tolerance=100") == 0


def test_verify_finds_weights_that_are_not_numbers(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_weights(small, lambda tensors: tensors["encoder.output.weight"].fill_(torch.nan))
    assert run_verify(monkeypatch, small) == 1


def test_verify_finds_a_changed_configuration(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(small, lambda config: config["features"].update(high_freq=3000.0))
    assert run_verify(monkeypatch, small) == 1


def test_verify_says_what_is_wrong_in_one_line(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "selftest.safetensors").unlink()
    assert run_verify(monkeypatch, small) == 1
    assert (
        capsys.readouterr().err == f"error: {small}/selftest.safetensors: missing; the bundle is incomplete\n"
    )
    save_file({"waveform": torch.zeros(9)}, small / "selftest.safetensors")
    with pytest.raises(BundleError, match="lacks waveform or log_probs"):
        check(load_bundle(small))

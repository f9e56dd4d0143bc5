"""Bundles: what is saved is what is loaded, damage of every kind is named, and nothing of a bundle is executed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import speechlstm
from speechlstm import __version__
from speechlstm.cli import verify
from speechlstm.model import bundle as bundles
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle, synthesize
from speechlstm.model.selftest import verify as check
from speechlstm.model.tokenizer import Characters
from speechlstm.types import BundleError, OutputError, PluginError, SpeechlstmError

RATE = 8000
FEATURES = {"sample_rate": RATE, "num_mels": 16}
ENCODER = {"hidden_size": 8, "num_layers": 1, "conv_channels": 2}


def make(normalize: str = "utterance", seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    tokenizer = Characters.from_texts(["any text, ü too"])
    features = LogMel(**FEATURES, normalize=normalize)
    if normalize == "global":
        features.estimate([(torch.randn(2, RATE), torch.tensor([RATE, RATE // 2]))])
    encoder = Encoder(16, len(tokenizer), **ENCODER)
    config = {
        "name": "small",
        "sample_rate": RATE,
        "features": {"name": "logmel", **FEATURES, "normalize": normalize},
        "encoder": {"name": "blstm", **ENCODER},
    }
    return Bundle(AcousticModel(features, encoder).eval(), tokenizer, config)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(make(), tmp_path / "small", "# small\n")
    return tmp_path / "small"


def log_probs_of(bundle: Bundle) -> torch.Tensor:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        return bundle.model(noise, torch.tensor([RATE]))[0]


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def run_verify(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["verify.py", f"bundle={folder}", *arguments])
    try:
        verify.main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


# there and back


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


def test_an_older_bundle_is_replaced_and_nothing_else_is_left(folder: Path) -> None:
    save_bundle(make(seed=1), folder, "new")
    assert (folder / "README.md").read_text() == "new"
    assert torch.equal(log_probs_of(load_bundle(folder)), log_probs_of(make(seed=1)))
    assert [path.name for path in folder.parent.iterdir()] == ["small"]


def test_a_bundle_can_be_moved_and_is_readable_by_those_who_may(folder: Path, tmp_path: Path) -> None:
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert check(load_bundle(moved)) == 0.0


def test_log_probs_do_not_depend_on_the_batch(folder: Path) -> None:
    bundle = load_bundle(folder)
    rng = np.random.default_rng(0)
    clips = [torch.from_numpy(rng.standard_normal(n).astype(np.float32)) for n in (8000, 123, 20001, 4000)]
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=9.0)
    together, frames = bundle.model(padded, lengths)
    for row, count, clip in zip(together, frames, clips, strict=True):
        alone, _ = bundle.model(clip[None], torch.tensor([len(clip)]))
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=0)


def test_the_clip_of_the_self_test_excites_the_recognizer() -> None:
    clip = synthesize(16000)
    assert clip.shape == (24000,) and clip.dtype == torch.float32
    assert 0.2 < clip.abs().max() <= 0.3
    features, _ = LogMel(16000, normalize="none")(clip[None], torch.tensor([24000]))
    assert features.std() > 2, "loud and soft, high and low"


# verify


def test_verify_reproduces_a_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verify(monkeypatch, folder) == 0
    assert capsys.readouterr().out.startswith(
        f"{folder}: reproduced: log-probabilities differ by at most 0.0"
    )


def test_verify_finds_changed_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_weights(folder, lambda tensors: tensors["encoder.output.bias"].add_(torch.rand(10)[:1]).mul_(1.01))
    edit_weights(folder, lambda tensors: tensors["encoder.output.weight"].mul_(1.01))
    assert check(load_bundle(folder)) > 1e-3
    assert run_verify(monkeypatch, folder) == 1
    assert "NOT reproduced" in capsys.readouterr().out
    assert run_verify(monkeypatch, folder, "tolerance=100") == 0


def test_verify_finds_weights_that_are_not_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_weights(folder, lambda tensors: tensors["encoder.output.weight"].fill_(torch.nan))
    assert run_verify(monkeypatch, folder) == 1


def test_verify_finds_a_changed_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder, lambda config: config["features"].update(high_freq=3000.0))
    assert run_verify(monkeypatch, folder) == 1


def test_verify_says_what_is_wrong_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "selftest.safetensors").unlink()
    assert run_verify(monkeypatch, folder) == 1
    assert (
        capsys.readouterr().err
        == f"error: {folder}/selftest.safetensors: missing; the bundle is incomplete\n"
    )
    save_file({"waveform": torch.zeros(9)}, folder / "selftest.safetensors")
    with pytest.raises(BundleError, match="lacks waveform or log_probs"):
        check(load_bundle(folder))


def test_an_unusable_device_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpeechlstmError, match="device is 'abacus', but must be a device, such as"):
        speechlstm.load(folder, device="abacus")


# damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder, and no installed model of that name; installed are: small"),
    "no config": (lambda b: (b / "config.json").unlink(), r"config\.json: missing"),
    "no weights": (lambda b: (b / "model.safetensors").unlink(), r"model\.safetensors: missing"),
    "weights cut short": (lambda b: truncate(b / "model.safetensors"), r"model\.safetensors: damaged"),
    "weights empty": (lambda b: (b / "model.safetensors").write_bytes(b""), r"model\.safetensors: damaged"),
    "weights are a folder": (
        lambda b: ((b / "model.safetensors").unlink(), (b / "model.safetensors").mkdir()),
        r"model\.safetensors: damaged",
    ),
    "config cut short": (lambda b: truncate(b / "config.json"), r"config\.json: damaged"),
    "config not UTF-8": (lambda b: (b / "config.json").write_bytes(b"\xff\xfe{}"), r"config\.json: damaged"),
    "config a list": (
        lambda b: (b / "config.json").write_text("[]"),
        r"config\.json: \[\], but must be a JSON",
    ),
    "newer format": (
        lambda b: edit(b, lambda c: c.update(format=99)),
        r"format 99, but this version .* reads 2",
    ),
    "no format": (lambda b: edit(b, lambda c: c.pop("format")), r"format None"),
    "no encoder": (lambda b: edit(b, lambda c: c.pop("encoder")), r"config\.json: no 'encoder'"),
    "no features": (lambda b: edit(b, lambda c: c.pop("features")), r"config\.json: no 'features'"),
    "no tokenizer": (lambda b: edit(b, lambda c: c.pop("tokenizer")), r"config\.json: no 'tokenizer'"),
    "no sample rate": (lambda b: edit(b, lambda c: c.pop("sample_rate")), r"config\.json: no 'sample_rate'"),
    "other sample rate": (
        lambda b: edit(b, lambda c: c.update(sample_rate=16000)),
        "not that of the features",
    ),
    "sample rate a word": (
        lambda b: edit(b, lambda c: c.update(sample_rate="fast")),
        r"config\.json: sample_rate",
    ),
    "encoder a word": (lambda b: edit(b, lambda c: c.update(encoder="lstm")), r"config\.json: encoder"),
    "features null": (lambda b: edit(b, lambda c: c.update(features=None)), r"config\.json: features"),
    "name a list": (lambda b: edit(b, lambda c: c.update(name=["x"])), r"config\.json: name"),
    "tokenizer of no kind": (
        lambda b: edit(b, lambda c: c["tokenizer"].update(kind="runes")),
        r"kind is 'runes'",
    ),
    "tokens missing": (lambda b: edit(b, lambda c: c["tokenizer"].pop("tokens")), "damaged description"),
    "a token too few": (lambda b: edit(b, lambda c: c["tokenizer"]["tokens"].pop()), "do not fit together"),
    "other size": (lambda b: edit(b, lambda c: c["encoder"].update(hidden_size=9)), "do not fit together"),
    "impossible size": (
        lambda b: edit(b, lambda c: c["encoder"].update(hidden_size=-1)),
        "do not fit together",
    ),
    "size a word": (lambda b: edit(b, lambda c: c["encoder"].update(hidden_size="x")), "do not fit together"),
    "unknown argument": (lambda b: edit(b, lambda c: c["encoder"].update(depth=9)), "do not fit together"),
    "hop nothing": (lambda b: edit(b, lambda c: c["features"].update(hop=0.0)), "do not fit together"),
    "a tensor missing": (
        lambda b: edit_weights(b, lambda t: t.pop("encoder.output.bias")),
        "do not fit together: .*output.bias",
    ),
    "a tensor too many": (
        lambda b: edit_weights(b, lambda t: t.update({"encoder.extra": torch.ones(2)})),
        "do not fit together: .*extra",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(folder: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(folder)
    with pytest.raises(BundleError, match=message) as raised:
        load_bundle(folder)
    assert str(raised.value).startswith(str(folder)) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("encoder", {"name": "os.system"}, "needs encoder 'os.system', which is not installed"),
        ("encoder", {"name": "logmel"}, "needs encoder 'logmel', which is not installed"),
        ("features", {"name": None}, "features must be chosen by name, but is None; installed are: .*logmel"),
        ("features", {"name": ["logmel"]}, r"by name, but is \['logmel'\]"),
        (
            "encoder",
            {"_target_": "os.system", "command": "touch executed"},
            "do not fit together: .*'_target_'",
        ),
        ("features", {"hop": {"_target_": "os.system", "command": "touch executed"}}, "do not fit together"),
    ],
)
def test_nothing_but_installed_parts_is_built(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    change: dict[str, object],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    edit(folder, lambda config: config[stage].update(change))
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)
    assert not (tmp_path / "executed").exists()


def test_a_class_is_no_name(folder: Path) -> None:
    edit(folder, lambda config: config.update(encoder={"_target_": "os.system"}))
    with pytest.raises(BundleError, match=r"encoder must be chosen by name, but is 'os\.system'"):
        load_bundle(folder)


def test_a_part_that_is_not_installed_is_asked_for_by_its_package(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        assert config["packages"] == dict.fromkeys(
            ("features", "encoder", "tokenizer"), f"speechlstm {__version__}"
        )
        config["encoder"]["name"] = "minlstm9"
        config["packages"]["encoder"] = "speechlstm-minlstm9 0.3"

    edit(folder, change)
    wanted = (
        "needs encoder 'minlstm9', .*it came with speechlstm-minlstm9 0.3: pip install speechlstm-minlstm9$"
    )
    with pytest.raises(BundleError, match=wanted):
        load_bundle(folder)


def test_weights_that_are_a_pickle_are_not_unpickled(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"encoder.output.bias": Trap()}, folder / "model.safetensors")
    with pytest.raises(BundleError, match=r"model\.safetensors: damaged"):
        load_bundle(folder)
    assert not (tmp_path / "executed").exists()


# saving fails


@pytest.mark.parametrize("fails_at", ["config.json", "README.md", "model.safetensors"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, error: BaseException
) -> None:
    write = bundles.write_atomically

    def full(path: Path, content: str | bytes) -> None:
        if path.name == fails_at:
            raise error
        write(path, content)

    monkeypatch.setattr(bundles, "write_atomically", full)
    before = log_probs_of(load_bundle(folder))
    with pytest.raises(type(error)):
        save_bundle(make(seed=1), folder, "new")
    assert [path.name for path in folder.parent.iterdir()] == ["small"], "nothing half-written"
    assert torch.equal(log_probs_of(load_bundle(folder)), before)


def test_when_the_new_bundle_cannot_take_its_place_the_old_one_returns(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".tmp"):
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError):
        save_bundle(make(seed=1), folder, "new")
    assert [path.name for path in folder.parent.iterdir()] == ["small"]
    assert torch.equal(log_probs_of(load_bundle(folder)), log_probs_of(make()))


def test_a_file_in_the_way_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("mine")
    with pytest.raises(SpeechlstmError, match="small: a file, but must be a folder"):
        save_bundle(make(), tmp_path / "small", "")
    assert (tmp_path / "small").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_folder_that_is_no_bundle_is_not_destroyed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(SpeechlstmError, match="thesis: holds something else than a bundle"):
        save_bundle(make(), tmp_path / "thesis", "")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{}"),
        ("config.json", '{"format": 2}'),
        ("config.json", "[["),
        ("config.json", '["format"]'),
    ],
)
def test_a_config_of_another_program_is_not_a_bundle(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).write_text(content)
    with pytest.raises(OutputError, match="model: holds something else than a bundle"):
        save_bundle(make(), tmp_path / "model", "")
    assert (tmp_path / "model" / name).read_text() == content


@pytest.mark.parametrize("name", ["lm.arpa", "decoder.json", ".git"])
def test_what_was_added_to_a_bundle_is_not_lost(name: str, folder: Path) -> None:
    (folder / name).write_text("by hand")
    with pytest.raises(
        OutputError, match=f"small: holds {re.escape(name)}, which would be lost; move it away"
    ):
        save_bundle(make(), folder, "")
    assert (folder / name).read_text() == "by hand"
    (folder / name).unlink()
    save_bundle(make(seed=1), folder, "")


@pytest.mark.parametrize("stage", ["features", "encoder"])
def test_a_stage_that_leaves_does_not_pass_for_success(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make()
    monkeypatch.setattr(getattr(bundle.model, stage), "forward", lambda *_: sys.exit(0))
    with pytest.raises(PluginError, match=r"LogMel or Encoder called sys\.exit"):
        log_probs_of(bundle)

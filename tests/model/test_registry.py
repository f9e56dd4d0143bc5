"""The door: each built-in part keeps the contract of its stage, and models are found by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from speechlstm.model import registry
from speechlstm.model.contract import Contract
from speechlstm.model.encoder.contract import EncoderContract
from speechlstm.model.features.contract import FeaturesContract
from speechlstm.model.tokenizer.contract import TokenizerContract
from speechlstm.types import BundleError, PluginError, UsageError

SMALL = {
    "blstm": {"hidden_size": 6, "num_layers": 2, "conv_channels": 2},
    "chunked": {"hidden_size": 6, "num_layers": 2, "conv_channels": 2, "chunk_size": 4, "lookahead": 2},
    "lookahead": {"hidden_size": 6, "num_layers": 2, "conv_channels": 2, "lookahead": 3},
    "conformer": {"width": 8, "num_heads": 2, "ffn_size": 8, "num_layers": 2, "conv_channels": 2},
}


class TestBlstm(EncoderContract):
    name, params = "blstm", SMALL["blstm"]


class TestChunked(EncoderContract):
    name, params = "chunked", SMALL["chunked"]


class TestLookahead(EncoderContract):
    name, params = "lookahead", SMALL["lookahead"]


class TestConformer(EncoderContract):
    name, params = "conformer", SMALL["conformer"]


class TestLogmel(FeaturesContract):
    name = "logmel"


class TestMfcc(FeaturesContract):
    name = "mfcc"


class TestFbank(FeaturesContract):
    name = "fbank"


class TestPcen(FeaturesContract):
    name = "pcen"


class TestSpectrogram(FeaturesContract):
    name = "spectrogram"


class TestCharacters(TokenizerContract):
    name = "characters"


class TestWords(TokenizerContract):
    name = "words"


class TestSubwords(TokenizerContract):
    name, params = "subwords", {"vocab_size": 14}


class TestPhones(TokenizerContract):
    name = "phones"
    test_no_text_is_refused = None  # the lexicon has the phones

    @pytest.fixture(autouse=True)
    def lexicon(self, tmp_path: Path) -> None:
        words = {word for text in self.texts for word in text.lower().split()}
        lines = [f"{word} {' '.join(word.upper())}\n" for word in sorted(words)]
        (tmp_path / "all.dic").write_text("".join(lines))
        self.params = {"lexicon": str(tmp_path / "all.dic")}  # type: ignore[misc]


def test_every_built_in_part_is_tested_here() -> None:
    kinds = {
        (kind.stage, kind.name)
        for kind in globals().values()
        if isinstance(kind, type) and issubclass(kind, Contract)
    }
    for stage in ("features", "encoder", "tokenizer"):
        own = {
            point.name for point in registry.points(stage) if point.dist and point.dist.name == "speechlstm"
        }
        assert own == {name for each, name in kinds if each == stage and name}


@pytest.mark.parametrize(
    ("stage", "lacking"),
    [
        ("encoder", "subsampling and no output_lengths"),
        ("features", "sample_rate and no num_features and no frame_shift and no frame_lengths"),
    ],
)
def test_a_part_without_what_its_stage_needs_is_refused(
    monkeypatch: pytest.MonkeyPatch, stage: str, lacking: str
) -> None:
    monkeypatch.setattr(registry, "load", lambda stage, name: nn.Identity)
    name = registry.names(stage)[0]
    with pytest.raises(
        PluginError, match=f"^{stage} '{name}' of .* has no {lacking}, which every {stage} needs$"
    ):
        registry.create(stage, name)


# bundles


def carry(folder: Path, name: str, package: str) -> Path:
    """Install a package that carries a model."""
    model = folder / package / "model"
    model.mkdir(parents=True)
    (folder / package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (model / "config.json").write_text(json.dumps({"name": name}))
    info = folder / f"{package}-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[speechlstm.bundles]\n{name} = {package}.model\n")
    return model


def test_models_are_found_by_name_folder_or_being_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = registry.find_bundle()
    assert (small / "model.safetensors").is_file() and small == registry.find_bundle("small")
    monkeypatch.syspath_prepend(tmp_path)
    english = carry(tmp_path, "english", "speech_english")
    assert registry.find_bundle() == registry.find_bundle("english") == english
    assert registry.find_bundle(tmp_path) == tmp_path and registry.find_bundle("small") == small
    carry(tmp_path, "german", "speech_german")
    with pytest.raises(
        UsageError, match="several models are installed: choose with bundle=english or bundle=german"
    ):
        registry.find_bundle()
    with pytest.raises(
        BundleError, match=r"englsh: no such folder, .*; did you mean 'english'.*german, small"
    ):
        registry.find_bundle("englsh")
    (english / "config.json").unlink()
    with pytest.raises(
        PluginError, match=r"bundle 'english' of speech_english 2.0 is not there: no config.json"
    ):
        registry.find_bundle("english")

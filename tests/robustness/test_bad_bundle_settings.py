"""Bundles whose config.json asks for what cannot be: one sentence each, at once and in little memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import PARTS, config, refused

from speechlstm.model.bundle import load_bundle
from speechlstm.model.provenance import trained_on
from speechlstm.types import BundleError, Utterance

IMPOSSIBLE = [10**40, "x", {"a": 1}, [[1]]]
SETTINGS = [(stage, key) for stage, part in PARTS.items() for key in part if key != "name"]


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
@pytest.mark.parametrize(("stage", "key"), SETTINGS)
def test_a_setting_that_cannot_be(tiny: Path, stage: str, key: str, value: object) -> None:
    changes = {f"{stage}__{key}": value} | ({"sample_rate": value} if key == "sample_rate" else {})
    config(**changes)(tiny)
    with refused(tiny, message=key):
        load_bundle(tiny)


LARGE: list[dict[str, object]] = [
    {"encoder__hidden_size": 8192, "encoder__num_layers": 64},
    {"encoder__hidden_size": 8192},
    {"encoder__num_layers": 64, "encoder__hidden_size": 512},
    {"encoder__projection_size": 8192},
    {"encoder__conv_channels": 8192},
    {"encoder__hidden_size": 10**9},
    {"encoder__num_layers": 10**7},
    {"encoder__conv_channels": 10**8},
    {"encoder__name": "chunked", "encoder__lookahead": 10**9},
    {"encoder__name": "chunked", "encoder__chunk_size": 10**9},
    {"encoder__name": "lookahead", "encoder__lookahead": 10**9},
    {"encoder__name": "lookahead", "encoder__hidden_size": 8192, "encoder__lookahead": 1000},
    {"encoder": {"name": "conformer", "width": 8192, "ffn_size": 8192, "num_layers": 64}},
    {"encoder": {"name": "conformer", "ffn_size": 10**9}},
    {"encoder": {"name": "conformer", "kernel_size": 10**9 + 1}},
    {"features__sample_rate": 10**9, "sample_rate": 10**9},
    {"features__num_mels": 10**8},
    {"features__num_mels": 512},
    {"features__window": 1e9},
    {"features__sample_rate": 768000, "sample_rate": 768000, "features__window": 0.5},
    {"features": {"name": "spectrogram", "sample_rate": 8000, "window": 0.5}},
    {"features": {"name": "mfcc", "sample_rate": 8000, "num_coefficients": 10**9}},
    {"features": {"name": "fbank", "sample_rate": 8000, "num_mels": 10**9}},
]


@pytest.mark.parametrize("changes", LARGE, ids=str)
def test_settings_that_ask_for_more_memory_than_the_weights_have(
    tiny: Path, changes: dict[str, object]
) -> None:
    config(**changes)(tiny)
    with refused(tiny):
        load_bundle(tiny)


OTHER: dict[str, tuple[dict[str, object], str]] = {
    "no part of that name": ({"encoder__name": "nope"}, "needs encoder 'nope', which is not installed"),
    "a part of another stage": ({"encoder__name": "logmel"}, "needs encoder 'logmel'"),
    "packages a number": ({"encoder__name": "nope", "packages": 5}, "which is not installed$"),
    "package blank": ({"encoder__name": "nope", "packages": {"encoder": " "}}, "which is not installed"),
    "an unknown setting": ({"encoder__depth": 1}, "depth"),
    "format of the future": ({"format": 10**30}, "bundle format 1000"),
    "format a long text": ({"format": "x" * 10**6}, "bundle format 'xxx"),
    "features a long text": ({"features": "x" * 10**6}, "features is 'xxx"),
    "encoder null": ({"encoder": None}, "encoder is None"),
    "name no text": ({"name": "a\ud83d"}, "half a surrogate pair"),
    "name a number": ({"name": 5}, "name is 5"),
    "tokenizer a list": ({"tokenizer": []}, "tokenizer is"),
    "tokenizer of no kind": ({"tokenizer__kind": ["characters"]}, "kind is"),
    "tokens a text": ({"tokenizer__tokens": "abc"}, "must be distinct"),
    "tokens a mapping": ({"tokenizer__tokens": {"<blank>": 0}}, "must be distinct"),
    "tokens with numbers": ({"tokenizer__tokens": ["<blank>", 1]}, "must be distinct"),
    "tokens with lists": ({"tokenizer__tokens": ["<blank>", ["a"]]}, "must be distinct"),
    "a token twice": ({"tokenizer__tokens": ["<blank>", "a", "a"]}, "must be distinct"),
    "an empty token": ({"tokenizer__tokens": ["<blank>", ""]}, "must be distinct"),
    "half a surrogate pair": ({"tokenizer__tokens": ["<blank>", "\ud83d"]}, "half a surrogate pair"),
    "no tokens": ({"tokenizer__tokens": ["<blank>"]}, "no tokens"),
    "too many tokens": (
        {"tokenizer__tokens": ["<blank>", *map(str, range(200_000))]},
        "do not fit together",
    ),
    "a token too few": ({"tokenizer__tokens": ["<blank>", "a"]}, "do not fit together"),
    "case of no kind": ({"tokenizer__case": "camel"}, "tokenizer.case is 'camel'"),
    "case a list": ({"tokenizer__case": ["lower"]}, "tokenizer.case is"),
    "punctuation of no kind": ({"tokenizer__punctuation": 1}, "tokenizer.punctuation is 1"),
    "language of no kind": ({"tokenizer__language": "xx"}, "tokenizer.language is 'xx'"),
    "subwords without a model": ({"tokenizer__kind": "subwords"}, "damaged description of a subwords"),
    "subwords with a bad model": (
        {"tokenizer": {"kind": "subwords", "case": "lower", "tokens": ["<blank>", "a"], "model": "!"}},
        "damaged description of a subwords",
    ),
    "phones without a lexicon": ({"tokenizer__kind": "phones"}, "damaged description of a phones"),
    **{
        f"lexicon {shape!r}": (
            {"tokenizer": {"kind": "phones", "case": "lower", "tokens": ["<blank>", "|", "A"], "lexicon": shape}},
            "lexicon",
        )
        for shape in (
            5, "text", ["a"], {"a": 1}, {"a": "B"}, {"a": "A  A"}, {"a": [1]}, {"a": ["A", ""]},
            {"a": [[1]]}, {"a": []}, {"a": [["B"]]},
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_a_config_that_is_wrong(tiny: Path, name: str) -> None:
    changes, message = OTHER[name]
    config(**changes)(tiny)
    with refused(tiny, message=message):
        load_bundle(tiny)


@pytest.mark.parametrize("content", ["null", "[]", "5", "true", '"tiny"', "[1, 2]"])
def test_a_config_that_is_no_object(tiny: Path, content: str) -> None:
    (tiny / "config.json").write_text(content)
    with refused(tiny / "config.json", message="but must be a JSON object that describes a model") as caught:
        load_bundle(tiny)
    assert f"config.json: {content[:20].strip(chr(34))}" in str(caught.value)


@pytest.mark.parametrize("value", [5, None, "A", "AAA", "AAAA", ["AAAA"]], ids=str)
def test_a_record_of_the_training_that_is_none(value: object) -> None:
    with pytest.raises(BundleError, match=r"trained_on in the bundle's config\.json is damaged"):
        trained_on({"trained_on": value}, [Utterance("a.wav", 1.0, "a", "a")])

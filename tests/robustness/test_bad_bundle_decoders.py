"""Bundles whose decoder cannot be made: one sentence that names the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_bundle import ENCODER, FEATURES, PARTS, refused

import speechlstm
from speechlstm.model.acoustic import AcousticModel
from speechlstm.model.bundle import Bundle, load_bundle
from speechlstm.model.encoder import Encoder
from speechlstm.model.features import LogMel
from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Phones
from speechlstm.types import SpeechlstmError

DECODERS: dict[str, tuple[object, str]] = {
    "no name": ({"beam_size": 5}, "with the name of a decoder"),
    "name a list": ({"name": ["beam"]}, "with the name of a decoder"),
    "a text": ("beam", "with the name of a decoder"),
    "a missing language model": ({"name": "beam", "lm": "lm.arpa"}, r"lm is 'lm\.arpa', which is no file"),
    "a missing lexicon": ({"name": "beam", "words": "lexicon.dic"}, "words is 'lexicon.dic'"),
    "a file elsewhere": ({"name": "beam", "lm": "/etc/passwd"}, "lm is '/etc/passwd', which is no file of"),
    "a file above": ({"name": "beam", "lm": "../tiny/config.json"}, "which is no file of the bundle"),
    "a file of Windows": ({"name": "beam", "lm": "..\\config.json"}, "which is no file of the bundle"),
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_that_is_wrong(tiny: Path, name: str) -> None:
    content, message = DECODERS[name]
    (tiny / "decoder.json").write_text(json.dumps(content))
    with refused(tiny / "decoder.json", message=message):
        load_bundle(tiny)


DECODER_SETTINGS: dict[str, tuple[dict[str, object], str]] = {
    "not installed": ({"name": "nope"}, r"decoder\.json: no decoder 'nope'"),
    "a setting of the wrong type": (
        {"name": "beam", "beam_size": "many"},
        r"decoder\.json: .*beam_size is 'many'",
    ),
    "an unknown setting": ({"name": "beam", "breadth": 5}, r"decoder\.json: .*breadth"),
    "weights as language model": ({"name": "beam", "lm": "model.safetensors"}, "model.safetensors"),
    "damaged language model": ({"name": "beam", "lm": "bad.arpa"}, "bad.arpa"),
    "lexicon of other phones": ({"name": "beam", "lexicon": "strict", "words": "bad.dic"}, "bad.dic"),
}


@pytest.mark.parametrize("name", DECODER_SETTINGS)
def test_a_decoder_that_cannot_be_made(tiny: Path, name: str) -> None:
    content, message = DECODER_SETTINGS[name]
    (tiny / "bad.arpa").write_text("\\data\\\nngram 1=5\n\\1-grams:\n-1\ta\n")
    (tiny / "bad.dic").write_text("word X Y Z\n")
    (tiny / "decoder.json").write_text(json.dumps(content))
    recognizer = speechlstm.load(tiny)
    with pytest.raises(SpeechlstmError, match=message) as raised:
        recognizer.create_decoder()
    assert "\n" not in str(raised.value)


def test_a_lexicon_of_other_phones(tmp_path: Path) -> None:
    lexicon = {"yes": [["Y", "EH"]]}
    tokens = Phones(["<blank>", "|", "EH", "Y"], lexicon)
    model = AcousticModel(LogMel(**FEATURES), Encoder(16, len(tokens), **ENCODER)).eval()
    bundle = Bundle(model, tokens, {"name": "tiny", "sample_rate": 8000, **PARTS})
    bundle.decoder = {"name": "beam", "words": "words.dic"}
    save_bundle(bundle, tmp_path / "tiny", "")
    (tmp_path / "tiny/words.dic").write_text("no N OW\n")
    with pytest.raises(SpeechlstmError, match=r"words\.dic"):
        speechlstm.load(tmp_path / "tiny").create_decoder()

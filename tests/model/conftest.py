"""A small bundle in a folder, and a tokenizer of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_bundle import make
from toy_texts import LEXICON, TEXTS

from speechlstm.model.selftest import save_bundle
from speechlstm.model.tokenizer import Characters, Phones, Subwords, Tokenizer, Words


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the folder of a small bundle."""
    save_bundle(make(), tmp_path / "small", "# small\n")
    return tmp_path / "small"


@pytest.fixture(scope="session")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a lexicon."""
    path = tmp_path_factory.mktemp("lexicon") / "small.dic"
    path.write_text(LEXICON)
    return path


@pytest.fixture(scope="session")
def tokenizers(lexicon: Path) -> dict[str, Tokenizer]:
    """Return a tokenizer of each kind, made from the same texts."""
    return {
        "characters": Characters.from_texts(TEXTS),
        "words": Words.from_texts(TEXTS),
        "subwords": Subwords.from_texts(TEXTS, vocab_size=13),
        "phones": Phones.from_texts(TEXTS, lexicon),
    }

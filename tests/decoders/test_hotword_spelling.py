"""Hotwords of phones: several pronunciations, words that the lexicon lacks, and phrases that cannot be spelled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.model.tokenizer import Phones
from speechlstm.types import DecoderError

VOWELS = {"a": "A", "e": "E", "i": "I", "o": "O"}
CONSONANTS = {"k": "K", "l": "L", "m": "M", "s": "S", "t": "T"}
LEXICON = {
    f"{c}{v}{d}{w}": [[CONSONANTS[c], VOWELS[v], CONSONANTS[d], VOWELS[w]]]
    for c in CONSONANTS
    for d in CONSONANTS
    for v, w in (("a", "e"), ("e", "i"), ("i", "o"), ("o", "a"))
} | {"kite": [["K", "I", "T"], ["K", "E", "T", "E"]], "quay": [["K", "E"]]}
TOKENIZER = Phones(["<blank>", "|", *VOWELS.values(), *CONSONANTS.values()], LEXICON)


def log_probs(phones: str, probability: float = 0.6) -> Tensor:
    """Return frames in which each phone has a probability, the next token most of the rest, and blanks between."""
    rows = []
    for phone in phones.split():
        index, vocab = TOKENIZER.tokens.index(phone), len(TOKENIZER)
        row = torch.full((vocab,), 1e-8)
        row[index], row[2 + (index - 1) % (vocab - 2)] = probability, 0.99 - probability
        blank = torch.full((vocab,), 1e-8)
        blank[0] = 1.0
        rows += [row, blank]
    return torch.stack(rows).log_softmax(dim=-1)


def text(decoder: BeamDecoder, frames: Tensor) -> str:
    return decoder(frames[None], torch.tensor([len(frames)]))[0][0].text


def test_a_name_that_the_lexicon_lacks_is_recognized_as_a_hotword(capsys: pytest.CaptureFixture[str]) -> None:
    frames = log_probs("M A L O | S I T A L E")
    plain = BeamDecoder(TOKENIZER, lexicon="strict", words=None)
    assert "malo" not in text(plain, frames).split()
    decoder = BeamDecoder(TOKENIZER, lexicon="strict", hotwords=["Malo sitale"])
    assert text(decoder, frames) == "malo sitale"
    message = capsys.readouterr().err
    assert "hotword 'malo' is not in the lexicon; pronounced by its spelling: M A L O" in message
    assert "S I T A L E" in message


@pytest.mark.parametrize("spoken", ["K I T", "K E T E"])
def test_any_pronunciation_of_a_hotword_is_boosted(spoken: str) -> None:
    rival = LEXICON | {"kit": [["K", "O", "T"]], "kete": [["K", "I", "T", "E"]]}
    tokenizer = Phones(TOKENIZER.tokens, rival)
    frames = log_probs(spoken, probability=0.4)
    assert text(BeamDecoder(tokenizer, lexicon="strict"), frames) != "kite"
    assert (
        text(BeamDecoder(tokenizer, lexicon="strict", hotwords=["kite"], hotword_boost=2.0), frames) == "kite"
    )


def test_pronunciations_of_the_words_file_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.dic").write_text("malo M O L A\nkite K I T\n")
    decoder = BeamDecoder(
        TOKENIZER, lexicon="strict", words=tmp_path / "words.dic", hotwords={"malo": 0.5, "quay": 0.5}
    )
    assert text(decoder, log_probs("M O L A | K E")) == "malo quay"
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("phrase", "part"),
    [
        ("zürich", "nor are words with such letters"),
        ("ma" * 31, "over 60 letters"),
        ("ma" * 501, "more than 1000 characters"),
        ("\0", "nor are words with such letters"),
    ],
)
def test_what_has_no_pronunciation_is_refused(phrase: str, part: str) -> None:
    with pytest.raises(DecoderError, match=re.escape(part)):
        BeamDecoder(TOKENIZER, lexicon="strict", hotwords=["kite", phrase])


def test_a_lexicon_that_explains_no_spelling_is_an_error() -> None:
    tokenizer = Phones(["<blank>", "|", "K"], {"k": [["K"] * 9]})
    with pytest.raises(DecoderError, match="hotword 'kk' cannot be spelled: not in the lexicon, and no word"):
        BeamDecoder(tokenizer, hotwords=["kk"])

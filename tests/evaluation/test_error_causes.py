"""Causes of errors in the error report agree with scores taken by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.lm import load
from speechlstm.evaluation.errorreport import causes
from speechlstm.model.tokenizer import Characters

LETTERS = Characters.from_texts(["ab"])  # <blank> <space> a b


def logs(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


@pytest.mark.parametrize(
    ("rows", "reference", "kind"),
    [
        # Greedy takes two blanks, 0.36; "a" has 1 - 0.36 - what is left over.
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "a", "search"),
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "b", "model"),
        ([[0.1, 0.05, 0.8, 0.05]] * 2, "", "model"),
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "c", "unreachable"),  # is no token
        ([[0.58, 0.01, 0.4, 0.01]] * 2, "aa", "unreachable"),  # needs three frames
    ],
)
def test_causes_follow_from_the_scores(rows: list[list[float]], reference: str, kind: str) -> None:
    log_probs, decoder = logs(*rows), GreedyDecoder(tokenizer=LETTERS)
    cause = causes.find_cause(log_probs, decoder, LETTERS, reference, decoder.decode(log_probs)[0])
    assert cause.kind == kind
    if kind == "search":
        assert math.exp(cause.ctc[0]) == pytest.approx(2 * 0.58 * 0.4 + 0.4**2)
        assert cause.total == pytest.approx(cause.ctc)
    elif kind == "unreachable":
        assert cause.ctc[0] is cause.total[0] is None


def test_a_beam_mends_the_search_error() -> None:
    log_probs, beam = logs(*[[0.58, 0.01, 0.4, 0.01]] * 2), BeamDecoder(LETTERS)
    assert LETTERS.decode(beam.decode(log_probs)[0].tokens) == "a"


def test_what_the_decoder_adds_to_a_text_is_found_out(tmp_path: Path) -> None:
    """The total of a hypothesis is the score that a wide beam gave it, whatever model, bonus and lexicon took part."""
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=5\n\n\\1-grams:\n-2\t<unk>\n-99\t<s>\n-0.5\t</s>\n-0.3\ta\n-1.1\tab\n\n\\end\\\n"
    )
    wide = {"beam_size": 2000, "token_threshold": 0.0, "beam_threshold": math.inf, "n_best": 4}
    decoder = BeamDecoder(
        LETTERS, lm=load(tmp_path / "lm.arpa"), lm_weight=0.7, word_bonus=0.4, lexicon="soft", **wide
    )
    for seed in range(5):
        noise = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)
        best, *others = decoder.decode(noise)
        assert others
        for other in others:
            text = LETTERS.decode(other.tokens)
            if LETTERS.encode(text) != other.tokens:
                continue  # separators at the ends, which no reference has
            cause = causes.find_cause(noise, decoder, LETTERS, text, best)
            assert cause.kind == "model"
            assert cause.total == pytest.approx((other.score, best.score), abs=1e-3)
            assert cause.ctc == pytest.approx((other.parts["acoustic"], best.parts["acoustic"]), abs=1e-3)


def test_a_word_that_the_lexicon_lacks_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\n")
    decoder = BeamDecoder(LETTERS, words=tmp_path / "words.txt", lexicon="strict")
    log_probs = logs([0.02, 0.02, 0.32, 0.64], [0.9, 0.03, 0.03, 0.04])
    found = decoder.decode(log_probs)[0]
    assert LETTERS.decode(found.tokens) == "a"
    cause = causes.find_cause(log_probs, decoder, LETTERS, "b", found)
    assert (cause.kind, cause.total[0]) == ("unreachable", None)
    assert cause.ctc[0] is not None and cause.ctc[0] > cause.ctc[1], (
        "by the recognizer alone it would have won"
    )

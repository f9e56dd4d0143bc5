"""Labels of other toolkits: what pyctcdecode, Hugging Face and NeMo users have, decoded in three lines."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlstm.decoders import Decoder
from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.labels import Labels
from speechlstm.decoders.posteriors import certain
from speechlstm.types import DecoderError, TokenizerError, UsageError

PYCTCDECODE = [" ", *"abcdefghijklmnopqrstuvwxyz"]  # the alphabet of its README; the blank comes after
HUGGING_FACE = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
NEMO = ["<unk>", "▁the", "▁", "t", "he", "▁cat", "s", "▁sat"]


def log_probs(labels: list[str], tokens: list[str], blank: int, sure: float = 0.9) -> np.ndarray:
    """Return what a network says that is fairly sure of these tokens, a blank after each."""
    columns = [column for token in tokens for column in (labels.index(token), blank)]
    path = certain(columns, max(len(labels), blank + 1), sure)
    return path.numpy()


@pytest.mark.parametrize("kind", [GreedyDecoder, BeamDecoder])
@pytest.mark.parametrize(
    ("labels", "blank", "tokens", "text"),
    [
        (PYCTCDECODE, 27, [*"bugs bunny"], "bugs bunny"),
        (HUGGING_FACE, 0, [*"HELLO|TREE"], "HELLO TREE"),
        (NEMO, len(NEMO), ["▁the", "▁cat", "s", "▁sat"], "the cats sat"),
        ([*"ab", "<blank>", " "], 2, [*"ab ba"], "ab ba"),
        ([*"ab", "", "|"], 2, [*"ab|ba"], "ab ba"),
    ],
)
def test_each_toolkits_labels_are_decoded(
    kind: type[Decoder], labels: list[str], blank: int, tokens: list[str], text: str
) -> None:
    decoder = kind.from_labels(labels, blank=blank)
    [[best, *_]] = decoder(log_probs(labels, tokens, blank, sure=0.99))
    assert best.text == text
    assert best.tokens == [labels.index(token) for token in tokens], "the ids are the toolkit's"


def test_pyctcdecodes_example_with_a_language_model(tmp_path: Path) -> None:
    """Its README's shallow fusion: the network takes "bunny" for "bunnx", and an ARPA file knows better."""
    arpa = tmp_path / "kenlm_model.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-99\t<s>\t-0.3\n-1\t</s>\n-3\t<unk>\n"
        "-0.7\tbugs\t-0.3\n-0.7\tbunny\t-0.3\n\n\\2-grams:\n-0.2\t<s> bugs\n-0.1\tbugs bunny\n\n\\end\\\n"
    )
    logits = log_probs(PYCTCDECODE, [*"bugs bunny"], 27)
    y, x = PYCTCDECODE.index("y"), PYCTCDECODE.index("x")
    logits[-2, [y, x]] = math.log(0.40), math.log(0.50)
    logits = torch.from_numpy(logits).log_softmax(-1).numpy()

    decoder = BeamDecoder.from_labels(PYCTCDECODE, blank=27, lm=str(arpa), lm_weight=0.5, word_bonus=1.0)
    assert decoder(logits)[0][0].text == "bugs bunny"
    assert BeamDecoder.from_labels(PYCTCDECODE, blank=27)(logits)[0][0].text == "bugs bunnx"


def test_hotwords_are_spelled_by_the_labels() -> None:
    labels = Labels(NEMO, len(NEMO))
    assert [labels.tokens[index] for index in labels.encode("the cats")] == ["▁the", "▁cat", "s"]
    assert labels.decode(labels.encode("the cats sat")) == "the cats sat"
    assert Labels(HUGGING_FACE).encode("A B") == [HUGGING_FACE.index(each) for each in "A|B"]
    with pytest.raises(TokenizerError):
        labels.encode("dog")


@pytest.mark.parametrize(
    ("labels", "blank", "message"),
    [
        (PYCTCDECODE, 0, r"label 0 is ' ', which is no blank: .* blank=27 if it comes after"),
        ([*"abc"], 1, "label 1 is 'b', which is no blank"),
        ([*"abc"], 4, "blank is 4, but must be the column of the blank, from 0 to 3"),
        ([*"abc"], -1, "blank is -1"),
        (["_", "a", "a"], 0, "labels cannot be used: tokens must be distinct"),
        (["_", "a", ""], 0, "labels cannot be used: tokens must be distinct"),
    ],
)
def test_labels_that_cannot_be_are_refused(labels: list[str], blank: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GreedyDecoder.from_labels(labels, blank=blank)


def test_a_batch_is_a_tensor_too_and_another_width_is_refused() -> None:
    decoder = GreedyDecoder.from_labels(PYCTCDECODE, blank=27)
    batch = torch.from_numpy(log_probs(PYCTCDECODE, [*"bugs"], 27)).expand(2, -1, -1)
    assert [found[0].text for found in decoder(batch, [8, 4])] == ["bugs", "bu"]
    with pytest.raises(DecoderError, match="log_probs are of 27 tokens, but the tokenizer has 28"):
        decoder(batch[..., :27])


def test_a_subclass_that_takes_over_the_call_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Taken overrides __call__, .* override decode_batch"):
        type("Taken", (Decoder,), {"__call__": lambda self: None, "decode": lambda self: None})
    with pytest.raises(TypeError, match="Idle has neither decode nor decode_batch"):
        type("Idle", (Decoder,), {})

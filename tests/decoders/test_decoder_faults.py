"""What a decoder raises or returns is checked, and a fault is reported with the package it came from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.decoders.posteriors import noise, padded, spoken
from speechlstm.model.tokenizer import Characters
from speechlstm.types import DecoderError, Hypothesis, UsageError

TOKENIZER = Characters.from_texts(["ab"])


class Returns(Decoder):
    """Returns what it is told to, for every utterance."""

    def __init__(self, found: Any) -> None:
        super().__init__(TOKENIZER)
        self.found = found

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return self.found


class ReturnsForBatch(Returns):
    """Is batch-wise."""

    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        return self.found


GOOD = Hypothesis([2, 2], [0, 2], [2, 3], -1.0, [0.5, 1.0])
LOG_PROBS, LENGTHS = padded([noise(4, len(TOKENIZER), 0), noise(3, len(TOKENIZER), 1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [2]}, "tokens: 1, starts: 2, ends: 2, confidences: 2, but there must be one of each"),
        ({"tokens": [0, 2]}, "tokens from 0 to 2, but they go from 1 to 3; 0 is the blank"),
        ({"tokens": [2, 4]}, "tokens from 2 to 4"),
        ({"starts": [0, 1]}, r"start at frames \[0, 1\] and end at \[2, 3\] of 4, but they must follow"),
        ({"starts": [-1, 2]}, r"start at frames \[-1, 2\]"),
        ({"ends": [2, 2]}, r"end at \[2, 2\] of 4"),
        ({"ends": [2, 5]}, r"end at \[2, 5\] of 4"),
        ({"confidences": [0.5, 1.1]}, r"confidences \[0.5, 1.1\], but they must lie between 0 and 1"),
        ({"confidences": [-0.5, 1]}, r"confidences \[-0.5"),
        ({"confidences": [float("nan"), 1]}, r"confidences \[nan"),
        ({"score": float("nan")}, "the score nan, but it must be a number"),
        ({"score": "-1.0"}, "the score '-1.0', but it must be a number"),
        ({"text": 3}, "the text 3, but it must be a string or None"),
    ],
)
def test_a_hypothesis_that_cannot_be_used_is_nonsense(change: dict[str, Any], message: str) -> None:
    assert Returns([GOOD])(LOG_PROBS, LENGTHS) == [[replace(GOOD, text="aa")]] * 2
    with pytest.raises(
        DecoderError, match=f"decoder Returns of .* returned for utterance 0 of the batch .*{message}"
    ):
        Returns([replace(GOOD, **change)])(LOG_PROBS, LENGTHS)


def test_a_text_that_cannot_be_written_is_refused_further_down_the_list_too() -> None:
    with pytest.raises(
        DecoderError, match=r"decoder Returns of .* text 'a.ud83d', which has half a surrogate"
    ):
        Returns([GOOD, replace(GOOD, text="a\ud83d")])(LOG_PROBS, LENGTHS)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (Returns(None), "utterance 0 of the batch a NoneType, but must return a list of hypotheses"),
        (Returns([]), "utterance 0 of the batch no hypothesis, but must return at least an empty one"),
        (Returns(["yes"]), "utterance 0 of the batch a str, but must return a Hypothesis"),
        (ReturnsForBatch([[GOOD]]), "1 results for a batch of 2 utterances"),
        (ReturnsForBatch(None), "a NoneType for a batch of 2 utterances"),
        (ReturnsForBatch([[GOOD], [replace(GOOD, ends=[2, 4])]]), "utterance 1 .* of 3"),
        (Returns([replace(GOOD, tokens=["a", 2])]), "failed: TypeError: '.*' not supported"),
        (Returns([replace(GOOD, tokens=None)]), "failed: TypeError: object of type 'NoneType' has no len"),
    ],
)
def test_results_that_are_none_are_nonsense(decoder: Decoder, message: str) -> None:
    with pytest.raises(DecoderError, match=f"decoder {type(decoder).__name__} of {__name__} .*{message}"):
        decoder(LOG_PROBS, LENGTHS)


def test_a_decoder_that_does_not_call_the_base_class_is_told_to() -> None:
    class Forgets(Returns):
        def __init__(self) -> None:
            pass

    with pytest.raises(
        DecoderError, match=r"decoder .*Forgets of .* must call super\(\).__init__\(tokenizer\)$"
    ):
        Forgets()(LOG_PROBS, LENGTHS)


def test_what_a_search_raises_is_told_with_its_cause_and_known_errors_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cause: Exception = RuntimeError("no memory left")

    def decode(log_probs: Tensor) -> list[Hypothesis]:
        raise cause

    decoder = Returns([])
    monkeypatch.setattr(decoder, "decode", decode)
    with pytest.raises(DecoderError, match="failed: RuntimeError: no memory left") as raised:
        decoder(LOG_PROBS, LENGTHS)
    assert raised.value.__cause__ is cause
    cause = UsageError("hotwords are out")
    with pytest.raises(UsageError, match=r"^hotwords are out$"):
        decoder(LOG_PROBS, LENGTHS)


# tokens without frames


@pytest.mark.parametrize("seed", range(10))
def test_align_finds_the_best_alignment_and_the_probability_of_all(seed: int) -> None:
    log_probs = noise(5, len(TOKENIZER), seed)
    alignments: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(len(TOKENIZER)), repeat=5):
        if tuple(token for token, _ in itertools.groupby(path) if token) == (2, 2):
            alignments[path] = math.exp(
                sum(float(log_probs[frame, token]) for frame, token in enumerate(path))
            )
    best = max(alignments, key=lambda path: alignments[path])
    found = Returns([]).align(log_probs, [2, 2], "aa")
    assert found.score == pytest.approx(math.log(sum(alignments.values())), rel=1e-4)
    wanted = collapse(log_probs[range(5), best].numpy(), np.array(best))
    assert (found.tokens, found.text) == ([2, 2], "aa")
    assert (found.starts, found.ends, found.confidences) == (wanted.starts, wanted.ends, wanted.confidences)


def test_align_of_nothing_and_of_what_is_impossible() -> None:
    log_probs = noise(3, len(TOKENIZER), 0)
    assert Returns([]).align(log_probs, []).score == pytest.approx(float(log_probs[:, 0].sum()))
    assert Returns([]).align(log_probs[:0], []) == Hypothesis([], [], [], 0.0, [])
    certain = spoken(TOKENIZER, "ab", sure=1.0)
    found = Returns([]).align(certain, [2, 3])
    assert (found.starts, found.ends, found.score) == ([1, 3], [2, 4], 0.0)


class FailsLater(Returns):
    """Has a second pass that is told what to do."""

    def decode_passes(self, log_probs: Tensor) -> Iterator[list[Hypothesis]]:
        yield self.found
        yield [replace(self.found[0], tokens=[])]
        raise SystemExit


def test_each_pass_is_checked() -> None:
    assert [*Returns([GOOD]).passes(LOG_PROBS[0])] == [[replace(GOOD, text="aa")]]
    passes = FailsLater([GOOD]).passes(LOG_PROBS[0])
    assert next(passes) == [replace(GOOD, text="aa")]
    with pytest.raises(DecoderError, match=r"decoder FailsLater of .* returned .* tokens: 0, starts: 2"):
        next(passes)
    FailsLater([GOOD]).passes(LOG_PROBS[0]).close()
    with pytest.raises(DecoderError, match=r"decoder FailsLater of .* failed: SystemExit"):
        [*FailsLater([replace(GOOD, tokens=[], starts=[], ends=[], confidences=[])]).passes(LOG_PROBS[0])]
    with pytest.raises(DecoderError, match="log_probs are NaN at frame 0"):
        next(Returns([GOOD]).passes(LOG_PROBS[0] * math.nan))

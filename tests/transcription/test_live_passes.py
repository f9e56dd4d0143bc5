"""Live speech with a decoder of two passes: the second is for final words, and no step takes longer than others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell
from torch import Tensor

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import live
from speechlstm.transcription.live import Stream, Update
from speechlstm.types import Hypothesis

WORDS = ["hello", "yes", "no", "it's", "a"]


class TwoPasses(GreedyDecoder):
    """Reads in the first pass, and in the second other words instead of some; records the frames of each pass."""

    def __init__(self, other: dict[str, str]) -> None:
        super().__init__(tokenizer=TOKENS)
        self.other = other
        self.first: list[int] = []
        self.second: list[int] = []

    def decode_passes(self, log_probs: Tensor) -> Iterator[list[Hypothesis]]:
        self.first.append(len(log_probs))
        (found,) = super().decode_passes(log_probs)
        yield found
        self.second.append(len(log_probs))
        yield [self.better(found[0])]

    def better(self, found: Hypothesis) -> Hypothesis:
        words = TOKENS.decode(found.tokens).split()
        return replace(found, text=" ".join(self.other.get(word, word) for word in words))


class Shortens(TwoPasses):
    """Takes the second pass for the first letters of words."""

    def better(self, found: Hypothesis) -> Hypothesis:
        dropped = {index for _, first, end in TOKENS.words(found.tokens) for index in range(first + 2, end)}
        order = [index for index in range(len(found.tokens)) if index not in dropped]
        parts = {
            key: [getattr(found, key)[index] for index in order]
            for key in ("tokens", "starts", "ends", "confidences")
        }
        return replace(found, **parts, text=None)


def updates(decoder: GreedyDecoder, waveform: np.ndarray, step: float = 0.64) -> list[Update]:
    stream = Stream(SpellingBundle(), decoder, step=step)
    blocks = [waveform[start : start + 1600] for start in range(0, len(waveform), 1600)]
    return [*(update for block in blocks for update in stream.accept(block)), stream.finish()]


def final(found: list[Update]) -> list[str]:
    return [word.text for update in found for word in update.words]


@pytest.mark.parametrize("step", [0.16, 0.64])
def test_the_second_pass_is_for_what_becomes_final(step: float) -> None:
    decoder = TwoPasses({"hello": "yellow", "no": "know"})
    found = updates(decoder, spell(" ".join(WORDS * 8)), step)
    assert final(found) == ["yellow", "yes", "know", "it's", "a"] * 8
    assert len(decoder.second) == sum(bool(update.words) for update in found) < len(decoder.first)
    shown = " ".join(update.partial for update in found)
    assert "hello" in shown and "yellow" not in shown


def test_what_the_second_pass_has_heard_differently_is_not_given_out_again() -> None:
    assert final(updates(Shortens({}), spell(" ".join(WORDS * 8)), 0.16)) == ["he", "ye", "no", "it", "a"] * 8


def test_words_that_the_second_pass_drops_do_not_keep_the_others_from_being_final() -> None:
    waveform = np.concatenate([spell("hello"), np.zeros(2 * RATE, np.float32), spell("yes no")])
    assert final(updates(TwoPasses({"hello": "", "no": ""}), waveform)) == ["yes"]


def test_steps_of_a_long_stream_take_as_much_work_as_those_at_its_beginning() -> None:
    """Ten minutes without a pause."""
    waveform = np.tile(spell(" ".join(WORDS) + " "), 700)[: 600 * RATE]
    model, decoder = SpellingBundle(), TwoPasses({})
    stream = Stream(model, decoder, step=0.64)
    found = [
        update
        for start in range(0, len(waveform), RATE)
        for update in stream.accept(waveform[start : start + RATE])
    ]
    read = [samples for _, samples in model.batches]
    assert len(read) == 937 and len(decoder.first) == len(found) <= 938
    assert max(read) <= (live.CONTEXT + 3.0) * RATE and max(read[100:]) <= max(read[:100])
    assert max(decoder.first[100:]) <= max(decoder.first[:100])
    assert max(decoder.first) * FRAME < 3.0 * RATE


class NeverAgrees(TwoPasses):
    """Hears every word differently each time."""

    def decode_passes(self, log_probs: Tensor) -> Iterator[list[Hypothesis]]:
        self.first.append(len(log_probs))
        (found,) = super(TwoPasses, self).decode_passes(log_probs)
        words = TOKENS.decode(found[0].tokens).split()
        yield [replace(found[0], text=" ".join(f"{word}{len(self.first)}" for word in words))]


@pytest.mark.parametrize("step", [0.16, 0.32, 0.64])
def test_words_on_which_no_two_recognitions_agree_are_final_after_a_second(step: float) -> None:
    found = updates(NeverAgrees({}), spell(" ".join(WORDS * 8)), step)
    assert [text.rstrip("0123456789") for text in final(found)] == WORDS * 8
    late = [update.time - word.end for update in found for word in update.words]
    assert max(late) <= live.LIMIT + 0.1

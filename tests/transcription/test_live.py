"""Live speech: final words are those of the whole recording, and come soon."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spelling import FRAME, RATE, TOKENS, SpellingBundle, spell
from torch import Tensor

from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.transcription import live
from speechlstm.transcription.live import Stream, Update
from speechlstm.transcription.transcript import Word
from speechlstm.types import UsageError

GREEDY = GreedyDecoder(tokenizer=TOKENS)


class ChunkedBundle(SpellingBundle):
    """Gives chunks of 0.64 s, each when 0.32 s of the next are there."""

    def live(self) -> Callable[[Tensor, int, bool], Tensor]:
        again = super().live()

        def forward(held: Tensor, start: int, last: bool) -> Tensor:
            log_probs, first = again(held, start, last), start // FRAME
            return (
                log_probs if last else log_probs[: max(0, (first + len(log_probs) - 16) // 32 * 32 - first)]
            )

        return forward


def updates(
    waveform: np.ndarray, size: int, bundle: SpellingBundle | None = None, **settings: float
) -> list[Update]:
    stream = Stream(bundle or SpellingBundle(), GREEDY, **settings)
    found = [
        update
        for start in range(0, len(waveform), size)
        for update in stream.accept(waveform[start : start + size])
    ]
    return [*found, stream.finish()]


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(["no", "yes", "hello", "a", "it's"]), min_size=1, max_size=60),
    st.integers(500, 40_000),
    st.sampled_from([0.16, 0.32, 1.0]),
    st.sampled_from([SpellingBundle(), ChunkedBundle()]),
)
def test_final_words_are_those_of_the_whole(
    words: list[str], size: int, step: float, bundle: SpellingBundle
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "CONTEXT", 1.0)
        found = updates(spell(" ".join(words)), size, bundle, step=step)
    final = [word for update in found for word in update.words]
    assert [word.text for word in final] == words
    assert all(before.end <= after.end for before, after in itertools.pairwise(final))
    begin = 0.0
    for word, at in zip(final, words, strict=True):
        assert word.start == pytest.approx(begin, abs=0.15)
        begin += 0.06 * (len(at) + 1)
    assert all(update.time >= word.end - 1e-6 for update in found for word in update.words)


def test_final_words_come_soon_after_their_chunk() -> None:
    words = ["hello", "yes", "no"] * 8
    found = updates(np.pad(spell(" ".join(words)), (0, RATE)), 1600, ChunkedBundle())
    late = [update.time - word.end for update in found for word in update.words]
    assert len(late) == len(words) and max(late) <= 0.64 + 0.32 + live.LAG + 0.1


def test_partial_text_comes_first_and_pauses_end_lines() -> None:
    speech = spell("yes hello")
    waveform = np.concatenate(
        [speech, np.zeros(2 * RATE, np.float32), spell("no"), np.zeros(RATE, np.float32)]
    )
    found = updates(waveform, 1600)
    partial = next(update for update in found if update.partial)
    assert partial.time <= 0.64 and not partial.words
    lines = [[]]
    for update in found:
        lines[-1] += [word.text for word in update.words]
        if update.endpoint:
            lines.append([])
    assert lines == [["yes", "hello"], ["no"], []]
    ends = [update.time for update in found if update.endpoint]
    assert ends[0] == pytest.approx(len(speech) / RATE + 0.8, abs=0.4)


def test_memory_does_not_grow_in_silence_or_in_speech_that_never_settles() -> None:
    noise = np.random.default_rng(0).normal(size=120 * RATE).astype(np.float32)
    for waveform in (np.zeros(120 * RATE, np.float32), noise):
        stream = Stream(SpellingBundle(), GREEDY, step=1.0)
        for _ in stream.accept(waveform):
            assert len(stream._held) <= (live.LONGEST + live.CONTEXT + 1) * RATE


def test_a_final_word_begins_no_earlier_than_the_one_before_has_ended() -> None:
    """Another recognition, with more audio, draws the line between two words elsewhere."""
    stream = Stream(SpellingBundle(), GREEDY)
    stream._at = 2 * RATE
    recognitions = [[Word("five", 0.45, 0.5, 1.0)], [Word("six", 0.4, 0.9, 1.0), Word("a", 0.9, 1.0, 1.0)]]
    final = [word for words in recognitions for word in stream._update(iter([words]), last=False).words]
    assert [(word.text, word.start, word.end) for word in final] == [
        ("five", 0.45, 0.5),
        ("six", 0.5, 0.9),
        ("a", 0.9, 1.0),
    ]


def test_wrong_use_is_explained() -> None:
    with pytest.raises(UsageError, match="step is 0, but must be"):
        Stream(SpellingBundle(), GREEDY, step=0)
    with pytest.raises(UsageError, match=r"samples of shape \(2, 2\) and type float64"):
        list(Stream(SpellingBundle(), GREEDY).accept(np.zeros((2, 2))))
    with pytest.raises(UsageError, match=r"samples of shape \(2,\) and type list"):
        list(Stream(SpellingBundle(), GREEDY).accept([0.0, 0.0]))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not finite"):
        list(Stream(SpellingBundle(), GREEDY).accept(np.full(10, np.nan, np.float32)))
    assert Stream(SpellingBundle(), GREEDY).finish() == Update(0.0)

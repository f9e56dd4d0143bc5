"""Forced alignment against brute force, torchaudio's, and the CTC loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import groupby, pairwise

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from speechlstm.transcription.align import forced_alignment
from speechlstm.types import SpeechlstmError


def posteriors(frames: int, vocab: int, seed: int) -> np.ndarray:
    """Return normalized log-probabilities with a clear favourite in most frames."""
    logits = torch.randn(frames, vocab, generator=torch.Generator().manual_seed(seed)) * 4
    return logits.log_softmax(-1).numpy()


def collapse(path: Sequence[int]) -> list[int]:
    return [label for label, _ in groupby(path) if label]


def labels(log_probs: np.ndarray, tokens: list[int]) -> tuple[list[int], float]:
    """Return the label of each frame of the best path, and the path's score."""
    found, path = forced_alignment(log_probs, tokens)
    frames = [0] * len(log_probs)
    for token, start, end in zip(found.tokens, found.starts, found.ends, strict=True):
        frames[start:end] = [token] * (end - start)
    assert path == pytest.approx(log_probs[np.arange(len(frames)), frames], abs=1e-6)
    assert float(path.sum()) == pytest.approx(found.score, abs=1e-6)
    return frames, found.score


def random_tokens(count: int, vocab: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(1, vocab, count).tolist()


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**31), st.data())
def test_brute_force_over_all_alignments(frames: int, vocab: int, seed: int, data: st.DataObject) -> None:
    log_probs = posteriors(frames, vocab, seed)
    tokens = collapse(data.draw(st.lists(st.integers(0, vocab - 1), min_size=frames, max_size=frames)))
    paths = [p for p in itertools.product(range(vocab), repeat=frames) if collapse(p) == tokens]
    best = max(paths, key=lambda path: log_probs[range(frames), path].sum())
    found, score = labels(log_probs, tokens)
    assert tuple(found) == best
    assert score == pytest.approx(float(log_probs[range(frames), best].sum()), abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_torchaudio_finds_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, vocab = int(rng.integers(20, 300)), int(rng.integers(2, 60))
    log_probs = posteriors(frames, vocab, seed)
    tokens = random_tokens(int(rng.integers(1, frames // 2)), vocab, seed)
    oracle, scores = torchaudio.functional.forced_align(
        torch.from_numpy(log_probs)[None], torch.tensor([tokens], dtype=torch.int32), blank=0
    )
    found, score = labels(log_probs, tokens)
    assert found == oracle[0].tolist()
    assert score == pytest.approx(float(scores.double().sum()), rel=1e-5)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(2, 6), st.integers(0, 2**31))
def test_tokens_are_in_order_apart_and_inside(count: int, spare: int, vocab: int, seed: int) -> None:
    tokens = random_tokens(count, vocab, seed)
    repeats = sum(a == b for a, b in pairwise(tokens))
    frames = max(count + repeats + spare, 1)
    log_probs = posteriors(frames, vocab, seed)
    found, path = forced_alignment(log_probs, tokens)
    assert found.tokens == tokens
    assert len(path) == frames
    assert all(0 <= start < end <= frames for start, end in zip(found.starts, found.ends, strict=True))
    for (end, start), (before, after) in zip(
        zip(found.ends, found.starts[1:], strict=False), pairwise(tokens), strict=True
    ):
        assert end < start if before == after else end <= start
    for start, end, confidence in zip(found.starts, found.ends, found.confidences, strict=True):
        assert confidence == pytest.approx(float(np.exp(path[start:end]).mean()), abs=1e-6)
    if count:
        targets, sizes = torch.tensor([tokens]), (torch.tensor([frames]), torch.tensor([count]))
        all_paths = -torch.nn.functional.ctc_loss(
            torch.from_numpy(log_probs)[:, None].double(), targets, *sizes, reduction="sum"
        )
        assert found.score <= float(all_paths) + 1e-6


def test_the_best_path_of_all_is_found_by_the_greedy_text() -> None:
    log_probs = posteriors(200, 12, 3)
    best = log_probs.argmax(-1)
    found, score = labels(log_probs, collapse(best))
    assert found == best.tolist()
    assert score == pytest.approx(float(log_probs.max(-1).sum()), rel=1e-6)


def test_impossible_frames_are_avoided() -> None:
    log_probs = np.full((5, 3), -np.inf, np.float32)
    log_probs[range(5), [0, 1, 1, 0, 1]] = 0.0
    assert labels(log_probs, [1, 1]) == ([0, 1, 1, 0, 1], 0.0)


def test_layout_and_precision_do_not_matter() -> None:
    log_probs = posteriors(40, 6, 1)
    wanted = labels(log_probs, [1, 2, 2, 5])
    assert labels(np.asfortranarray(log_probs), [1, 2, 2, 5]) == wanted
    assert labels(log_probs.astype(np.float64), [1, 2, 2, 5]) == wanted


@pytest.mark.parametrize(
    ("frames", "tokens", "message"),
    [
        (
            2,
            [1, 2, 1],
            r"2 frames cannot hold 3 tokens, which need 3; does the text belong to this audio\?",
        ),
        (3, [1, 1, 2], r"3 frames cannot hold 3 tokens, which need 4;"),
        (0, [], r"0 frames cannot hold 0 tokens, which need 1;"),
        (9, [1, 3], r"token 3 cannot be aligned: ids go from 1 to 2, 0 is the blank"),
        (9, [0], r"token 0 cannot be aligned"),
        (9, [-1], r"token -1 cannot be aligned"),
    ],
)
def test_what_cannot_be_aligned(frames: int, tokens: list[int], message: str) -> None:
    with pytest.raises(SpeechlstmError, match=message):
        forced_alignment(posteriors(frames, 3, 0), tokens)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    log_probs = posteriors(6, 3, 0)
    log_probs[3] = value
    with pytest.raises(SpeechlstmError, match=r"no path spells 2 tokens: the log-probabilities are"):
        forced_alignment(log_probs, [1, 2])


def test_exactly_enough_frames() -> None:
    assert labels(posteriors(4, 3, 0), [1, 1, 2])[0] == [1, 0, 1, 2]

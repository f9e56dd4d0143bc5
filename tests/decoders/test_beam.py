"""Beam search against brute force and the textbook, of any width, in pieces, and in batches."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from brute_force import CHARACTERS, WIDE, best, readings
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.lm import NGram
from speechlstm.decoders.posteriors import noise
from speechlstm.model.tokenizer import Words


class TestBeam(DecoderContract):
    name = "beam"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_a_wide_beam_finds_the_likeliest_sequence_and_its_probability(frames: int, seed: int) -> None:
    log_probs = noise(frames, 4, seed)
    totals = readings(log_probs)
    decoder = BeamDecoder(CHARACTERS, n_best=5, **WIDE)
    found = decoder.decode(log_probs)
    tokens, probability = best(totals)
    assert tuple(found[0].tokens) == tokens
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(math.log(totals[tuple(hypothesis.tokens)]), abs=1e-6)
    assert found[0].score == pytest.approx(math.log(probability), abs=1e-6)


def test_a_narrow_beam_is_better_than_best_path() -> None:
    narrow, greedy = BeamDecoder(CHARACTERS, beam_size=4), GreedyDecoder(CHARACTERS)
    right = {"narrow": 0, "greedy": 0}
    for seed in range(200):
        log_probs = noise(5, 4, seed)
        tokens, _ = best(readings(log_probs))
        right["narrow"] += tuple(narrow.decode(log_probs)[0].tokens) == tokens
        right["greedy"] += tuple(greedy.decode(log_probs)[0].tokens) == tokens
    assert right["narrow"] > 180 > right["greedy"]


def test_tokens_lie_where_they_are_heard() -> None:
    probs = torch.full((12, 4), 0.001)
    for frame, token in enumerate([0, 0, 2, 2, 2, 0, 1, 0, 3, 0, 3, 3]):
        probs[frame, token] = 0.997
    found = BeamDecoder(CHARACTERS).decode(probs.log())[0]
    assert (found.tokens, found.starts, found.ends) == ([2, 1, 3, 3], [2, 6, 8, 10], [5, 7, 9, 12])
    assert all(0.9 < confidence <= 1 for confidence in found.confidences)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 10**6), st.floats(0.5, 6.0))
def test_frames_increase_and_confidences_are_probabilities(frames: int, seed: int, sharpness: float) -> None:
    log_probs = (sharpness / 2 * noise(frames, 4, seed)).log_softmax(-1)
    for found in BeamDecoder(CHARACTERS, beam_size=8, n_best=4).decode(log_probs):
        edges = [edge for span in zip(found.starts, found.ends, strict=True) for edge in span]
        assert edges == sorted(edges) and all(0 <= edge <= frames for edge in edges)
        assert all(start < end for start, end in zip(found.starts, found.ends, strict=True))
        assert all(0 <= confidence <= 1 for confidence in found.confidences)


def test_confidence_falls_where_hypotheses_differ() -> None:
    probs = torch.tensor(
        [
            [0.01, 0.01, 0.97, 0.01],
            [0.97, 0.01, 0.01, 0.01],
            [0.01, 0.01, 0.55, 0.43],
            [0.97, 0.01, 0.01, 0.01],
        ]
    )
    sure, doubtful = BeamDecoder(CHARACTERS).decode(probs.log())[0].confidences
    assert sure > 0.9 and 0.2 < doubtful < 0.56


def test_texts_of_the_n_best_differ_and_fall_in_score() -> None:
    found = BeamDecoder(CHARACTERS, beam_size=64, n_best=10).decode(noise(12, 4, 3))
    texts = [CHARACTERS.decode(h.tokens) for h in found]
    scores = [h.score for h in found]
    assert len(set(texts)) == len(texts) == 10
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_how_many_frames_get_room_at_a_time_changes_nothing(
    models: dict[str, NGram], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    decoder = BeamDecoder(CHARACTERS, beam_size=16, n_best=4, lm=models["word"], hotwords=["ab"])
    log_probs = noise(5 * seed, 4, seed)
    whole = decoder.decode(log_probs)
    monkeypatch.setattr("speechlstm.decoders.beam.decoder._CHUNK", 1 + seed)
    assert decoder.decode(log_probs) == whole


def test_a_batch_is_its_utterances() -> None:
    lengths = torch.tensor([0, 7, 30, 12, 1])
    batch = torch.stack([noise(30, 4, seed) for seed in range(5)])
    alone = [BeamDecoder(CHARACTERS).decode(row[:length]) for row, length in zip(batch, lengths, strict=True)]
    for threads in (1, 3):
        assert BeamDecoder(CHARACTERS, threads=threads)(batch, lengths) == alone


def test_a_long_utterance_with_a_large_vocabulary() -> None:
    words = Words.from_texts([" ".join(f"w{i}" for i in range(500))])
    path = np.random.default_rng(0).integers(1, 501, 1500)
    probs = torch.full((1500, 501), 1e-5)
    probs[torch.arange(1500), torch.tensor(path)] = 1 - 500e-5
    found = BeamDecoder(words, beam_size=16).decode(probs.log())[0]
    assert found.tokens == [int(token) for token, _ in itertools.groupby(path)]
    assert found.score == pytest.approx(1500 * math.log(1 - 500e-5), abs=1e-2)


def plain_search(log_probs: Tensor, beam_size: int) -> dict[tuple[int, ...], float]:
    """Search prefixes as it stands in the textbook (Hannun et al. 2014, algorithm 1)."""
    beam = {(): (1.0, 0.0)}  # probability of the alignments that end in a blank, and in the last token
    for row in log_probs.double().exp().tolist():
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, last) in beam.items():
            grown[prefix][0] += (blank + last) * row[0]
            for token in range(1, len(row)):
                if prefix and prefix[-1] == token:
                    grown[prefix][1] += last * row[token]
                grown[(*prefix, token)][1] += row[token] * (
                    blank if prefix and prefix[-1] == token else blank + last
                )
        ranked = sorted(grown.items(), key=lambda item: -sum(item[1]))
        beam = {prefix: (blank, last) for prefix, (blank, last) in ranked[:beam_size]}
    return {prefix: sum(both) for prefix, both in beam.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_a_beam_of_any_width_is_the_textbook_s(frames: int, beam_size: int, seed: int) -> None:
    log_probs = noise(frames, 4, seed)
    decoder = BeamDecoder(CHARACTERS, beam_size=beam_size, token_threshold=0.0, beam_threshold=math.inf)
    tokens, probability = best(plain_search(log_probs, beam_size))
    found = decoder.decode(log_probs)[0]
    assert tuple(found.tokens) == tokens
    assert found.score == pytest.approx(math.log(probability), abs=1e-5)


@pytest.mark.parametrize("spoken", ["HELLO|TREE", "AAH|OOO", "LL"])
@pytest.mark.parametrize("blanks", ["before", "after", "between doubles"])
@pytest.mark.parametrize("knowledge", ["none", "lexicon", "lm"])
def test_prefixes_of_equal_score_do_not_push_out_better_ones(
    tmp_path: Path, spoken: str, blanks: str, knowledge: str
) -> None:
    """Where all other labels are as likely, hundreds of prefixes share the score at which the beam ends."""
    labels = ["<pad>", "|", *map(chr, range(ord("A"), ord("Z") + 1)), "'"]
    path = []
    for place, label in enumerate(spoken):
        token = labels.index(label)
        doubled = place and spoken[place - 1] == label
        path += {"before": [0, token], "after": [token, 0]}.get(blanks, [0, token] if doubled else [token])
    words = spoken.split("|")
    (tmp_path / "words.txt").write_text("\n".join([*words, "HELO", "TRE", "AH", "OO", "L"]))
    unigrams = "".join(f"-1.5\t{word}\t0\n" for word in [*words, "HELO", "ELLO", "L"])
    (tmp_path / "lm.arpa").write_text(
        f"\\data\\\nngram 1={len(words) + 6}\n\n\\1-grams:\n-2\t<unk>\n-99\t<s>\n-1\t</s>\n{unigrams}\n\\end\\\n"
    )
    given = {
        "lexicon": {"lexicon": "strict", "words": tmp_path / "words.txt"},
        "lm": {"lm": tmp_path / "lm.arpa"},
    }
    for probability in (0.9, 0.99):
        probs = torch.full((len(path), len(labels)), (1 - probability) / (len(labels) - 1))
        probs[torch.arange(len(path)), torch.tensor(path)] = probability
        for size in (4, 32, 400):
            decoder = BeamDecoder.from_labels(labels, beam_size=size, **given.get(knowledge, {}))
            assert decoder(probs.log())[0][0].text == spoken.replace("|", " ")

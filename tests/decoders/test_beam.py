"""Beam search against brute force over all alignments, with and without what it knows of the language."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlstm.decoders.beam import BeamDecoder
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.decoders.lm import NGram, load
from speechlstm.model.tokenizer import Characters, Phones, Words

CHARACTERS = Characters.from_texts(["ab"])  # <blank> <space> a b
WIDE = {"beam_size": 3000, "token_threshold": 0.0, "beam_threshold": math.inf}

WORD_LM = """\\data\\
ngram 1=6
ngram 2=6

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tab\t-0.2
-0.8\tb\t-0.1

\\2-grams:
-0.2\t<s> ab
-0.5\ta b
-0.3\tab a
-1.5\tb b
-0.4\tb </s>
-0.6\ta </s>

\\end\\
"""
TOKEN_LM = """\\data\\
ngram 1=6
ngram 2=5

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.7\ta\t-0.3
-1.1\tb\t-0.2
-0.8\t<space>\t-0.1

\\2-grams:
-0.2\t<s> b
-0.5\ta b
-0.3\t<space> a
-1.5\tb b
-0.4\tb </s>

\\end\\
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NGram]:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "word.arpa").write_text(WORD_LM)
    (folder / "token.arpa").write_text(TOKEN_LM)
    return {name: load(folder / f"{name}.arpa") for name in ("word", "token")}


def noise(frames: int, vocab: int, seed: int, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(frames, vocab, generator=generator)).log_softmax(-1)


def readings(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """Return the probability of every token sequence, all its alignments added up."""
    totals: dict[tuple[int, ...], float] = defaultdict(float)
    probs = log_probs.double().exp().tolist()
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        tokens = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[tokens] += math.prod(row[token] for row, token in zip(probs, path, strict=True))
    return totals


def best(scores: dict[tuple[int, ...], float]) -> tuple[tuple[int, ...], float]:
    return max(scores.items(), key=lambda item: item[1])


class TestBeam(DecoderContract):
    name = "beam"


# without a language model


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


# with one


def lm_score(model: NGram, words: list[str]) -> float:
    return sum(model.score(words))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lexicon=st.sampled_from(["none", "soft", "strict"]),
    weight=st.floats(0.0, 2.0),
    bonus=st.floats(-1.0, 1.0),
    unk=st.floats(-4.0, 1.0),
)
def test_words_are_scored_as_the_language_model_scores_the_text(
    models: dict[str, NGram], seed: int, lexicon: str, weight: float, bonus: float, unk: float
) -> None:
    log_probs = noise(5, 4, seed)
    model = models["word"]
    wanted = {}
    for tokens, probability in readings(log_probs).items():
        words = CHARACTERS.decode(tokens).split()
        outside = sum(word not in ("a", "b", "ab") for word in words)
        if lexicon == "strict" and outside:
            continue
        price = unk * outside if lexicon == "soft" else 0.0
        wanted[tokens] = math.log(probability) + weight * lm_score(model, words) + bonus * len(words) + price
    decoder = BeamDecoder(
        CHARACTERS, lm=model, lm_weight=weight, word_bonus=bonus, unk_score=unk, lexicon=lexicon, **WIDE
    )
    found = decoder.decode(log_probs)[0]
    tokens, score = best(wanted)
    assert found.score == pytest.approx(score, abs=1e-5)
    assert wanted[tuple(found.tokens)] == pytest.approx(score, abs=1e-5)
    parts = found.parts
    assert parts["lm"] == pytest.approx(lm_score(model, CHARACTERS.decode(found.tokens).split()), abs=1e-5)
    assert found.score == pytest.approx(parts["acoustic"] + weight * parts["lm"] + parts["bonus"], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.0, 2.0), bonus=st.floats(-1.0, 1.0))
def test_a_model_of_tokens_scores_each_token(
    models: dict[str, NGram], seed: int, weight: float, bonus: float
) -> None:
    log_probs = noise(5, 4, seed)
    model = models["token"]
    wanted = {
        tokens: math.log(probability)
        + weight * lm_score(model, [CHARACTERS.tokens[token] for token in tokens])
        + bonus * len(CHARACTERS.decode(tokens).split())
        for tokens, probability in readings(log_probs).items()
    }
    decoder = BeamDecoder(CHARACTERS, lm=model, lm_weight=weight, word_bonus=bonus, **WIDE)
    found = decoder.decode(log_probs)[0]
    assert found.score == pytest.approx(best(wanted)[1], abs=1e-5)
    assert wanted[tuple(found.tokens)] == pytest.approx(best(wanted)[1], abs=1e-5)


def test_words_that_sound_alike_are_told_apart_by_what_follows(tmp_path: Path) -> None:
    phones = Phones.from_texts(["to two go"], _lexicon(tmp_path, "to T\ntwo T\ngo G\nsix S"))
    (tmp_path / "lm.arpa").write_text(
        "\\data\\\nngram 1=7\nngram 2=2\n\n\\1-grams:\n-3\t<unk>\n-99\t<s>\t0\n-1\t</s>\n-0.5\tto\t0\n"
        "-0.7\ttwo\t0\n-1\tgo\t0\n-1\tsix\t0\n\n\\2-grams:\n-0.1\tto go\n-0.1\ttwo six\n\n\\end\\\n"
    )
    decoder = BeamDecoder(phones, lm=tmp_path / "lm.arpa", lm_weight=1.0, n_best=3)
    boundary, go, six, to = (phones.tokens.index(token) for token in ("|", "G", "S", "T"))
    for last, text in ((go, "to go"), (six, "two six")):
        found = decoder.decode(certain([to, boundary, last], len(phones)))
        assert found[0].text == text
        assert {h.text for h in found} >= {text, text.replace("two", "to") if "two" in text else "two go"}
    assert decoder.decode(certain([to], len(phones)))[0].text == "to", "the likelier of the two"


def test_a_strict_lexicon_ends_with_a_whole_word(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("ab\nb\n")
    decoder = BeamDecoder(CHARACTERS, lexicon="strict", words=tmp_path / "words.txt")
    space, a, b = 1, 2, 3
    spoken = certain([b, space, a], 4)
    spoken[4] = torch.tensor([9e-4, 5e-5, 0.999, 5e-5]).log()
    assert text(decoder, spoken) == "b", "what is no word is left out"
    assert text(decoder, certain([a, a, b], 4)) == "ab", "one a only: there is no word aab"
    assert text(decoder, certain([b, space, a, b], 4)) == "b ab"
    soft = BeamDecoder(CHARACTERS, lexicon="soft", words=tmp_path / "words.txt", unk_score=-1.0)
    assert text(soft, certain([b, space, a], 4)) == "b a"


def test_where_tokens_are_words_a_strict_lexicon_is_those_of_the_model(models: dict[str, NGram]) -> None:
    words = Words.from_texts(["a ab b c"])
    a, b, c = (words.encode(word)[0] for word in "abc")
    spoken = certain([a, c, b], 5)
    loose = BeamDecoder(words, lm=models["word"])
    strict = BeamDecoder(words, lm=models["word"], lexicon="strict", token_threshold=0.0, beam_threshold=99.0)
    assert text(loose, spoken) == "a c b"
    [found] = strict.decode(spoken)
    assert c not in found.tokens and (found.tokens[0], found.tokens[-1]) == (a, b)
    wanted = lm_score(models["word"], [words.tokens[token] for token in found.tokens])
    assert found.parts["lm"] == pytest.approx(wanted, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    phrases=st.lists(
        st.sampled_from(["a", "b", "ab", "a b", "b a", "ba a"]), min_size=1, max_size=3, unique=True
    ),
    boost=st.floats(0.0, 3.0),
)
def test_one_hotword_earns_its_boost_wherever_it_stands_as_a_whole(
    seed: int, phrases: list[str], boost: float
) -> None:
    log_probs = noise(5, 4, seed)
    phrase = phrases[0]
    decoder = BeamDecoder(CHARACTERS, hotwords=[phrase], hotword_boost=boost, **WIDE)
    wanted = {}
    for tokens, probability in readings(log_probs).items():
        if (1, 1) in itertools.pairwise(tokens):
            continue  # two spaces in a phrase are not what is boosted
        words, earned, place = CHARACTERS.decode(tokens).split(), 0, 0
        while place < len(words):
            if words[place : place + len(phrase.split())] == phrase.split():
                earned += len(CHARACTERS.encode(phrase))
                place += len(phrase.split())
            else:
                place += 1
        wanted[tokens] = math.log(probability) + boost * earned
    found = decoder.decode(log_probs)[0]
    if (1, 1) not in itertools.pairwise(found.tokens):
        assert found.score == pytest.approx(wanted[tuple(found.tokens)], abs=1e-6)
        assert found.score == pytest.approx(best(wanted)[1], abs=1e-6)
    # several phrases: no more than all of them together, never less than the best reading without any
    several = BeamDecoder(CHARACTERS, hotwords=phrases, hotword_boost=boost, **WIDE).decode(log_probs)[0]
    assert several.score >= found.score - 1e-6 or boost == 0


def test_hotwords_bring_out_what_is_only_half_heard() -> None:
    # "ab" and "bb" are about as likely; a phrase that is not said changes nothing.
    log_probs = torch.tensor(
        [[0.02, 0.01, 0.45, 0.52], [0.9, 0.05, 0.02, 0.03], [0.02, 0.01, 0.07, 0.9]]
    ).log()
    assert text(BeamDecoder(CHARACTERS), log_probs) == "bb"
    assert text(BeamDecoder(CHARACTERS, hotwords=["AB"]), log_probs) == "ab"
    assert text(BeamDecoder(CHARACTERS, hotwords={"ab": 0.01}), log_probs) == "bb"
    assert text(BeamDecoder(CHARACTERS, hotwords=["aba"]), log_probs) == "bb", "taken back"


def certain(tokens: list[int], vocab: int, probability: float = 0.999) -> Tensor:
    """Return log-probabilities that spell the tokens, a blank frame after each."""
    probs = torch.full((2 * len(tokens), vocab), (1 - probability) / (vocab - 1))
    for place, token in enumerate(tokens):
        probs[2 * place, token] = probability
        probs[2 * place + 1, 0] = probability
    return probs.log()


def text(decoder: BeamDecoder, log_probs: Tensor) -> str:
    found = decoder.decode(log_probs)[0]
    return str(found.text)


def _lexicon(folder: Path, content: str) -> str:
    path = folder / "lexicon.dic"
    path.write_text(content)
    return str(path)


# what comes with a hypothesis


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
    for found in BeamDecoder(CHARACTERS, beam_size=8, n_best=4).decode(noise(frames, 4, seed, sharpness)):
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


# in pieces, in batches


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 10**6))
def test_how_frames_arrive_changes_nothing(models: dict[str, NGram], pieces: list[int], seed: int) -> None:
    decoder = BeamDecoder(CHARACTERS, beam_size=16, n_best=4, lm=models["word"], hotwords=["ab"])
    log_probs = noise(sum(pieces), 4, seed)
    state = decoder.start()
    fixed: list[int] = []
    for piece in log_probs.split(pieces):
        decoder.step(state, piece)
        so_far, stable = decoder.partial(state)
        assert so_far.tokens[: len(fixed)] == fixed and stable >= len(fixed)
        fixed = so_far.tokens[:stable]
    found, whole = decoder.finish(state), decoder.decode(log_probs)
    assert found == whole
    assert all(h.tokens[: len(fixed)] == fixed for h in found), "what was stable stays"


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


def test_a_frame_that_nothing_explains_does_not_end_the_search(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("b\n")
    decoder = BeamDecoder(CHARACTERS, lexicon="strict", words=tmp_path / "words.txt")
    log_probs = torch.full((3, 4), -math.inf)
    log_probs[0, 2] = log_probs[1, 0] = log_probs[2, 3] = 0.0
    found = decoder.decode(log_probs)[0]
    assert CHARACTERS.decode(found.tokens) == "b" and found.score < -60


# narrow beams


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

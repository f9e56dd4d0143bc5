"""The C++ search keeps the contract with and without lexicon and language model, and its traps are closed."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

pytest.importorskip("flashlight.lib.text.decoder", reason="flashlight-text is not installed")

from speechlstm_flashlight import FlashlightDecoder

from speechlstm.decoders import create
from speechlstm.decoders.contract import DecoderContract
from speechlstm.decoders.posteriors import certain, noise, spoken
from speechlstm.model.tokenizer import Characters, Words
from speechlstm.types import SpeechlstmError, UsageError

TOKENIZER = Characters.from_texts(["ab"])  # <blank>, <space>, a, b
LETTERS = Characters.from_texts(["see a cab bee"])
LEXICON = "see s e e\na a\ncab c a b\nbee b e e\n"


class TestLexiconFree(DecoderContract):
    name = "flashlight"
    test_a_spawned_process_gives_the_same = None  # takes seconds; the last does it, with both files
    params: ClassVar = {"n_best": 4}


class TestTokenLm(DecoderContract):
    name = "flashlight"
    test_a_spawned_process_gives_the_same = None  # takes seconds; the last does it, with both files
    files = ("lm",)


class TestLexicon(DecoderContract):
    name = "flashlight"
    test_a_spawned_process_gives_the_same = None  # takes seconds; the last does it, with both files
    files = ("lexicon",)
    params: ClassVar = {"n_best": 4}


class TestLexiconAndLm(DecoderContract):
    name = "flashlight"
    files = ("lexicon", "lm")


def arpa(path: Path, *unigrams: str, bigrams: tuple[str, ...] = ()) -> Path:
    """Write a language model of lines `log10 word backoff`."""
    lines = [
        f"\\data\\\nngram 1={len(unigrams) + 2}\nngram 2={len(bigrams)}\n\n\\1-grams:\n-99\t<s>\t0\n-0.5\t</s>"
    ]
    lines += [line.replace(" ", "\t") for line in unigrams]
    path.write_text("\n".join([*lines, "\n\\2-grams:", *bigrams, "\n\\end\\\n"]))
    return path


def brute_force(log_probs: torch.Tensor) -> tuple[tuple[int, ...], float]:
    """Return the most probable token sequence, all its alignments together, and its log-probability."""
    frames, vocab = log_probs.shape
    totals: Counter[tuple[int, ...]] = Counter()
    for path in itertools.product(range(vocab), repeat=frames):
        tokens = tuple(token for token, _ in itertools.groupby(path) if token)
        totals[tokens] += math.exp(sum(float(log_probs[frame, token]) for frame, token in enumerate(path)))
    best, probability = max(totals.items(), key=lambda item: item[1])
    return best, math.log(probability)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_sums_over_all_alignments(seed: int) -> None:
    log_probs = noise(4, len(TOKENIZER), seed)
    wide = FlashlightDecoder(TOKENIZER, beam_size=1000, beam_threshold=1000, n_best=5)
    tokens, score = brute_force(log_probs)
    hypotheses = wide.decode(log_probs)
    assert tuple(hypotheses[0].tokens) == tokens
    assert hypotheses[0].score == pytest.approx(score, rel=1e-4), (
        "endings in a blank and in a token count together"
    )
    assert len({tuple(each.tokens) for each in hypotheses}) == 5


def test_the_last_word_is_found_with_and_without_a_space_after_it(tmp_path: Path) -> None:
    (tmp_path / "words").write_text(LEXICON)
    decoder = FlashlightDecoder(LETTERS, lexicon=tmp_path / "words")
    for log_probs in (spoken(LETTERS, "a cab"), torch.cat([spoken(LETTERS, "a cab"), certain([1, 0], 7)])):
        [hypothesis] = decoder.decode(log_probs)
        assert hypothesis.text == "a cab"
        assert LETTERS.decode(hypothesis.tokens) == "a cab" and hypothesis.ends[-1] <= len(log_probs)


def test_a_lexicon_finds_its_words_only(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("cab c a b |\nbee b e e\n".replace("|", "<space>"))
    decoder = FlashlightDecoder(LETTERS, lexicon=tmp_path / "words")
    [hypothesis] = decoder.decode(spoken(LETTERS, "cabs", sure=0.6))
    assert hypothesis.text == "cab"


def test_homophones_are_told_apart_by_the_language_model(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("see s e e\nsea s e e\na a\n")
    model = arpa(tmp_path / "lm", "-1 see 0", "-1 sea 0", "-1 a 0", bigrams=("-0.1\ta sea", "-3\ta see"))
    decoder = FlashlightDecoder(LETTERS, lexicon=tmp_path / "words", lm=model, n_best=2)
    first, second = decoder.decode(spoken(LETTERS, "a see"))
    assert (first.text, second.text) == ("a sea", "a see")
    assert first.score - second.score == pytest.approx(0.5 * 2.9 * math.log(10), rel=1e-3), "natural logs"


def test_a_language_model_of_tokens_needs_no_lexicon(tmp_path: Path) -> None:
    model = arpa(tmp_path / "lm", "-2 a 0", "-0.1 b 0", "-1 <space> 0")
    doubtful = torch.tensor([[0.02, 0.02, 0.5, 0.46]]).log()
    texts = [
        TOKENIZER.decode(FlashlightDecoder(TOKENIZER, lm=lm).decode(doubtful)[0].tokens)
        for lm in (None, model)
    ]
    assert texts == ["a", "b"]


def test_words_left_out_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words").write_text(LEXICON + "naïve n a ï v e\n")
    FlashlightDecoder(LETTERS, lexicon=tmp_path / "words")
    assert "left out, because of tokens that do not exist: 1 word: 'naïve'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("params", "files", "message"),
    [
        ({"beam_size": 0}, {}, "beam_size is 0, but must be a whole number, 1 or more"),
        ({"max_tokens": 2.5}, {}, "max_tokens is 2.5"),
        ({"beam_threshold": 0}, {}, "beam_threshold is 0"),
        ({"lm": "gone"}, {}, "gone: no such file"),
        (
            {"lm": "lm"},
            {"lm": "hello\nworld\n"},
            r"lm: not a language model that KenLM can read: first non-empty line",
        ),
        ({"lm": "lm"}, {"lm": ""}, r"lm: not a language model .*: End of file"),
        ({"lexicon": "gone"}, {}, "gone: cannot be read: No such file"),
        ({"lexicon": "words"}, {"words": "word\n"}, r"words:1: 'word' has no phones"),
        (
            {"lexicon": "words"},
            {"words": "fish f i sh\n"},
            r"words: none of its words is spelled .* such as '<space>'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    params: dict[str, Any],
    files: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(SpeechlstmError, match=message) as raised:
        create("flashlight", tokenizer=LETTERS, **params)
    assert "\n" not in str(raised.value)


def test_a_language_model_of_something_else_is_refused(tmp_path: Path) -> None:
    model = arpa(tmp_path / "lm", "-1 whole 0", "-1 words 0")
    with pytest.raises(SpeechlstmError, match=r"knows none of 7 names: '<blank>', '<space>', 'a'"):
        FlashlightDecoder(LETTERS, lm=model)


def test_a_lexicon_needs_a_token_between_words(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("yes yes\n")
    with pytest.raises(UsageError, match="a token between words, which a words tokenizer has not"):
        FlashlightDecoder(Words(["<blank>", "yes", "no"]), lexicon=tmp_path / "words")

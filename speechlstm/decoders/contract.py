"""The tests that every decoder must pass, for the authors of plugins; see `speechlstm.model.contract`."""

from __future__ import annotations

import functools
import math
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest  # pytest takes it for a skip, too

import torch
from torch import Tensor

from speechlstm import decoders
from speechlstm.decoders.faults import fault
from speechlstm.decoders.posteriors import certain, mumbled, noise, padded, spoken
from speechlstm.model import tokenizer as tokenizers
from speechlstm.model.contract import Contract, require
from speechlstm.model.registry import REQUIRED
from speechlstm.types import Hypothesis


class DecoderContract(Contract):
    """Log-probabilities to hypotheses.

    Attributes:
        words: of the test utterances; a decoder with a vocabulary of its own sets words of it.
        files: parameters that take a file which the contract writes about `words`: `lm` gets an ARPA model of the
            words and tokens, `lexicon` each word with its tokens. Those that the decoder requires get theirs anyway.
        beam: the parameter that widens the search, and values of it, narrow first.
    """

    stage = "decoder"
    words: ClassVar[Sequence[str]] = (
        "a", "the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "tree", "hollow", "seen",
    )  # fmt: skip
    files: ClassVar[Sequence[str]] = ()
    beam: ClassVar[tuple[str, Sequence[Any]]] = ("beam_size", (1, 4, 16))

    # Certain log-probabilities give the certain text.

    def test_certain_posteriors_give_the_certain_text(self) -> None:
        """One sure frame for each token, blanks between them."""
        words = [word for word in self.words if not _doubled(word)]
        for text in (*words, " ".join(words[:2]), " ".join(reversed(words))):
            self._expect(text, spoken(self.tokenizer, text))

    def test_repeats_are_one_token(self) -> None:
        """A token that lasts is one token, with and without blanks around it."""
        self._expect(self._text, spoken(self.tokenizer, self._text, hold=3), "each token lasts three frames")
        without_blanks = spoken(self.tokenizer, self._text, hold=2, gap=0)
        self._expect(self._text, without_blanks, "each token lasts two frames, and there is no blank")

    def test_a_blank_separates_doubled_letters(self) -> None:
        """The same token twice with a blank between is two tokens."""
        doubled = [word for word in self.words if _doubled(word)]
        if not doubled:
            raise SkipTest("none of `words` has a doubled letter")
        for word in doubled:
            self._expect(word, spoken(self.tokenizer, word), "do not join equal tokens across a blank")

    def test_only_blanks_are_no_text(self) -> None:
        """Silence is one hypothesis without tokens."""
        self._expect("", certain([0] * 20, len(self.tokenizer)), "20 frames are surely blank")

    def test_no_frames_are_no_text(self) -> None:
        """An utterance too short for the encoder has no frames, alone and in a batch."""
        speech = spoken(self.tokenizer, self._text)
        for rows in ([speech[:0]], [speech[:0], speech]):
            text = self.make()(*padded(rows))[0][0].text
            require(text == "", f"an utterance without frames is decoded as {text!r}")

    def test_one_frame_is_enough(self) -> None:
        """A single frame of any token can be decoded; a token that is a word gives that word."""
        decoder = self.make()
        for index, token in enumerate(self.tokenizer.tokens):
            [[best, *_]] = decoder(*padded([certain([index], len(self.tokenizer))]))
            require(len(best.tokens) <= 1, f"one frame of {token!r} became {len(best.tokens)} tokens")
            if token in self.words:
                require(best.text == token, f"one frame of {token!r} is decoded as {best.text!r}")

    # What is returned can be used.

    def test_scores_are_sorted(self) -> None:
        """The best hypothesis comes first, and no score is greater than the one before it."""
        for hypotheses in self.make()(*padded(self._noise)):
            scores = [hypothesis.score for hypothesis in hypotheses]
            ordered = scores == sorted(scores, reverse=True)
            require(ordered, f"scores are {scores[:6]}; put the greatest first")

    def test_frames_increase_and_are_in_range(self) -> None:
        """Of every hypothesis: ids that exist, frames `0 <= start < end <= next start`, all of them plain numbers."""
        for row, hypotheses in zip(self._noise, self.make()(*padded(self._noise)), strict=True):
            for rank, hypothesis in enumerate(hypotheses):
                sure = replace(hypothesis, confidences=[1.0] * len(hypothesis.tokens))
                problem = fault(sure, len(row), len(self.tokenizer))
                require(not problem, f"hypothesis {rank} has {problem}")
                numbers = (*hypothesis.tokens, *hypothesis.starts, *hypothesis.ends)
                kinds = {type(number).__name__ for number in numbers} - {"int"}
                require(not kinds, f"tokens and frames must be int, but there are {', '.join(kinds)}")

    def test_confidences_are_probabilities(self) -> None:
        """Of every hypothesis: one for each token, between 0 and 1."""
        for hypotheses in self.make()(*padded(self._noise)):
            for hypothesis in hypotheses:
                values = hypothesis.confidences
                good = len(values) == len(hypothesis.tokens) and all(0 <= value <= 1 for value in values)
                require(good, f"confidences are {values[:6]} for {len(hypothesis.tokens)} tokens")

    # The same whatever surrounds it.

    def test_a_padded_batch_equals_one_by_one(self) -> None:
        """Neither the other utterances nor what lies past a length changes a result."""
        decoder = self.make()
        together = decoder(*padded(self._noise, math.nan))
        for row, hypotheses in zip(self._noise, together, strict=True):
            alone = decoder(*padded([row]))[0]
            _same(hypotheses, alone, f"an utterance of {len(row)} frames in a batch and alone")

    def test_it_is_deterministic(self) -> None:
        """The same input gives the same result, again and from another object."""
        decoder = self.make()
        once = decoder(*padded(self._noise))
        for again in (decoder, self.make()):
            for one, other in zip(once, again(*padded(self._noise)), strict=True):
                _same(one, other, "the same input decoded twice", exact=True)

    def test_two_threads_give_what_one_gives(self) -> None:
        """One decoder may be used by two threads at once."""
        decoder, batches = self.make(), [padded([row]) for row in self._noise * 3]
        alone = [decoder(*batch)[0] for batch in batches]
        with ThreadPoolExecutor(2) as pool:
            shared = list(pool.map(lambda batch: decoder(*batch)[0], batches))
        for one, other in zip(alone, shared, strict=True):
            _same(one, other, "decoding in one thread and in two (keep nothing of an utterance in self)")

    def test_a_spawned_process_gives_the_same(self) -> None:
        """A new process finds the decoder by its name and gets the same results."""
        batch = padded(self._noise[:3])
        here = self.make()(*batch)
        arguments = self.name, self.tokenizer.to_dict(), {**self._settings, **self.params}, *batch
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            there = pool.submit(_decode_by_name, *arguments).result()
        for one, other in zip(here, there, strict=True):
            _same(one, other, "decoding in this process and in a new one")

    def test_half_precision_is_taken(self) -> None:
        """Log-probabilities in float16 and bfloat16, as encoders on a GPU give them."""
        for dtype in (torch.float16, torch.bfloat16):
            self._expect(self._text, spoken(self.tokenizer, self._text).to(dtype), f"the input is {dtype}")

    def test_a_gpu_is_taken(self) -> None:
        """Log-probabilities on a GPU."""
        if not torch.cuda.is_available():
            raise SkipTest("there is no GPU here")
        self._expect(self._text, spoken(self.tokenizer, self._text).cuda(), "the input is on the GPU")

    def test_impossible_tokens_are_taken(self) -> None:
        """Entries of minus infinity: all but one in each frame, and half of those of noise."""
        surely = spoken(self.tokenizer, self._text, sure=1.0)
        self._expect(self._text, surely, "all but the right tokens have log-probability -inf")
        impossible = noise(30, len(self.tokenizer), seed=1) < noise(30, len(self.tokenizer), seed=2)
        impossible[:, 0] = False  # the blank stays possible
        row = noise(30, len(self.tokenizer), seed=3).masked_fill(impossible, -math.inf).log_softmax(-1)
        problem = fault(self.make()(*padded([row]))[0][0], len(row), len(self.tokenizer))
        require(not problem, f"half of the log-probabilities are -inf, and the decoder returns {problem}")

    def test_log_probs_are_left_alone(self) -> None:
        """The caller's tensor is as it was."""
        log_probs, lengths = padded(self._noise)
        before = log_probs.clone()
        self.make()(log_probs, lengths)
        require(torch.equal(log_probs, before), "the decoder changes its input; work on a copy")

    # It is set up as people expect.

    def test_lm_weight_0_is_no_lm(self) -> None:
        """A language model that weighs nothing changes nothing."""
        own = self.parameters
        if not {"lm", "lm_weight"} <= own.keys() or own["lm"] == REQUIRED:
            raise SkipTest("the decoder takes no lm with an lm_weight, or always needs one")
        batch = padded(self._mumbled)
        without = self.make(lm=None)(*batch)
        weightless = self.make(lm=str(self._files["lm"]), lm_weight=0.0)(*batch)
        for one, other in zip(without, weightless, strict=True):
            # A model may bring its words along as a lexicon.
            known = set(one[0].text.split()) <= set(self.words)
            require(
                not known or one[0].text == other[0].text,
                f"without lm the text is {one[0].text!r}, with lm_weight=0 {other[0].text!r}",
            )

    def test_a_wider_beam_finds_no_less(self) -> None:
        """The mean score of the best hypotheses does not fall when the beam grows."""
        name, values = self.beam
        if name not in self.parameters:
            raise SkipTest(f"the decoder has no {name}")
        batch = padded(self._mumbled)
        results = [self.make(**{name: value})(*batch) for value in values]
        means = [sum(hypotheses[0].score for hypotheses in each) / len(each) for each in results]
        falls = any(wide < narrow - 1e-3 for narrow, wide in pairwise(means))
        require(not falls, f"mean scores are {means} where {name} is {list(values)}")

    # What the tests are made of.

    @functools.cached_property
    def tokenizer(self) -> tokenizers.Tokenizer:
        """The characters of `words`; override it for a decoder that needs another kind."""
        return tokenizers.Characters.from_texts(self.words)

    @functools.cached_property
    def _text(self) -> str:
        return " ".join([word for word in self.words if not _doubled(word)][:4])

    @functools.cached_property
    def _noise(self) -> list[Tensor]:
        lengths = (40, 3, 0, 17, 1, 25)
        return [noise(frames, len(self.tokenizer), seed) for seed, frames in enumerate(lengths)]

    @functools.cached_property
    def _mumbled(self) -> list[Tensor]:
        count = len(self.words)
        texts = [" ".join(self.words[(5 * seed + 7 * i) % count] for i in range(4)) for seed in range(24)]
        return [mumbled(self.tokenizer, text, seed) for seed, text in enumerate(texts)]

    @functools.cached_property
    def _files(self) -> dict[str, Path]:
        self._folder = tempfile.TemporaryDirectory(prefix="contract")  # goes when the test goes
        tokens = [token for token in self.tokenizer.tokens[1:] if token not in self.words]
        spelled = ((word, self.tokenizer.encode(word)) for word in self.words)
        lines = [" ".join([word, *(self.tokenizer.tokens[i] for i in ids)]) for word, ids in spelled]
        content = {"lm": _arpa([*self.words, *tokens]), "lexicon": "\n".join([*lines, ""])}
        files = {name: Path(self._folder.name, f"words.{name}") for name in content}
        for name, path in files.items():
            path.write_text(content[name], encoding="utf-8")
        return files

    @functools.cached_property
    def _settings(self) -> dict[str, Any]:
        own = self.parameters
        written = [key for key in ("lm", "lexicon") if key in self.files or own.get(key) == REQUIRED]
        return {key: str(self._files[key]) for key in written}

    def given(self) -> dict[str, Any]:
        """Return the tokenizer, and the files that the decoder takes."""
        return {"tokenizer": self.tokenizer, **self._settings}

    def _expect(self, text: str, log_probs: Tensor, why: str = "") -> None:
        got = self.make()(*padded([log_probs]))[0][0].text
        require(got == text, f"{text!r} is decoded as {got!r}{why and ': '}{why}")


def _decode_by_name(
    name: str, content: dict[str, Any], params: dict[str, Any], log_probs: Tensor, lengths: Tensor
) -> list[list[Hypothesis]]:
    return decoders.create(name, tokenizer=tokenizers.from_dict(content), **params)(log_probs, lengths)


def _same(one: list[Hypothesis], other: list[Hypothesis], what: str, exact: bool = False) -> None:
    contents = [
        [(each.tokens, each.starts, each.ends, each.text) for each in hypotheses]
        for hypotheses in (one, other)
    ]
    scores = [(a.score, b.score) for a, b in zip(one, other, strict=False)]
    close = all(a == b if exact else math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-3) for a, b in scores)
    require(contents[0] == contents[1] and close, f"{what} gives {one[:1]} and {other[:1]}")


def _doubled(word: str) -> bool:
    return any(a == b for a, b in pairwise(word))


def _arpa(words: Sequence[str]) -> str:
    """Return an ARPA bigram model: later words are more likely, and the order given most likely."""
    total = sum(range(len(words) + 2))
    lines = [
        f"\\data\\\nngram 1={len(words) + 3}\nngram 2={len(words) - 1}\n\n\\1-grams:\n-99\t<s>\t-0.3\n-5\t<unk>"
    ]
    lines += [f"{math.log10((rank + 1) / total):.5f}\t{word}\t-0.3" for rank, word in enumerate(words)]
    lines += [f"{math.log10((len(words) + 1) / total):.5f}\t</s>", "\n\\2-grams:"]
    return "\n".join([*lines, *(f"-0.5\t{a} {b}" for a, b in pairwise(words)), "\n\\end\\\n"])

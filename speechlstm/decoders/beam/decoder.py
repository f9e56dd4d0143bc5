"""Prefix beam search with language model, lexicon and hotwords; whole utterances, batches, or frames as they come."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlstm.decoders.base import Decoder
from speechlstm.decoders.beam import vocabulary
from speechlstm.decoders.beam.alternatives import Found, complete
from speechlstm.decoders.beam.endings import finish
from speechlstm.decoders.beam.fusion import Options, variants_of
from speechlstm.decoders.beam.prefixes import VOTE, describe
from speechlstm.decoders.beam.search import advance
from speechlstm.decoders.beam.vocabulary import Vocabulary
from speechlstm.decoders.beam.workspace import Search
from speechlstm.decoders.lm import NGram
from speechlstm.decoders.lm import load as load_lm
from speechlstm.decoders.lm.interpolation import Interpolation
from speechlstm.decoders.lm.lstm import LstmLM, load_lstm
from speechlstm.model import collector, settings
from speechlstm.model.settings import Within
from speechlstm.model.tokenizer import Tokenizer, Words
from speechlstm.types import DecoderError, Hypothesis, UsageError

Count = Annotated[int, Within(1, 10_000)]
Bonus = Annotated[float, Within(-100, 100)]  # natural log
Model = TypeVar("Model", NGram, LstmLM)
_VOTERS = 32  # hypotheses
_CHUNK = 1024  # frames for which room is made at a time
_compiled = False  # whether the search has run in this process


class BeamDecoder(Decoder):
    """Searches for the most likely token sequence, all its alignments together, with what is known of the language.

    The score of a hypothesis is `acoustic + lm_weight * lm + word_bonus * words + unk_score * unknown + hotwords +
    pronunciation_weight * pronunciations`, natural logs, where `acoustic` is the CTC probability summed over all
    alignments that the beam kept, and a pronunciation counts relative to the most probable one of its word.

    The settings are explained in `conf/decoder/beam.yaml`. From Python `lm` may be a loaded model, and `hotwords`
    phrases with their boosts. Words of the lexicon that the language model lacks share the probability of `<unk>`
    equally; a model whose words are all tokens scores each token.

    With `rescore`, an LSTM, there is a second pass: of the `rescore_best` best hypotheses `lm` becomes the
    log-probability that both models together give, interpolated word by word, and they are sorted anew.

    Raises:
        UsageError: settings out of range.
        DecoderError: a file that cannot be used.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        beam_size: Count = 32,
        n_best: Count = 1,
        token_threshold: Annotated[float, Within(0, 1)] = 1e-3,
        max_tokens: Count = 40,
        beam_threshold: Annotated[float, Within(0, math.inf)] = 14.0,
        lm: str | Path | NGram | None = None,
        lm_weight: Annotated[float, Within(0, 100)] = 0.5,
        word_bonus: Bonus = 0.0,
        unk_score: Bonus = -5.0,
        lexicon: Literal["none", "soft", "strict"] = "soft",
        words: str | Path | None = None,
        pronunciation_weight: Annotated[float, Within(0, 100)] = 0.5,
        rescore: str | Path | LstmLM | None = None,
        rescore_weight: Annotated[float, Within(0, 1)] = 0.5,
        rescore_best: Count = 20,
        hotwords: str | Path | Iterable[str] | Mapping[str, float] | None = None,
        hotword_boost: Annotated[float, Within(0, 100)] = 1.5,
        confidence_power: Annotated[float, Within(1e-6, 1e6)] = 1.0,
        threads: Count | None = None,
    ) -> None:
        settings.check("decoder", [BeamDecoder.__init__], locals())
        super().__init__(tokenizer)
        self._idle: list[Search] = []
        self.n_best, self.rescore_best, self.confidence_power = n_best, rescore_best, confidence_power
        self.threads = threads or torch.get_num_threads()
        model = None if lm is None else _model("lm", lm, load_lm, NGram)
        ways, hot = (words, pronunciation_weight), (hotwords, hotword_boost)
        with collector.paused():
            known = vocabulary.build(tokenizer, model, lm_weight, unk_score, lexicon, *ways, *hot)
            self.second_pass = _second_pass(model, rescore, rescore_weight, tokenizer, known)
        self.rules, self.texts = known.rules, known.texts
        names: dict[str, int] = {}
        self._names = np.array([names.setdefault(text, len(names)) for text in self.texts], np.int32)
        self._start = model.start if model else 0
        self.options = Options(
            beam_size=beam_size,
            max_tokens=min(max_tokens, len(tokenizer) - 1),
            token_threshold=math.log(token_threshold) if token_threshold > 0 else -math.inf,
            beam_threshold=math.exp(-beam_threshold),
            lm_kind=known.lm_kind,
            lm_weight=float(lm_weight),
            word_bonus=float(word_bonus),
            unk_score=float(unk_score) if known.priced else 0.0,
            lm_unknown=model.unk if model else 0,
            lm_share=known.share,
            lm_end=model.eos if model else 0,
            lexicon=known.followed,
            strict=known.followed and lexicon == "strict",
            context=known.context,
            homophones=int(np.diff(known.rules.trie["first_word"]).max(initial=1)),
            hot=hotwords is not None,
            bound=math.exp(min(known.gain, 700.0)),  # the greatest that a float has
            fused=bool(known.lm_kind or known.followed or hotwords is not None or word_bonus),
            recombines=known.lm_kind == 2 and known.followed and beam_threshold < math.inf,
            quick=known.lm_kind != 1 and hotwords is None,
        )

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance `(frames, vocab)`; at least one hypothesis, at most `n_best`."""
        *_, hypotheses = self.decode_passes(log_probs)
        return hypotheses

    def decode_passes(self, log_probs: Tensor) -> Iterator[list[Hypothesis]]:
        """Decode one utterance without the second pass, and then, if there is one, with it."""
        try:
            state = self._idle.pop()  # fresh memory would cost as much as the search itself
            state.reset()
        except IndexError:
            state = Search(self.options, len(self.tokenizer), self._start)
        try:
            self._advance(state, log_probs)
            yield from self._passes(state)
        finally:
            self._idle.append(state)

    def decode_batch(self, log_probs: Tensor, lengths: Tensor) -> list[list[Hypothesis]]:
        """Decode a padded batch, as many utterances at once as there are threads."""
        rows = log_probs.to("cpu", torch.float32)
        parts = [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]
        if min(self.threads, len(parts)) < 2:
            return [self.decode(part) for part in parts]
        with ThreadPoolExecutor(min(self.threads, len(parts))) as pool:
            return list(pool.map(self.decode, parts))

    def _advance(self, state: Search, log_probs: Tensor) -> None:
        """Take a search through the frames of an utterance."""
        rows = np.ascontiguousarray(log_probs.detach().to("cpu", torch.float32).numpy())
        if rows.shape[1:] != (len(self.tokenizer),):
            raise DecoderError(f"log_probs are {rows.shape}, but must be (frames, {len(self.tokenizer)})")
        for first in range(0, len(rows), _CHUNK):
            chunk = rows[first : first + _CHUNK]
            state.grow(len(chunk))
            search = (chunk, state.tree, state.beam, self.rules, self.options)
            if _compiled:
                advance(*search)
            else:
                _compile(search)

    def _passes(self, state: Search) -> Iterator[list[Hypothesis]]:
        """Yield the `n_best` hypotheses, each with a different text, best first, without and with the second pass."""
        most = self.n_best if self.second_pass is None else max(self.n_best, self.rescore_best)
        # Some for which there is no room in the list, as they vote on how certain the others are.
        wide = (_VOTERS, -math.log(VOTE)) if most == 1 else (_VOTERS + 2 * most, math.inf)
        found = complete(state, self.rules, self.options, self._names, *wide)
        if not len(found.nodes):
            yield [self._complete(state)]
            return
        weights = np.exp(found.logs[:_VOTERS, 0] - found.logs[0, 0])
        weights = weights[weights >= VOTE]
        votes = found.nodes[: len(weights)], weights / weights.sum()

        def described(i: int, gain: float = 0.0) -> Hypothesis:
            scores = found.logs[i] + (self.options.lm_weight * gain, 0.0, gain, 0.0)
            return self._hypothesis(state, int(found.nodes[i]), scores, int(found.words[i]), *votes)

        if self.n_best == 1:
            yield [described(0)]
        else:
            yield [described(i) for i in self._differing(state, found, self.n_best).values()]
        if self.second_pass is None:
            return
        texts = self._differing(state, found, most)
        gains = self.second_pass.gains([text.split() for text in texts])
        rescored = [
            (-found.logs[i, 0] - self.options.lm_weight * gain, rank, i, gain)
            for rank, (i, gain) in enumerate(zip(texts.values(), gains, strict=True))
        ]
        yield [described(i, gain) for *_, i, gain in sorted(rescored)[: self.n_best]]

    def _differing(self, state: Search, found: Found, most: int) -> dict[str, int]:
        """Return the texts of the best hypotheses, best first, each with the number of the first that has it."""
        texts: dict[str, int] = {}
        for i, index in enumerate(found.nodes.tolist()):
            if len(texts) == most:
                break
            spans, _ = describe(state.tree.nodes, state.tree.times, index, *_alone(index))
            texts.setdefault(self._text(spans, int(found.words[i])), i)
        return texts

    def _complete(self, state: Search) -> Hypothesis:
        """Return the best prefix up to its last whole word, when a strict lexicon leaves all within words."""
        acoustic = state.logs - state.tree.states["fusion"][state.lanes["node"]]
        best = int(acoustic.argmax())
        index = int(state.lanes["node"][best])
        while not finish(state.tree.states[index], 0, self.rules, self.options)[0]:
            index = int(state.tree.nodes["parent"][index])
        at, weight = state.tree.states[index], self.options.lm_weight
        variants = range(variants_of(int(at["place"]), self.rules.trie))
        found = [finish(at, variant, self.rules, self.options) for variant in variants]
        _, word, total, bonus = max(found, key=lambda end: weight * end[2] + end[3])
        score = float(acoustic[best]) + weight * total + bonus
        logs = np.array([score, acoustic[best], total, bonus])
        return self._hypothesis(state, index, logs, word)

    def _hypothesis(
        self,
        state: Search,
        index: int,
        logs: NDArray[np.float64],
        word: int = -1,
        *votes: NDArray[Any],
    ) -> Hypothesis:
        """Follow a prefix back to the root.

        Its `logs` are its score and what that is made of, `word` the lexicon's number of the word that ends with it, -1
        none. On how certain its tokens are vote prefixes with their weights, which are the `votes`.
        """
        voters, weights = votes or _alone(index)
        spans, certain = describe(state.tree.nodes, state.tree.times, index, voters, weights)
        tokens, starts, ends, _ = spans.T.tolist()
        score, acoustic, total, bonus = logs.tolist()
        parts = {"acoustic": acoustic, "lm": total, "bonus": bonus}
        confidences = (certain**self.confidence_power).tolist()
        return Hypothesis(tokens, starts, ends, score, confidences, self._text(spans, word), parts)

    def _text(self, spans: NDArray[np.int64], word: int) -> str:
        """Return the text of a prefix by what `describe` tells of it and its last word."""
        if self.texts:  # tokens alone do not tell homophones apart
            return " ".join(self.texts[each] for each in (*spans[:, 3].tolist(), word) if each >= 0)
        return self.tokenizer.decode(spans[:, 0].tolist())


def _alone(index: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return a prefix as the only voter, and its weight."""
    return np.array([index], np.int32), np.ones(1)


def _second_pass(
    model: NGram | None,
    lstm: str | Path | LstmLM | None,
    weight: float,
    tokenizer: Tokenizer,
    known: Vocabulary,
) -> Interpolation | None:
    """Return the model of the second pass, if there is one."""
    if lstm is None:
        return None
    if model is None or not (known.lm_kind == 2 or isinstance(tokenizer, Words)):
        there = "there is none" if model is None else "this one is of tokens"
        raise UsageError(f"decoder.rescore needs an n-gram model of words, lm=FILE, but {there}")
    loaded = _model("rescore", lstm, load_lstm, LstmLM)
    return Interpolation(model, loaded, weight, tokenizer.normalize, known.lacking)


def _model(name: str, given: Any, load: Callable[[str | Path], Model], kind: type[Model]) -> Model:
    """Return a language model that is given as such or by its file."""
    model = load(given) if isinstance(given, str | Path) else given
    if not isinstance(model, kind):
        raise UsageError(f"decoder.{name} is {settings.shown(given)}, but must be the name of a file")
    return model


def _compile(search: tuple[Any, ...]) -> None:
    """Search for the first time in this process, with a message if numba compiles, which takes seconds."""
    global _compiled
    message = "compiling the beam search, once on this machine ..."
    timer = threading.Timer(3.0, print, (message,), {"file": sys.stderr})
    timer.start()
    try:
        advance(*search)
    finally:
        timer.cancel()
    _compiled = True

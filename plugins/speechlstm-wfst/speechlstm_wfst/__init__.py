"""Search in a graph of tokens, lexicon and grammar, as EESEN does it, by kaldi-decoder; no Kaldi is needed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import kaldifst
import torch
from kaldi_decoder import (
    DecodableCtc,
    FasterDecoder,
    FasterDecoderOptions,
    LatticeSimpleDecoder,
    LatticeSimpleDecoderConfig,
)
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.types import Hypothesis, UsageError

from .graph import open_graph
from .nbest import best_sentences

_IMPOSSIBLE = -1e4  # natural log; infinite costs would stop the search


class WfstDecoder(Decoder):
    """Viterbi search for the best sentence of a language model's words, in a precompiled graph.

    The score is that of the best alignment of the words, natural log, plus `lm_weight` times the language model's.
    Other words than the model's cannot be found.

    Args:
        tokenizer: whose ids it decodes.
        lm: ARPA file of words, gzipped or not.
        lexicon: file with a word and its tokens in each line; null spells the words of `lm` with the tokenizer.
        lm_weight: factor of the language model's natural log-probabilities.
        beam: alignments whose score lies this much below the best, natural log, are not followed.
        max_active: most alignments followed.
        n_best: most hypotheses returned, different words each.
        lattice_beam: with `n_best` above 1: how far below the best they may lie, natural log.
        cache: folder for built graphs; null is `wfst` in the user's cache folder.

    Raises:
        UsageError: no language model, or a parameter out of range.
        DecoderError: a file that cannot be used.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        lm: str | Path | None,
        lexicon: str | Path | None = None,
        lm_weight: float = 0.5,
        beam: float = 12.0,
        max_active: int = 7000,
        n_best: int = 1,
        lattice_beam: float = 10.0,
        cache: str | Path | None = None,
    ) -> None:
        super().__init__(tokenizer)
        if lm is None:
            raise UsageError(
                "decoder=wfst searches for the sentences of a language model: add lm=FILE, an ARPA file"
            )
        for name, number in (("lm_weight", lm_weight), ("beam", beam), ("lattice_beam", lattice_beam)):
            if isinstance(number, bool | str) or not 0 < number < math.inf:
                raise UsageError(f"{name} is {number!r}, but must be a number above 0")
        for name, value in (("max_active", max_active), ("n_best", n_best)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}, but must be a whole number, 1 or more")
        lexicon, cache = lexicon and Path(lexicon).expanduser(), cache and Path(cache).expanduser()
        self.graph = open_graph(tokenizer, Path(lm).expanduser(), lexicon, cache)
        self.lm_weight, self.n_best = lm_weight, n_best
        # The weights in the graph are fixed, so that the acoustic scores are scaled instead, and the beams with them.
        self.options = FasterDecoderOptions(beam=beam / lm_weight, max_active=max_active)
        self.lattice_options = LatticeSimpleDecoderConfig(
            beam=beam / lm_weight, lattice_beam=lattice_beam / lm_weight
        )

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance `(frames, vocab)`: at most `n_best` hypotheses with their texts."""
        if not len(log_probs):
            return [Hypothesis([], [], [], 0.0, [], "")]
        scaled = DecodableCtc(log_probs.clamp(min=_IMPOSSIBLE).div(self.lm_weight).contiguous().numpy())
        hypotheses = []
        for labels, words, cost in self._paths(scaled):
            path = torch.tensor(labels) - 1
            scores = log_probs.gather(1, path[:, None])[:, 0]
            text = self.tokenizer.normalize(" ".join(self.graph.words[word] for word in words))
            best = collapse(scores.numpy(), path.numpy())
            hypotheses.append(replace(best, score=-self.lm_weight * cost, text=text))
        return hypotheses or [Hypothesis([], [], [], -math.inf, [], "")]

    def _paths(self, scaled: DecodableCtc) -> list[tuple[list[int], list[int], float]]:
        """Return the best path of each of the best sentences: a label for each frame, the words, and the cost."""
        if self.n_best > 1:
            wide = LatticeSimpleDecoder(self.graph.fst, self.lattice_options)
            if not wide.decode(scaled):
                return []
            return best_sentences(wide.get_raw_lattice()[1].to_str(show_weight_one=True), self.n_best)
        search = FasterDecoder(self.graph.fst, self.options)
        search.decode(scaled)
        reached, lattice = search.get_best_path()
        if not reached:
            return []
        _, labels, words, cost = kaldifst.get_linear_symbol_sequence(lattice)
        return [(labels, words, cost.value1 + cost.value2)]

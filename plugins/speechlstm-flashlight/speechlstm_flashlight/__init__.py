"""CTC beam search by flashlight-text, the C++ search behind torchaudio's `ctc_decoder`; KenLM is in it."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from flashlight.lib.text import decoder as flashlight
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from torch import Tensor

from speechlstm.decoders import Decoder
from speechlstm.decoders.base import collapse
from speechlstm.model.tokenizer import Tokenizer
from speechlstm.model.tokenizer.lexicon import read_lexicon
from speechlstm.types import DecoderError, Hypothesis, UsageError, counted

_IMPOSSIBLE = -1e4  # natural log; the search computes with it, with an infinity it would not
_UNKNOWN = "<unk>"
_LISTED = 10  # words left out that are named


class FlashlightDecoder(Decoder):
    """Prefix beam search in C++, with or without a lexicon and a KenLM language model.

    The score is the CTC probability of the alignments that the beam kept, natural log, plus `lm_weight` times that of
    the language model, plus `word_bonus` for each word.

    Args:
        tokenizer: whose ids it decodes; a lexicon needs one that writes a token between words.
        beam_size: prefixes kept after each frame; those that end in a blank and those that do not are counted apart.
        max_tokens: most tokens tried in a frame. The cost grows with `beam_size * max_tokens`.
        beam_threshold: prefixes whose score lies this much below the best, natural log, are not kept.
        n_best: most hypotheses returned.
        lexicon: file with a word and its tokens in each line: no other words are found. Null: any tokens.
        lm: ARPA or KenLM binary file; of words with a lexicon, else of tokens.
        lm_weight: factor of its natural log-probabilities.
        word_bonus: natural log added for each word of the lexicon.

    Raises:
        UsageError: a parameter out of range, or a lexicon for a tokenizer without a token between words.
        DecoderError: a file that cannot be used.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        beam_size: int = 50,
        max_tokens: int = 16,
        beam_threshold: float = 25.0,
        n_best: int = 1,
        lexicon: str | Path | None = None,
        lm: str | Path | None = None,
        lm_weight: float = 0.5,
        word_bonus: float = 0.0,
    ) -> None:
        super().__init__(tokenizer)
        for name, value in (("beam_size", beam_size), ("max_tokens", max_tokens), ("n_best", n_best)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}, but must be a whole number, 1 or more")
        if not beam_threshold > 0:
            raise UsageError(f"beam_threshold is {beam_threshold!r}, but must be a number above 0")
        if lexicon is not None and tokenizer.separator is None:
            raise UsageError(
                f"flashlight's lexicon search needs a token between words, which a {tokenizer.kind} tokenizer has not"
            )
        self.n_best, self.closed = n_best, lexicon is not None
        self.separator = 0 if tokenizer.separator is None else tokenizer.tokens.index(tokenizer.separator)
        spellings = [] if lexicon is None else _spellings(lexicon, tokenizer)
        self.words = list(dict.fromkeys(word for word, _ in spellings))
        names = self.words if self.closed else tokenizer.tokens
        known = Dictionary(names if _UNKNOWN in names else [*names, _UNKNOWN])
        self.lm = flashlight.ZeroLM() if lm is None else _kenlm(lm, known)
        options: dict[str, Any] = {
            "beam_size": beam_size,
            "beam_size_token": min(max_tokens, len(tokenizer)),
            "beam_threshold": beam_threshold,
            "lm_weight": lm_weight * math.log(10),  # KenLM's logarithms are decimal
            "sil_score": 0.0,
            "log_add": True,  # without it the search takes the best alignment only, which greedy search finds faster
            "criterion_type": flashlight.CriterionType.CTC,
        }
        if self.closed:
            unknown = known.get_index(_UNKNOWN)
            options |= {"word_score": word_bonus, "unk_score": -math.inf}
            self.search = flashlight.LexiconDecoder(
                flashlight.LexiconDecoderOptions(**options), self._trie(spellings), self.lm, self.separator, 0,
                unknown, [], False,
            )  # fmt: skip
        else:
            # The search begins as if after its "silence": with the separator for it, one that is said first is lost.
            self.search = flashlight.LexiconFreeDecoder(
                flashlight.LexiconFreeDecoderOptions(**options), self.lm, 0, 0, []
            )

    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        """Decode one utterance `(frames, vocab)`: at most `n_best` hypotheses."""
        frames, vocab = log_probs.shape
        rows = log_probs.clamp(min=_IMPOSSIBLE)
        if self.closed:  # a word is finished by the separator after it, so the last one needs one more frame
            end = torch.full((1, vocab), _IMPOSSIBLE)
            end[0, self.separator] = 0.0
            rows = torch.cat([rows, end])
        rows = rows.contiguous()
        hypotheses = []
        for result in self.search.decode(rows.data_ptr(), len(rows), vocab)[: self.n_best]:
            path = torch.tensor(result.tokens[1 : 1 + frames], dtype=torch.int64)  # one more at both ends
            scores = log_probs.gather(1, path[:, None])[:, 0]
            text = " ".join(self.words[word] for word in result.words if word >= 0) if self.closed else None
            hypotheses.append(replace(collapse(scores.numpy(), path.numpy()), score=result.score, text=text))
        return hypotheses or [Hypothesis([], [], [], -math.inf, [])]

    def _trie(self, spellings: list[tuple[str, list[int]]]) -> flashlight.Trie:
        trie = flashlight.Trie(len(self.tokenizer), self.separator)
        start = self.lm.start(False)
        index = {word: number for number, word in enumerate(self.words)}
        for word, spelling in spellings:
            _, score = self.lm.score(start, index[word])
            trie.insert([*spelling, self.separator], index[word], score)
        trie.smear(flashlight.SmearingMode.MAX)  # a partial word is as good as the best word it can become
        return trie


def _spellings(path: str | Path, tokenizer: Tokenizer) -> list[tuple[str, list[int]]]:
    """Read a lexicon's words with their token ids; leave out, and name, those with tokens that do not exist."""
    ids = {token: index for index, token in enumerate(tokenizer.tokens) if index}
    spellings, lost = [], []
    for word, variants in read_lexicon(path, tokenizer.normalize).items():
        for variant in variants:
            tokens = (
                variant[:-1] if variant[-1] == tokenizer.separator else variant
            )  # wav2letter's lexicons close words
            if tokens and all(token in ids for token in tokens):
                spellings.append((word, [ids[token] for token in tokens]))
            else:
                lost.append(word)
    if not spellings:
        raise DecoderError(
            f"{path}: none of its words is spelled in the tokenizer's tokens, such as {_few(ids)}"
        )
    if lost:
        print(
            f"{path}: left out, because of tokens that do not exist: {counted(len(lost), 'word')}: {_few(lost)}",
            file=sys.stderr,
        )
    return spellings


def _few(names: Any) -> str:
    shown = [repr(name) for name in names]
    return ", ".join(shown[:_LISTED]) + (" ..." if len(shown) > _LISTED else "")


def _kenlm(path: str | Path, known: Dictionary) -> KenLM:
    if not Path(path).is_file():
        raise DecoderError(f"{path}: no such file; lm is an ARPA file or a KenLM binary")
    try:
        model = KenLM(str(path), known)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1]
        raise DecoderError(f"{path}: not a language model that KenLM can read: {reason}") from None
    start = model.start(False)
    unknown = model.score(start, known.get_index(_UNKNOWN))[1]
    names = [known.get_entry(index) for index in range(known.index_size())]
    if all(model.score(start, index)[1] == unknown for index in range(len(names))):
        raise DecoderError(f"{path}: the language model knows none of {len(names) - 1} names: {_few(names)}")
    return model

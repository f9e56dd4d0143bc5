"""The vocabulary of a beam search: tokens, lexicon, language model, and hotwords combined."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlstm.data.lines import read_lines
from speechlstm.data.names import expanded
from speechlstm.decoders.beam.fusion import BEGINS, CONTINUES, SEPARATES, Rules
from speechlstm.decoders.beam.hotwords import Hotwords, read_hotwords
from speechlstm.decoders.beam.lookahead import successors
from speechlstm.decoders.beam.records import BELOW, HOT, PLACE, TOKEN, WORD
from speechlstm.decoders.beam.spelling import MOST_TOKENS, Spelling
from speechlstm.decoders.beam.trie import Trie, build_trie
from speechlstm.decoders.lm import NO_MODEL, NGram
from speechlstm.decoders.lm.corpus import UNK
from speechlstm.model.tokenizer import Phones, Tokenizer, Words
from speechlstm.types import DecoderError, UsageError, counted

_LISTED = 10  # dropped words that are named


class Entry(NamedTuple):
    """A word of the lexicon, spelled in one way."""

    word: str
    tokens: list[int]
    share: float  # natural log of the probability that it is pronounced so, by that of its best pronunciation


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The rules of a search, and what its settings mean for them."""

    rules: Rules  # the tokens, lexicon and hotwords as arrays
    texts: list[str]  # each entry of the lexicon as text; empty where the tokenizer reads the words itself
    lm_kind: int  # 0 without a language model, 1 for one of tokens, 2 for one of words
    followed: bool  # words are followed in the lexicon
    priced: bool  # words outside it have a price
    context: bool  # look-ahead takes account of the words before
    # natural log of the share of the unknown word's probability that each word of the lexicon gets that the
    # language model lacks
    share: float
    lacking: frozenset[str]  # those words
    gain: float  # the most that a token within a word can gain, natural log


def build(
    tokenizer: Tokenizer,
    model: NGram | None,
    lm_weight: float,
    unk_score: float,
    lexicon: str,
    words: str | Path | None,
    pronunciation_weight: float,
    hotwords: str | Path | Iterable[str] | Mapping[str, float] | None,
    hotword_boost: float,
) -> Vocabulary:
    """Put together what `BeamDecoder` was given; its documentation says what the arguments mean.

    Raises:
        UsageError: a strict lexicon without words.
        DecoderError: a file that cannot be used.
    """
    kind = np.array([_kind(tokenizer, token) for token in tokenizer.tokens], dtype=np.int8)
    of_tokens = model is not None and set(_plain_words(model)) <= set(tokenizer.tokens)
    boosts = {} if hotwords is None else read_hotwords(hotwords, hotword_boost)
    spelling = Spelling(tokenizer, words)
    ways = list(zip(spelling.phrases(boosts), boosts.values(), strict=True))
    hot = Hotwords([way for each, _ in ways for way in each], [own for each, own in ways for _ in each], kind)

    follows = not of_tokens or (isinstance(tokenizer, Words) and lexicon == "strict")
    entries = _entries(tokenizer, spelling, model if follows else None, lexicon, words)
    if entries is not None:
        entries += _new_words(tokenizer, spelling, boosts, entries)
    followed = entries is not None
    texts = [each.word for each in entries or []]
    trie = build_trie([each.tokens for each in entries or []])
    lm_kind = 0 if model is None else 1 if of_tokens else 2
    of_words = model if lm_kind == 2 else None
    lm_word = _model_words(tokenizer, of_words, texts)
    lacks = lm_word == of_words.unk if of_words else np.zeros(len(texts), dtype=bool)
    lacking = frozenset(texts[index] for index in np.flatnonzero(lacks))
    share = -math.log(max(1, len(lacking)))
    best, ahead = _look_ahead(trie, of_words, lm_word, share * lacks, lm_weight, unk_score, lexicon)
    far = of_words if lexicon == "strict" and lm_weight else None
    rules = Rules(
        _token_records(tokenizer, kind, model if of_tokens else None),
        _place_records(trie, ahead),
        _records(BELOW, low=trie.low, high=trie.high, best=best, lacks=trie.best_below(1.0 * lacks) > 0),
        _word_records(entries or [], trie, lm_word, pronunciation_weight),
        _hot_records(hot),
        model.arrays if model else NO_MODEL,
        successors(far, lm_word[trie.order]),
    )
    return Vocabulary(
        rules,
        [texts[entry] for entry in trie.entry] if isinstance(tokenizer, Phones) else [],
        lm_kind,
        followed,
        followed and lexicon == "soft",
        far is not None,
        share,
        lacking,
        hot.gain + max(0.0, float(ahead.max())),
    )


def _model_words(tokenizer: Tokenizer, model: NGram | None, texts: list[str]) -> NDArray[np.int32]:
    """Return the language model's word of each text, `unk` for those that it lacks."""
    if model is None:
        return np.zeros(len(texts), dtype=np.int32)
    ids = {tokenizer.normalize(word): model.ids[word] for word in reversed(_plain_words(model))}
    return np.array([ids.get(word, model.unk) for word in texts], dtype=np.int32)


def _token_records(tokenizer: Tokenizer, kind: NDArray[np.int8], model: NGram | None) -> NDArray[Any]:
    scored = model.ids if model else {}
    lm_token = np.array([scored.get(token, scored.get(UNK, 0)) for token in tokenizer.tokens], np.int32)
    return _records(TOKEN, kind=kind, lm=lm_token)


def _place_records(trie: Trie, ahead: NDArray[np.float64]) -> NDArray[Any]:
    columns = {"first": trie.first, "token": np.append(trie.token, -1), "first_word": trie.first_entry}
    return _records(PLACE, ahead=ahead, **columns, **_steps(trie, ahead))


def _word_records(
    entries: list[Entry], trie: Trie, lm_word: NDArray[np.int32], weight: float
) -> NDArray[Any]:
    spoken = weight * np.array([each.share for each in entries])
    return _records(WORD, lm=lm_word[trie.entry], spoken=spoken[trie.entry])


def _hot_records(hot: Hotwords) -> NDArray[Any]:
    bonuses = {name: np.append(getattr(hot, name), 0.0) for name in ("score", "kept", "whole")}
    fail, token = np.append(hot.fail, 0), np.append(hot.trie.token, -1)
    return _records(HOT, first=hot.trie.first, token=token, fail=fail, **bonuses)


def _kind(tokenizer: Tokenizer, token: str) -> int:
    if token == tokenizer.separator:
        return SEPARATES
    return BEGINS if tokenizer.begins_word(token) else CONTINUES


def _plain_words(model: NGram) -> list[str]:
    """Return the words of a language model without those that stand for something else."""
    return [word for word in model.words if word.lower() not in ("<s>", "</s>", "<unk>")]


def _entries(
    tokenizer: Tokenizer, spelling: Spelling, model: NGram | None, lexicon: str, words: str | Path | None
) -> list[Entry] | None:
    """Return the words to follow (several times if they have several pronunciations).

    Without a lexicon, the words of a language model are followed all the same, to look them up.
    """
    if spelling.lexicon is not None:
        if model is None and (lexicon == "none" or (words is None and lexicon == "soft")):
            return None
        return _usable(_spelled(spelling, spelling.lexicon), words or "the lexicon")
    if words is not None and lexicon != "none":
        listed, source = read_words(words), str(words)
    elif model is not None:
        listed, source = _plain_words(model), "the language model"
    elif lexicon == "strict":
        raise UsageError("lexicon=strict needs its words: words=FILE, or a language model of words, lm=FILE")
    else:
        return None
    normal = dict.fromkeys(tokenizer.normalize(word) for word in listed)
    return _usable(_spelled(spelling, normal), source)


def _spelled(spelling: Spelling, words: Iterable[str]) -> list[Entry]:
    """Return the words, each as often as there are ways to spell it."""
    return [
        Entry(word, way, share)
        for word in words
        for way, share in zip(spelling.word(word), spelling.shares(word), strict=True)
    ]


def _new_words(
    tokenizer: Tokenizer, spelling: Spelling, phrases: Iterable[str], entries: list[Entry]
) -> list[Entry]:
    """Return the hotwords' words that are not among the entries."""
    there = {each.word for each in entries}
    words = dict.fromkeys(word for phrase in phrases for word in tokenizer.normalize(phrase).split())
    return _spelled(spelling, (word for word in words if word not in there))


def _usable(entries: list[Entry], source: str | Path) -> list[Entry]:
    """Leave out entries that cannot be spelled, with a message."""
    kept: list[Entry] = []
    lost: list[str] = []
    for each in entries:
        if 0 < len(each.tokens) <= MOST_TOKENS and 0 not in each.tokens:
            kept.append(each)
        else:
            lost.append(each.word)
    if not kept:
        raise DecoderError(
            f"{source}: none of its {counted(len(entries), 'word')} can be spelled with these tokens"
        )
    if lost:
        shown = ", ".join(repr(word[:60]) for word in lost[:_LISTED]) + (
            " ..." if len(lost) > _LISTED else ""
        )
        print(
            f"{source}: {len(lost)} of {counted(len(entries), 'word')} cannot be spelled with these tokens: {shown}",
            file=sys.stderr,
        )
    return kept


def read_words(path: str | Path) -> list[str]:
    """Read a list of words: the first of each line, so that a pronunciation lexicon will do as well."""
    lines = (line for _, line in read_lines(expanded(path)))
    words = [line.split(maxsplit=1)[0] for line in lines if line and not line.startswith((";;;", "#"))]
    if not words:
        raise DecoderError(f"{path}: no words; write one a line")
    return [re.sub(r"(?<=.)\(\d+\)$", "", word) for word in words]  # WORD(2) is another pronunciation of WORD


def _look_ahead(
    trie: Trie,
    model: NGram | None,
    lm_word: NDArray[np.int32],
    shares: NDArray[np.float64],
    weight: float,
    unk_score: float,
    lexicon: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each node of the lexicon still promises without any words before.

    Returns:
        `(nodes,)` the best log-probability of the words at or below it; `(nodes + 1,)` the best that they add to a
        score, and last the unknown word's. Otherwise those who have paid for their word already would be pruned in
        favor of those who have not.
    """
    scores, outside = np.zeros(len(lm_word)), 0.0
    if model is not None:
        alone = model.arrays.unigrams["log_prob"].astype(np.float64)
        scores, outside = alone[lm_word] + shares, weight * float(alone[model.unk])
    best = trie.best_below(scores)
    if lexicon == "none" or len(trie.token) == 1:
        return best, np.zeros(len(trie.token) + 1)
    ahead = np.maximum(weight * best, -1e9)
    if lexicon == "strict":
        return best, np.append(ahead, 0.0)
    return best, np.append(np.maximum(ahead, outside + unk_score), outside + unk_score)


def _steps(trie: Trie, ahead: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return what the step to each node multiplies into a probability, and the step from it out of the lexicon."""
    here = ahead.copy()
    here[0] = 0.0  # between words nothing is expected yet
    down = np.exp(here[:-1] - here[np.maximum(trie.parent, 0)])
    return {"down": np.append(down, 1.0), "out": np.exp(ahead[-1] - here)}


def _records(dtype: np.dtype[Any], **columns: NDArray[Any]) -> NDArray[Any]:
    records = np.zeros(len(next(iter(columns.values()))), dtype)
    for name, column in columns.items():
        records[name] = column
    return records

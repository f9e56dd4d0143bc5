"""What a beam search knows of its tokens and words: lexicon, language model and hotwords put together."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlstm.decoders.beam.fusion import BEGINS, CONTINUES, HOT, PLACE, SEPARATES, TOKEN, Rules
from speechlstm.decoders.beam.hotwords import Hotwords, read_hotwords
from speechlstm.decoders.beam.trie import Trie, build_trie
from speechlstm.decoders.compiled import compiled
from speechlstm.decoders.lm import NGram, NGramArrays, query
from speechlstm.model.tokenizer import Phones, Tokenizer, Words
from speechlstm.model.tokenizer.lexicon import read_lexicon
from speechlstm.types import DecoderError, TokenizerError, UsageError

_LISTED = 10  # dropped words that are named


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The rules of a search, and what its settings mean for them.

    Attributes:
        rules: the tokens, lexicon and hotwords as arrays.
        texts: each entry of the lexicon as text; empty where the tokenizer reads the words itself.
        lm_kind: 0 without a language model, 1 for one of tokens, 2 for one of words.
        followed: words are followed in the lexicon.
        priced: words outside it have a price.
        gain: the most that a token within a word can gain, natural log.
    """

    rules: Rules
    texts: list[str]
    lm_kind: int
    followed: bool
    priced: bool
    gain: float


def build(
    tokenizer: Tokenizer,
    model: NGram | None,
    lm_weight: float,
    unk_score: float,
    lexicon: str,
    words: str | Path | None,
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
    phrases = [_spelled(tokenizer, phrase) for phrase in boosts]
    hot = Hotwords(phrases, list(boosts.values()), kind)

    follows = not of_tokens or (isinstance(tokenizer, Words) and lexicon == "strict")
    entries = _entries(tokenizer, model if follows else None, lexicon, words)
    if entries is not None:
        there = {word for word, _ in entries}
        hot_words = dict.fromkeys(word for phrase in boosts for word in tokenizer.normalize(phrase).split())
        entries += [(word, _spelled(tokenizer, word)) for word in hot_words if word not in there]
    followed = entries is not None
    texts = [word for word, _ in entries or []]
    trie = build_trie([spelling for _, spelling in entries or []])
    lm_kind = 0 if model is None else 1 if of_tokens else 2
    lm_word = np.zeros(len(texts), dtype=np.int32)
    if model is not None and lm_kind == 2:
        ids = {tokenizer.normalize(word): model.ids[word] for word in reversed(_plain_words(model))}
        lm_word[:] = [ids.get(word, model.unk) for word in texts]
    lm_token = np.zeros(len(tokenizer), dtype=np.int32)
    if model is not None and lm_kind == 1:
        lm_token[:] = [model.ids.get(token, model.unk) for token in tokenizer.tokens]
    ahead = _look_ahead(trie, model if lm_kind == 2 else None, lm_word, lm_weight, unk_score, lexicon)
    rules = Rules(
        _records(TOKEN, kind=kind, lm=lm_token),
        _place_records(trie, ahead),
        lm_word[trie.entry],
        _hot_records(hot),
    )
    return Vocabulary(
        rules,
        [texts[entry] for entry in trie.entry] if isinstance(tokenizer, Phones) else [],
        lm_kind,
        followed,
        followed and lexicon == "soft",
        hot.gain + max(0.0, float(ahead.max())),
    )


def _place_records(trie: Trie, ahead: NDArray[np.float64]) -> NDArray[Any]:
    columns = {"first": trie.first, "token": np.append(trie.token, -1), "first_word": trie.first_entry}
    return _records(PLACE, ahead=ahead, **columns, **_steps(trie, ahead))


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


def _spelled(tokenizer: Tokenizer, phrase: str) -> list[int]:
    try:
        return tokenizer.encode(phrase)
    except TokenizerError as error:
        raise DecoderError(f"hotword {phrase!r} cannot be spelled: {error}") from None


def _entries(
    tokenizer: Tokenizer, model: NGram | None, lexicon: str, words: str | Path | None
) -> list[tuple[str, list[int]]] | None:
    """Return the words to follow, each with its tokens (several times if it has several pronunciations).

    Without a lexicon, the words of a language model are followed all the same, to look them up.
    """
    if isinstance(tokenizer, Phones):
        known = tokenizer.lexicon.entries if words is None else read_lexicon(words, tokenizer.normalize)
        if model is None and (lexicon == "none" or (words is None and lexicon == "soft")):
            return None
        ids = {phone: index for index, phone in enumerate(tokenizer.tokens)}
        spelled = [
            (word, [ids.get(phone, 0) for phone in phones])
            for word, variants in known.items()
            for phones in variants
        ]
        return _usable(spelled, words or "the lexicon")
    if words is not None and lexicon != "none":
        found, source = _read_words(words), str(words)
    elif model is not None:
        found, source = _plain_words(model), "the language model"
    elif lexicon == "strict":
        raise UsageError("lexicon=strict needs its words: words=FILE, or a language model of words, lm=FILE")
    else:
        return None
    normal = dict.fromkeys(tokenizer.normalize(word) for word in found)
    return _usable([(word, _ids(tokenizer, word)) for word in normal], source)


def _ids(tokenizer: Tokenizer, word: str) -> list[int]:
    try:
        return tokenizer.encode(word)
    except TokenizerError:
        return [0]


def _usable(entries: list[tuple[str, list[int]]], source: str | Path) -> list[tuple[str, list[int]]]:
    """Leave out entries that cannot be spelled, and say so."""
    kept = [entry for entry in entries if entry[1] and 0 not in entry[1]]
    if not kept:
        raise DecoderError(f"{source}: none of its {len(entries)} words can be spelled with these tokens")
    if len(kept) < len(entries):
        lost = [word for word, spelling in entries if not spelling or 0 in spelling]
        shown = ", ".join(repr(word) for word in lost[:_LISTED]) + (" ..." if len(lost) > _LISTED else "")
        print(
            f"{source}: {len(lost)} of {len(entries)} words cannot be spelled with these tokens: {shown}",
            file=sys.stderr,
        )
    return kept


def _read_words(path: str | Path) -> list[str]:
    """Read a list of words: the first of each line, so that a pronunciation lexicon will do as well."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DecoderError(f"{path}: cannot read the words: {reason}") from None
    found = [line.split()[0] for line in lines if line.strip() and not line.startswith((";;;", "#"))]
    if not found:
        raise DecoderError(f"{path}: no words; write one a line")
    return [re.sub(r"(?<=.)\(\d+\)$", "", word) for word in found]  # WORD(2) is WORD said in another way


def _look_ahead(
    trie: Trie, model: NGram | None, lm_word: NDArray[np.int32], weight: float, unk_score: float, lexicon: str
) -> NDArray[np.float64]:
    """Return for each node of the lexicon the best that its words can still score, and last the unknown word's.

    A partial word is held against others by the best unigram probability of the words it can become (Ortmanns,
    Ney and Eiden 1996, "Language-model look-ahead for large vocabulary speech recognition"); otherwise those who
    have paid for their word already would be pruned in favour of those who have not.
    """
    if lexicon == "none" or len(trie.token) == 1:
        return np.zeros(len(trie.token) + 1)
    scores, outside = np.zeros(len(lm_word)), 0.0
    if model is not None:
        scores = weight * unigrams(model.arrays, model.null, lm_word)
        outside = weight * float(unigrams(model.arrays, model.null, np.array([model.unk], dtype=np.int32))[0])
    best = trie.best_below(scores)
    if lexicon == "strict":
        return np.append(np.maximum(best, -1e9), 0.0)
    return np.append(np.maximum(best, outside + unk_score), outside + unk_score)


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


@compiled
def unigrams(lm: NGramArrays, null: int, words: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the natural log-probability of each word without any context."""
    scores = np.empty(len(words))
    for index, word in enumerate(words):
        scores[index] = query(lm, null, word)[0]
    return scores

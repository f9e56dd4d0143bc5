"""Which pronunciation of a word is heard: posterior probabilities from speech with its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from speechlstm.model.tokenizer.lexicon import Pronunciation, Pronunciations, probability
from speechlstm.model.tokenizer.phones import BOUNDARY, joined

_PRIOR = 2.0  # times that each pronunciation counts as heard beforehand
_TOGETHER = 64  # sequences whose probability is computed at once

Counts = dict[str, Tensor]


def fits(frames: int, words: Sequence[str], lexicon: Pronunciations) -> bool:
    """Return whether words can be spoken in so many frames of log-probabilities, each token in one of its own."""
    shortest = sum(min(map(len, lexicon[word])) for word in words) + max(len(words) - 1, 0)
    return shortest <= frames


def count_heard(
    utterances: Iterable[tuple[Tensor, Sequence[str]]], lexicon: Pronunciations, tokens: Sequence[str]
) -> Counts:
    """Count how often each pronunciation of a word is heard.

    A word that occurs is counted with the posterior probability of each of its pronunciations: that of CTC, summed over
    all alignments, with the first pronunciation of each other word of the utterance.

    Args:
        utterances: `(frames, vocab)` natural logs, and the words that are spoken, all in the lexicon.
        lexicon: pronunciations of each word.
        tokens: of the model; phones and the boundary between words.

    Returns:
        for each word with several pronunciations that occurs, the counts of these `(pronunciations,)`.
    """
    ids = {token: index for index, token in enumerate(tokens)}
    counts: Counts = {}
    for log_probs, words in utterances:
        if not fits(len(log_probs), words, lexicon):
            continue  # the time that it takes grows with the square of the words
        spoken = [[[ids[phone] for phone in way] for way in lexicon[word]] for word in words]
        open_to = [
            (place, way) for place, ways in enumerate(spoken) if len(ways) > 1 for way in range(len(ways))
        ]
        usual = [ways[0] for ways in spoken]
        sequences = [
            joined([*usual[:place], spoken[place][way], *usual[place + 1 :]], ids[BOUNDARY])
            for place, way in open_to
        ]
        scores = _scores(log_probs, sequences)
        begin = 0
        while begin < len(open_to):
            place = open_to[begin][0]
            own = scores[begin : begin + len(spoken[place])]
            begin += len(own)
            if own.isfinite().any():  # otherwise the audio is too short for the text
                word = words[place]
                counts[word] = counts.get(word, torch.zeros(len(own), dtype=own.dtype)) + own.softmax(0)
    return counts


def _scores(log_probs: Tensor, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Return the natural log of the CTC probability of each sequence of tokens."""
    scores = [torch.zeros(0, dtype=torch.float64)]
    for begin in range(0, len(sequences), _TOGETHER):
        part = [torch.tensor(each) for each in sequences[begin : begin + _TOGETHER]]
        lengths = torch.tensor([len(each) for each in part])
        rows = log_probs.double()[:, None].expand(-1, len(part), -1)
        frames = torch.full_like(lengths, len(log_probs))
        targets = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        scores.append(-torch.nn.functional.ctc_loss(rows, targets, frames, lengths, reduction="none"))
    return torch.cat(scores)


def with_probabilities(lexicon: Pronunciations, counts: Mapping[str, Tensor]) -> Pronunciations:
    """Return a lexicon whose words that were heard have probabilities for their pronunciations, best first."""
    return {word: _sorted(ways, counts[word]) if word in counts else ways for word, ways in lexicon.items()}


def _sorted(ways: Sequence[Sequence[str]], counts: Tensor) -> list[list[str]]:
    shares = (counts + _PRIOR) / (counts + _PRIOR).sum()
    made: list[list[str]] = []
    for phones, share in zip(ways, shares.tolist(), strict=True):
        known = Pronunciation(phones)
        known.probability = share
        made.append(known)
    return sorted(made, key=probability, reverse=True)

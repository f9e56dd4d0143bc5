"""An LSTM language model of words: the network, its file, and the scores of sentences.

With E the matrix of word embeddings (words, D), w_t the word before and h_0 = c_0 = 0, it reads

    x_t = sqrt(D) E[w_t]
    i, f, g, o = W x_t + U h_{t-1} + b              input gate, forget gate, new content, output gate
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)   the cell (Hochreiter and Schmidhuber 1997, Gers et al. 2000)
    h_t = sigmoid(o) tanh(c_t)
    log P(w | w_1 .. w_t) = log softmax(E (P h_t + p) + a)[w]

E serves at both ends (Press and Wolf 2017), which saves a third of the weights or more. A sentence begins with `<s>`
and ends with `</s>`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional

from speechlstm.data.files import write_atomically
from speechlstm.data.lines import read_value
from speechlstm.data.names import expanded
from speechlstm.decoders.lm.corpus import BOS, EOS, EOS_ID, UNK, Corpus
from speechlstm.decoders.lm.ngram import Perplexity
from speechlstm.model.reading import read_tensors_and_metadata
from speechlstm.model.tokenizer.base import encodable
from speechlstm.types import DecoderError

MARKS = [BOS, EOS, UNK]  # the first words of every model
# In the header of the file; the number rises when its meaning changes.
KIND = "speechlstm LSTM language model 1"

_SENTENCES = 64  # scored at once
_ROWS = 256  # contexts whose probabilities of all words are in memory at once


class LstmLM(nn.Module):
    """A language model with one LSTM layer.

    Args:
        words: the word of each id, `MARKS` first.
        embedding: size D of the embeddings.
        hidden: size of the LSTM.
        draw: whether embeddings are drawn at random; on the device "meta", that would make PyTorch import its compiler.

    Attributes:
        ids: the id of each word.
    """

    def __init__(self, words: Sequence[str], embedding: int, hidden: int, draw: bool = True) -> None:
        super().__init__()
        self.words = list(words)
        self.ids = {word: index for index, word in enumerate(self.words)}
        self.bos, self.eos, self.unk = (self.ids[mark] for mark in MARKS)
        table = None if draw else torch.empty(len(self.words), embedding)
        self.embedding = nn.Embedding(len(self.words), embedding, _weight=table)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.projection = nn.Linear(hidden, embedding)
        self.bias = nn.Parameter(torch.zeros(len(self.words)))
        if draw:
            nn.init.normal_(self.embedding.weight, std=embedding**-0.5)

    def forward(self, words: Tensor) -> Tensor:
        """Read words `(batch, time)`; return `(batch, time, D)`, of which `logits` makes those of the next word."""
        states, _ = self.lstm(self._embedded(words))
        projected: Tensor = self.projection(states)
        return projected

    def logits(self, projected: Tensor) -> Tensor:
        """Return the unnormalized log-probabilities of all words, `(..., D)` -> `(..., words)`."""
        return functional.linear(projected, self.embedding.weight, self.bias)

    def _embedded(self, words: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(words) * math.sqrt(self.embedding.embedding_dim)
        return embedded

    def numbers(self, words: Iterable[str]) -> list[int]:
        """Return the ids of words, `<unk>` for those that it lacks."""
        return [self.ids.get(word, self.unk) for word in words]

    def score(self, sentences: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the natural log probability of each word of each sentence, and last that of `</s>`.

        Beginnings that sentences have in common are computed once, so that the hypotheses of one utterance are
        scored at a fraction of the cost.
        """
        scores: list[list[float]] = []
        for first in range(0, len(sentences), _SENTENCES):
            scores += self._score([self.numbers(words) for words in sentences[first : first + _SENTENCES]])
        return scores

    @torch.inference_mode()
    def _score(self, sentences: list[list[int]]) -> list[list[float]]:
        words, parents, levels, paths = _tree(sentences, self.bos)
        projected: Tensor = self.projection(self._states(words, parents, levels))
        totals = [self.logits(rows).logsumexp(-1) for rows in torch.split(projected, _ROWS)]
        contexts = torch.tensor([node for path in paths for node in path])
        nexts = torch.tensor([word for sentence in sentences for word in (*sentence, self.eos)])
        own = (projected[contexts] * self.embedding.weight[nexts]).sum(-1) + self.bias[nexts]
        scores = torch.split(own - torch.cat(totals)[contexts], [len(path) for path in paths])
        return [each.tolist() for each in scores]

    def _states(self, words: list[int], parents: list[int], levels: list[int]) -> Tensor:
        """Return the LSTM's output `(nodes, hidden)` at each node of a tree, from those of all parents at once."""
        lstm: Any = self.lstm
        bias = lstm.bias_ih_l0 + lstm.bias_hh_l0
        read = functional.linear(self._embedded(torch.tensor(words)), lstm.weight_ih_l0, bias)
        # The last row is what was before the beginning, number -1.
        output, cell = read.new_zeros(2, len(words) + 1, lstm.hidden_size)
        above = torch.tensor(parents)
        begin = 0
        for end in levels:
            before = above[begin:end]
            gates = torch.addmm(read[begin:end], output[before], lstm.weight_hh_l0.t())
            take, keep, new, give = gates.chunk(4, -1)
            cell[begin:end] = keep.sigmoid() * cell[before] + take.sigmoid() * new.tanh()
            output[begin:end] = give.sigmoid() * cell[begin:end].tanh()
            begin = end
        states: Tensor = output[:-1]
        return states

    def perplexity(self, corpus: Corpus) -> Perplexity:
        """Measure the model on a text that has at least one sentence."""
        ends = np.flatnonzero(corpus.stream == EOS_ID)
        sentences = [
            [corpus.words[word] for word in each[1:]] for each in np.split(corpus.stream, ends + 1)[:-1]
        ]
        log_probs = np.concatenate(self.score([words[:-1] for words in sentences]))
        unknown = np.array([word not in self.ids or word == UNK for word in corpus.words])
        return Perplexity.of(corpus, unknown, log_probs)

    def save(self, path: str | Path) -> None:
        """Write the model as one safetensors file, weights in float16, whole or not at all.

        Raises:
            OSError: no space, no permission; an older file is then unchanged.
        """
        state = {name: value.detach().cpu().half().contiguous() for name, value in self.state_dict().items()}
        write_atomically(path, save_tensors(state, {KIND: json.dumps(self.words, ensure_ascii=False)}))


def _tree(sentences: list[list[int]], bos: int) -> tuple[list[int], list[int], list[int], list[list[int]]]:
    """Arrange sentences by the beginnings that they have in common.

    Returns:
        the word of each node, `bos` that of the root; the node before it, -1 none; the end of each level of nodes; for
        each sentence the nodes that its words, and what comes after them, follow.
    """
    words, parents, levels = [bos], [-1], [1]
    paths = [[0] for _ in sentences]
    for depth in range(max(map(len, sentences), default=0)):
        known: dict[tuple[int, int], int] = {}
        for path, sentence in zip(paths, sentences, strict=True):
            if depth < len(sentence):
                node = known.setdefault((path[-1], sentence[depth]), len(words))
                if node == len(words):
                    words.append(sentence[depth])
                    parents.append(path[-1])
                path.append(node)
        levels.append(len(words))
    return words, parents, levels, paths


def load_lstm(path: str | Path) -> LstmLM:
    """Load a model that `LstmLM.save` wrote; nothing is built that is not as large as the file itself.

    Raises:
        DecoderError: no such file, or not one of an LSTM language model.
        BundleError: it is damaged.
    """
    path = expanded(path)
    if not path.exists():
        raise DecoderError(f"{path}: no such file; `speechlstm lm kind=lstm` writes LSTM language models")
    tensors, about = read_tensors_and_metadata(path)
    if KIND not in about:
        raise DecoderError(
            f"{path}: not an LSTM language model that this version reads; `speechlstm lm kind=lstm` writes them"
        )
    words = _words(path, about[KIND])
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    embedding, hidden = (*shapes.get("projection.weight", ()), 0, 0)[:2]
    size = len(words)
    wanted = {
        "embedding.weight": (size, embedding),
        "lstm.weight_ih_l0": (4 * hidden, embedding),
        "lstm.weight_hh_l0": (4 * hidden, hidden),
        "lstm.bias_ih_l0": (4 * hidden,),
        "lstm.bias_hh_l0": (4 * hidden,),
        "projection.weight": (embedding, hidden),
        "projection.bias": (embedding,),
        "bias": (size,),
    }
    for name in sorted(wanted.keys() | shapes.keys()):
        if shapes.get(name) != wanted.get(name) or not embedding or not hidden:
            raise DecoderError(
                f"{path}: damaged: {name[:80]} is of shape {shapes.get(name)}, but must be {wanted.get(name)} for"
                f" {size:,} words, embeddings of {embedding} and an LSTM of {hidden}"
            )
        if not tensors[name].is_floating_point() or not bool(tensors[name].isfinite().all()):
            raise DecoderError(f"{path}: damaged: {name} has whole or infinite numbers")
    with torch.device("meta"):  # neither memory nor random numbers are needed for weights that are replaced
        model = LstmLM(words, embedding, hidden, draw=False)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _words(path: Path, text: str) -> list[str]:
    """Return the words in the header of a file."""
    try:
        words = read_value(text)
    except ValueError:
        words = None
    listed = isinstance(words, list) and all(isinstance(word, str) and encodable(word) for word in words)
    if not listed or words[:3] != MARKS or len(set(words)) < len(words):
        raise DecoderError(
            f"{path}: damaged: its words must be a list of distinct texts that begins with {', '.join(MARKS)}"
        )
    return list(words)

"""The LSTM language model against its equations and PyTorch's own LSTM, and its file."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from speechlstm.decoders.lm.lstm import KIND, MARKS, LstmLM, _tree, load_lstm

WORDS = [*MARKS, "a", "b", "c", "été"]
SENTENCES = st.lists(st.lists(st.sampled_from(["a", "b", "c", "other"]), max_size=6), min_size=1, max_size=90)


def make(words: list[str] = WORDS, embedding: int = 5, hidden: int = 7, seed: int = 0) -> LstmLM:
    torch.manual_seed(seed)
    model = LstmLM(words, embedding, hidden)
    torch.nn.init.normal_(model.bias)
    return model.eval().requires_grad_(False)


MODEL = make()


def by_torch(model: LstmLM, sentence: list[str]) -> list[float]:
    """Return the scores of one sentence by PyTorch's LSTM and softmax."""
    ids = model.numbers(sentence)
    rows = model.logits(model(torch.tensor([[model.bos, *ids]]))).log_softmax(-1)[0]
    return [float(row[word]) for row, word in zip(rows, [*ids, model.eos], strict=True)]


@settings(max_examples=40, deadline=None)
@given(SENTENCES)
def test_sentences_together_score_as_each_alone(sentences: list[list[str]]) -> None:
    for sentence, scores in zip(sentences, MODEL.score(sentences), strict=True):
        assert scores == pytest.approx(by_torch(MODEL, sentence), abs=1e-5)


def test_no_sentences_have_no_scores() -> None:
    assert MODEL.score([]) == []


@settings(max_examples=40, deadline=None)
@given(SENTENCES)
def test_each_beginning_is_computed_once(sentences: list[list[str]]) -> None:
    ids = [MODEL.numbers(sentence) for sentence in sentences]
    words, parents, levels, paths = _tree(ids, MODEL.bos)
    beginnings = {tuple(sentence[:end]) for sentence in ids for end in range(len(sentence) + 1)}
    assert len(words) == len(parents) == levels[-1] == len(beginnings)
    for sentence, path in zip(ids, paths, strict=True):
        assert [words[node] for node in path] == [MODEL.bos, *sentence]
        assert [parents[node] for node in path] == [-1, *path[:-1]]


def test_the_network_follows_its_equations() -> None:
    weights = {name: value.double().numpy() for name, value in MODEL.state_dict().items()}
    embedding, size = weights["embedding.weight"], MODEL.lstm.hidden_size

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    output = cell = np.zeros(size)
    expected = []
    for before, word in zip([0, 3, 5, 2], [3, 5, 2, 1], strict=True):
        read = weights["lstm.weight_ih_l0"] @ (math.sqrt(5) * embedding[before]) + weights["lstm.bias_ih_l0"]
        gates = read + weights["lstm.weight_hh_l0"] @ output + weights["lstm.bias_hh_l0"]
        take, keep, new, give = gates.reshape(4, size)
        cell = sigmoid(keep) * cell + sigmoid(take) * np.tanh(new)
        output = sigmoid(give) * np.tanh(cell)
        hidden = weights["projection.weight"] @ output + weights["projection.bias"]
        logits = embedding @ hidden + weights["bias"]
        expected.append(logits[word] - np.log(np.exp(logits).sum()))
    assert MODEL.score([["a", "c", "never"]])[0] == pytest.approx(expected, abs=1e-5)


def test_padding_changes_nothing() -> None:
    alone = MODEL(torch.tensor([[0, 3, 4]]))
    padded = MODEL(torch.tensor([[0, 3, 4, 5, 5], [0, 4, 4, 4, 4]]))
    assert torch.allclose(padded[:1, :3], alone, atol=1e-6)


@pytest.mark.parametrize("context", [[], ["a"], ["c", "b", "other"]])
def test_probabilities_sum_to_1(context: list[str]) -> None:
    nexts = MODEL.score([[*context, word] for word in WORDS if word != "</s>"])
    scores = [each[len(context)] for each in nexts] + [MODEL.score([context])[0][-1]]
    assert math.fsum(map(math.exp, scores)) == pytest.approx(1, abs=1e-5)


def test_a_file_holds_the_model_in_half_precision(tmp_path: Path) -> None:
    large = make([*MARKS, *map(str, range(500))], 16, 24)
    large.save(tmp_path / "lm.safetensors")
    weights = sum(each.numel() for each in large.parameters())
    assert (tmp_path / "lm.safetensors").stat().st_size < 2 * weights + 8000
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    loaded = load_lstm(str(tmp_path / "lm.safetensors"))
    assert torch.equal(torch.rand(1), expected), "loading takes no random numbers from a training"
    assert loaded.words == large.words and not any(each.requires_grad for each in loaded.parameters())
    assert {each.dtype for each in loaded.parameters()} == {torch.float32}
    sentences = [["1", "2", "3"], ["1", "499"]]
    for before, after in zip(large.score(sentences), loaded.score(sentences), strict=True):
        assert after == pytest.approx(before, abs=0.02)
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "lm.safetensors").read_bytes()
    with safe_open(str(tmp_path / "lm.safetensors"), "pt") as file:
        assert set(file.metadata()) == {KIND}


def test_words_of_any_script_survive(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "lm.safetensors")
    assert load_lstm(tmp_path / "lm.safetensors").words == WORDS


def test_loading_it_draws_nothing_and_imports_no_compiler(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "lm.safetensors")
    code = (
        "import sys, torch; from pathlib import Path; from speechlstm.decoders.lm.lstm import load_lstm\n"
        "before = torch.get_rng_state(); load_lstm(Path(sys.argv[1]))\n"
        "assert torch.equal(before, torch.get_rng_state()) and 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "lm.safetensors"], check=True, timeout=60)

"""Training of LSTM language models: what is learned, the batches, and going on after an interruption."""

from __future__ import annotations

import math
import random
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlstm.data.files import locked
from speechlstm.decoders.lm import NGram, estimate
from speechlstm.decoders.lm.corpus import Corpus, make_corpus
from speechlstm.decoders.lm.lstm import load_lstm
from speechlstm.training import language
from speechlstm.training.language import LONGEST, Batches, LanguageModule, LanguageSettings
from speechlstm.training.language import train_language_model as train
from speechlstm.training.next_word import next_word_loss
from speechlstm.types import SpeechlstmError, UsageError

SETTINGS = LanguageSettings(embedding=8, hidden=16, epochs=1, lr=0.01, seed=1)
STEPS = {1: 0.7, 2: 0.2, 0: 0.1}  # from each word of the circle to the next, to the one after it, to the end


def circle(sentences: int, seed: int) -> Corpus:
    """Return sentences whose words follow each other in a circle; each begins anywhere."""
    rng = random.Random(seed)

    def sentence() -> list[str]:
        word, made = rng.randrange(8), []
        while True:
            made.append(f"w{word % 8}")
            (step,) = rng.choices(list(STEPS), list(STEPS.values()))
            if not step:
                return made
            word += step

    return make_corpus(sentence() for _ in range(sentences))


def entropy(corpus: Corpus) -> float:
    """Return the cross-entropy of the circle's own probabilities, natural log per word."""
    of_step = -sum(share * math.log(share) for share in STEPS.values())
    words, sentences = corpus.num_words, corpus.num_sentences
    return (sentences * math.log(8) + words * of_step) / (words + sentences)


def test_it_comes_close_to_the_entropy_of_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_RISE", 20)
    text, test = circle(600, 1), circle(300, 2)
    model = train(text, replace(SETTINGS, epochs=20, lr=0.03), tmp_path / "lm", "cpu")
    got = model.perplexity(test)
    unigrams = NGram.from_trie(estimate(text, 1)[0]).perplexity(test)
    least = math.exp(entropy(test))
    assert least * 0.97 < got.with_oov < least * 1.06 < unigrams.with_oov / 2
    assert (got.sentences, got.words, got.oov) == (unigrams.sentences, unigrams.words, [])
    assert [path.name for path in tmp_path.iterdir()] == ["lm"]
    assert load_lstm(tmp_path / "lm").perplexity(test).with_oov == pytest.approx(got.with_oov, rel=1e-2)


def test_perplexity_counts_unknown_words_as_ngram_models_do(tmp_path: Path) -> None:
    model = train(circle(20, 1), SETTINGS, tmp_path / "lm", "cpu")
    test = make_corpus([["w1", "new", "w2"], ["new"], ["other", "w3"]])
    got = model.perplexity(test)
    assert got.oov == [("new", 2), ("other", 1)] and (got.sentences, got.words) == (3, 6)
    scores = np.concatenate(model.score([["w1", "new", "w2"], ["new"], ["other", "w3"]]))
    assert got.with_oov == pytest.approx(math.exp(-scores.mean()))
    assert got.without_oov == pytest.approx(math.exp(-scores[[0, 2, 3, 5, 7, 8]].mean()))


# batches


def test_every_epoch_has_every_sentence_once_in_batches_of_a_size() -> None:
    corpus = circle(1500, 3)
    batches = Batches(corpus, epochs=2, seed=1)
    count = len(batches.lengths)
    half = int(np.searchsorted(np.cumsum([len(batch) for batch in batches.plan]), count)) + 1
    for epoch in (batches.plan[:half], batches.plan[half:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(count))
    assert any(
        len(one) != len(other) or (one != other).any()
        for one, other in zip(batches.plan[:half], batches.plan[half:], strict=False)
    )
    padding = real = 0
    for number in range(half):
        read, follow = batches[number]
        assert read.shape == follow.shape and read.numel() <= language._TOKENS
        padding += int((follow == language._PADDING).sum())
        real += int((follow != language._PADDING).sum())
    assert real == corpus.num_words + corpus.num_sentences
    assert padding < 0.2 * real


def test_a_sentence_that_is_cut_neither_ends_nor_begins_there() -> None:
    words = [f"w{number}" for number in range(2 * LONGEST + 3)]
    batches = Batches(make_corpus([words]), 1, 1)
    pairs = [
        (batches.words[before], batches.words[after])
        for number in range(len(batches))
        for read, follow in zip(*batches[number], strict=True)
        for before, after in zip(read.tolist(), follow.tolist(), strict=True)
        if after != language._PADDING
    ]
    assert sorted(pairs) == sorted(zip(["<s>", *words], [*words, "</s>"], strict=True))


def test_a_batch_reads_what_comes_before_and_predicts_what_follows() -> None:
    corpus = make_corpus([["a", "b"], ["c"], ["b", "<unk>", "a"]])
    batches = Batches(corpus, 1, 1)
    assert batches.words == ["<s>", "</s>", "<unk>", "a", "b", "c"]
    assert batches.counts.tolist() == [3, 3, 1, 2, 2, 1]
    (batch,) = batches.plan
    read, follow = batches[0]
    rows = {
        int(index): (one.tolist(), other.tolist())
        for index, one, other in zip(batch, read, follow, strict=True)
    }
    assert rows[0] == ([0, 3, 4, 0], [3, 4, 1, -100])
    assert rows[1] == ([0, 5, 0, 0], [5, 1, -100, -100])
    assert rows[2] == ([0, 4, 2, 3], [4, 2, 3, 1])


@pytest.mark.parametrize("length", [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST])
def test_long_sentences_are_cut(length: int) -> None:
    batches = Batches(make_corpus([["a"], ["b"] * length, ["a", "a"]]), 1, 1)
    pieces = -(-length // LONGEST)
    assert len(batches.lengths) == pieces + 2
    assert batches.lengths.sum() == length + 3 and batches.lengths.max() <= LONGEST
    words = [
        batches.stream[begin : begin + size]
        for begin, size in zip(batches.begins, batches.lengths, strict=True)
    ]
    assert [set(each.tolist()) for each in words] == [{3}, *[{4}] * pieces, {3}]


# interruptions


def at(patch: pytest.MonkeyPatch, number: int, event: signal.Signals | Exception) -> None:
    """Let a signal come, or an error, in the update of a number."""
    original = LanguageModule.training_step

    def stumble(self: LanguageModule, batch: language.Batch, index: int) -> torch.Tensor:
        if self.global_step == number:
            if isinstance(event, Exception):
                raise event
            signal.raise_signal(event)
        return original(self, batch, index)

    patch.setattr(LanguageModule, "training_step", stumble)


def test_a_stopped_training_goes_on_as_if_nothing_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, settings = circle(200, 4), replace(SETTINGS, epochs=6)
    whole = train(text, settings, tmp_path / "whole", "cpu")
    for number, status, update in ((signal.SIGTERM, 143, 4), (signal.SIGINT, 130, 9)):
        with monkeypatch.context() as patch:
            at(patch, update, number)
            with pytest.raises(SystemExit) as raised:
                train(text, settings, tmp_path / "stopped", "cpu")
        assert raised.value.code == status
        assert "run the same command again to resume" in capsys.readouterr().err
    for change in ({"hidden": 8}, {"seed": 2}, {"epochs": 2}):
        with pytest.raises(UsageError, match=f"of a training with another {next(iter(change))}; use the old"):
            train(text, replace(settings, **change), tmp_path / "stopped", "cpu")
    with pytest.raises(UsageError, match="another text"):
        train(circle(300, 5), settings, tmp_path / "stopped", "cpu")
    resumed = train(text, settings, tmp_path / "stopped", "cpu")
    assert "going on from" in capsys.readouterr().err
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "whole"]


def test_a_full_disk_costs_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = circle(100, 4)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("speechlstm.decoders.lm.lstm.write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            train(text, SETTINGS, tmp_path / "lm", "cpu")
    monkeypatch.setattr(LanguageModule, "training_step", lambda *_: pytest.fail("nothing is left to do"))
    resumed = train(text, SETTINGS, tmp_path / "lm", "cpu")
    monkeypatch.undo()
    whole = train(text, SETTINGS, tmp_path / "whole", "cpu")
    assert torch.equal(resumed.bias, whole.bias)


def test_one_training_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / ".lm.training"
    with locked(folder), pytest.raises(SpeechlstmError, match="has been writing here since"):
        train(circle(3, 4), SETTINGS, tmp_path / "lm", "cpu")
    assert folder.exists(), "another's folder stays"


def test_errors_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 1, SpeechlstmError("a fault"))
    with pytest.raises(SpeechlstmError, match="a fault"):
        train(circle(300, 4), SETTINGS, tmp_path / "lm", "cpu")
    monkeypatch.undo()
    monkeypatch.setattr(language, "_begin", lambda *_: _broken())
    with pytest.raises(SpeechlstmError, match=r"update 0: the loss is not finite; lower lstm\.lr"):
        train(circle(300, 4), SETTINGS, tmp_path / "lm", "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match=r"lstm\.accelerator=gpu: PyTorch sees no GPU"):
            train(circle(3, 4), SETTINGS, tmp_path / "lm", "gpu")
    assert not list(tmp_path.iterdir())


def _broken() -> language.LstmLM:
    model = language.LstmLM([*language.MARKS, *(f"w{number}" for number in range(8))], 8, 16)
    torch.nn.init.constant_(model.bias, math.nan)
    return model


# going on from a model


def test_going_on_from_a_model_fits_it_to_other_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_RISE", 10)
    general = train(circle(400, 1), replace(SETTINGS, epochs=4, lr=0.03), tmp_path / "lm.safetensors", "cpu")
    own = make_corpus([["w3", "w1", "w3", "new", "w1"]] * 300)
    settings = replace(SETTINGS, epochs=60, lr=0.03, init_from=str(tmp_path / "lm.safetensors"))
    fitted = train(own, settings, tmp_path / "own.safetensors", "cpu")
    assert fitted.words == general.words and fitted.lstm.hidden_size == general.lstm.hidden_size
    assert fitted.perplexity(own).with_oov < 0.5 * general.perplexity(own).with_oov
    assert load_lstm(tmp_path / "lm.safetensors").perplexity(own).oov == [("new", 300)]


# the loss


@pytest.mark.parametrize("contexts", [1, 319, 320, 321, 1000])
def test_the_loss_and_its_gradients_are_those_of_cross_entropy(contexts: int) -> None:
    torch.manual_seed(contexts)
    given = [torch.randn(shape, requires_grad=True) for shape in ((contexts, 5), (30, 5), (30,))]
    words = torch.randint(30, (contexts,))
    wanted = torch.nn.functional.cross_entropy(torch.nn.functional.linear(*given), words)
    got = next_word_loss(*given, words)
    torch.testing.assert_close(got, wanted)
    for one, other in zip(
        torch.autograd.grad(3 * got, given), torch.autograd.grad(3 * wanted, given), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_the_loss_of_logits_that_are_far_apart_is_finite() -> None:
    states = torch.tensor([[300.0, -300.0]], requires_grad=True)
    loss = next_word_loss(states, torch.eye(2), torch.zeros(2), torch.tensor([1]))
    loss.backward()
    assert loss.item() == 600 and states.grad is not None and states.grad.tolist() == [[1, -1]]

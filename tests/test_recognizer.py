"""The recogniser in training: the loss against brute force over all alignments, and what validation scores."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speechlstm.augment import SpecAugment
from speechlstm.decoders.base import Decoder
from speechlstm.decoders.greedy import GreedyDecoder
from speechlstm.encoder import Encoder
from speechlstm.errors import SpeechlstmError
from speechlstm.features import LogMel
from speechlstm.recognizer import Recognizer, ctc_loss
from speechlstm.tokenizer import Characters
from speechlstm.types import Batch, Hypothesis, Utterance

TOKENIZER = Characters.from_texts(["ab"])  # <blank> <space> a b


def log_probs(batch: int, frames: int, vocab: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, frames, vocab, generator=generator)).log_softmax(-1)


def pad(targets: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = [len(target) for target in targets]
    rows = [target + [0] * (max(lengths) - len(target)) for target in targets]
    return torch.tensor(rows, dtype=torch.long).view(len(targets), max(lengths)), torch.tensor(lengths)


def brute_force(row: Tensor, target: list[int]) -> float:
    """Return the negative log-likelihood by adding up every path that collapses to the target (Graves 2006)."""
    total = 0.0
    for path in itertools.product(range(row.shape[1]), repeat=len(row)):
        if [token for token, _ in itertools.groupby(path) if token] == target:
            total += math.exp(sum(float(row[frame, token]) for frame, token in enumerate(path)))
    return -math.log(total) if total else math.inf


# the loss


@settings(max_examples=40, deadline=None)
@given(
    utterances=st.lists(
        st.tuples(st.integers(1, 5), st.lists(st.integers(1, 2), max_size=4)), min_size=1, max_size=3
    ),
    seed=st.integers(0, 1000),
)
def test_the_loss_is_the_sum_over_all_alignments(utterances: list[tuple[int, list[int]]], seed: int) -> None:
    frames = max(length for length, _ in utterances)
    probs = log_probs(len(utterances), frames, 3, seed)
    targets, target_lengths = pad([target for _, target in utterances])
    lengths = torch.tensor([length for length, _ in utterances])
    singly = [
        brute_force(row[:length], target) for row, (length, target) in zip(probs, utterances, strict=True)
    ]

    loss, unalignable = ctc_loss(probs, targets, lengths, target_lengths)

    assert unalignable == sum(each == math.inf for each in singly)
    tokens = max(1, sum(len(target) for _, target in utterances))
    wanted = sum(each for each in singly if each != math.inf) / tokens
    assert float(loss) == pytest.approx(wanted, abs=1e-4, rel=1e-4)


def test_an_utterance_that_cannot_be_aligned_teaches_nothing() -> None:
    probs = log_probs(2, 4, 3).requires_grad_()
    targets, target_lengths = pad([[1, 1, 2, 2], [1, 2]])  # the first needs six frames and has four
    loss, unalignable = ctc_loss(probs, targets, torch.tensor([4, 4]), target_lengths)
    loss.backward()
    assert unalignable == 1 and loss.isfinite()
    assert probs.grad is not None
    assert not probs.grad[0].any() and probs.grad[1].any()


def test_frames_and_targets_past_the_lengths_do_not_count() -> None:
    probs = log_probs(1, 6, 3)
    wanted, _ = ctc_loss(probs[:, :4], torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2]))
    garbage = torch.tensor([[1, 2, 99, -5]])
    got, unalignable = ctc_loss(probs, garbage, torch.tensor([4]), torch.tensor([2]))
    assert float(got) == pytest.approx(float(wanted)) and unalignable == 0


@pytest.mark.parametrize(
    ("target", "named"), [([1, 0], r"0\.\.1"), ([3], r"3\.\.3"), ([-1, 2], r"-1\.\.2"), ([2**40], r"10995")]
)
def test_targets_outside_the_vocabulary_are_an_error_and_no_crash(target: list[int], named: str) -> None:
    targets, target_lengths = pad([[1], target])
    with pytest.raises(SpeechlstmError, match=rf"lie in .*{named[-3:]}.*, but must be in 1\.\.2"):
        ctc_loss(log_probs(2, 9, 3), targets, torch.tensor([9, 9]), target_lengths)


def test_the_loss_is_computed_in_float32() -> None:
    targets, target_lengths = pad([[1, 2]])
    probs = log_probs(1, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = ctc_loss(probs, targets, torch.tensor([5]), target_lengths)
    exact, _ = ctc_loss(probs, targets, torch.tensor([5]), target_lengths)
    assert mixed.dtype == torch.float32 and torch.equal(mixed, exact)
    half, _ = ctc_loss(probs.bfloat16(), targets, torch.tensor([5]), target_lengths)
    assert half.dtype == torch.float32 and float(half) == pytest.approx(float(exact), abs=0.05)


def test_a_token_counts_the_same_in_a_short_and_in_a_long_utterance() -> None:
    probs = log_probs(2, 8, 3)
    lengths = torch.tensor([8, 8])
    targets, target_lengths = pad([[1], [1, 2, 1]])
    together, _ = ctc_loss(probs, targets, lengths, target_lengths)
    first, _ = ctc_loss(probs[:1], targets[:1], lengths[:1], target_lengths[:1])
    second, _ = ctc_loss(probs[1:], targets[1:], lengths[1:], target_lengths[1:])
    assert float(together) == pytest.approx(float(first * 1 + second * 3) / 4)


def test_without_any_target_the_loss_is_that_of_silence() -> None:
    probs = log_probs(2, 4, 3)
    nothing = torch.zeros(2, dtype=torch.long)
    loss, unalignable = ctc_loss(probs, torch.zeros(2, 0, dtype=torch.long), nothing + 4, nothing)
    assert float(loss) == pytest.approx(-float(probs[..., 0].sum()), abs=1e-4) and unalignable == 0


# the module


class Fixed(nn.Module):
    """Stands in for an encoder: says what it is told, whatever it hears."""

    def __init__(self, says: list[list[int]]) -> None:
        super().__init__()
        self.says = says

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        probs = torch.full((len(self.says), max(map(len, self.says)), len(TOKENIZER)), 1e-3)
        for row, path in zip(probs, self.says, strict=True):
            row[torch.arange(len(path)), torch.tensor(path)] = 1.0
        return (probs / probs.sum(-1, keepdim=True)).log(), torch.tensor([len(path) for path in self.says])


class InWords(Decoder):
    def decode(self, log_probs: Tensor) -> list[Hypothesis]:
        return [Hypothesis([2], [0], [1], 0.0, [1.0], text="in words")]


def batch(texts: list[str], targets: list[list[int]] | None = None) -> Batch:
    rows, target_lengths = pad(targets if targets is not None else [TOKENIZER.encode(text) for text in texts])
    utterances = [Utterance(f"{index}.wav", 0.5, text, str(index)) for index, text in enumerate(texts)]
    waveforms = torch.randn(len(texts), 4000, generator=torch.Generator().manual_seed(0))
    return Batch(waveforms, torch.full((len(texts),), 4000), rows, target_lengths, utterances)


def recognizer(encoder: nn.Module | None = None, **options: object) -> Recognizer:
    features = LogMel(8000, num_mels=8)
    torch.manual_seed(0)
    encoder = encoder or Encoder(8, len(TOKENIZER), hidden_size=4, num_layers=1, conv_channels=2)
    parts = {"decoder": GreedyDecoder(TOKENIZER), **options}
    return Recognizer(features, encoder, TOKENIZER, **parts)


def logged(model: Recognizer, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, int]]:
    values: dict[str, tuple[float, int]] = {}

    def log(name: str, value: object, **options: object) -> None:
        values[name] = (float(torch.as_tensor(value).detach()), options.get("batch_size", 0))

    monkeypatch.setattr(model, "log", log)
    return values


def test_validation_keeps_references_and_hypotheses(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recognizer(Fixed([[2, 0, 2, 3], [0, 3, 1, 2], [0, 0, 0, 0]])).eval()
    values = logged(model, monkeypatch)
    model.validation_step(batch(["AaB", " b  a ", "a"]), 0)
    assert model.pairs == [("aab", "aab"), ("b a", "b a"), ("a", "")], "normalised as the tokenizer trains"
    assert values["val/blank_rate"] == (pytest.approx(6 / 12), 12)
    assert values["val/loss"][1] == 7, "weighted by tokens, as the loss is"


def test_a_decoder_that_works_in_words_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recognizer(Fixed([[2, 3]]), decoder=InWords(TOKENIZER)).eval()
    logged(model, monkeypatch)
    model.validation_step(batch(["ab"]), 0)
    assert model.pairs == [("ab", "in words")]


def test_what_cannot_be_spelled_is_scored_but_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recognizer(Fixed([[2, 0], [3, 3]])).eval()
    values = logged(model, monkeypatch)
    model.validation_step(batch(["xyz", "b"], targets=[[], [3]]), 0)
    assert model.pairs == [("xyz", "a"), ("b", "b")]
    assert values["val/loss"] == (pytest.approx(-math.log((1 + 2 * 0.001) / 1.003**2), rel=1e-3), 1)
    values.clear()
    model.validation_step(batch(["xyz", "uvw"], targets=[[], []]), 0)
    assert len(model.pairs) == 4 and "val/loss" not in values and "val/blank_rate" in values


def test_a_training_step_depends_on_seed_and_step_only(monkeypatch: pytest.MonkeyPatch) -> None:
    augment = SpecAugment(time_masks=4, time_width=0.4)
    model = recognizer(augment=augment, seed=1).train()
    logged(model, monkeypatch)

    def losses() -> float:
        return float(model.training_step(batch(["ab", "b"]), 0).detach())

    first = losses()
    torch.rand(7)
    assert losses() == first
    model.seed = 2
    assert losses() != first


def test_augmentation_is_for_training_only() -> None:
    model = recognizer(augment=SpecAugment(time_masks=4, time_width=0.4), encoder=Encoder(8, 4, dropout=0.0))
    waveforms = batch(["a"]).waveforms
    lengths = torch.tensor([4000])
    quiet = [model.eval()(waveforms, lengths)[0] for _ in range(2)]
    assert torch.equal(*quiet)
    assert not torch.equal(model.train()(waveforms, lengths)[0], quiet[0])


def test_the_number_of_unalignable_utterances_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recognizer().train()
    values = logged(model, monkeypatch)
    model.training_step(batch(["ab" * 20, "a"]), 0)  # half a second has 13 frames
    assert values["train/unalignable"][0] == 1 and math.isfinite(values["train/loss"][0])


def test_a_checkpoint_for_other_tokens_is_refused() -> None:
    model = recognizer()
    checkpoint: dict[str, object] = {}
    model.on_save_checkpoint(checkpoint)
    model.on_load_checkpoint(checkpoint)
    checkpoint["tokens"] = ["<blank>", "z"]
    with pytest.raises(SpeechlstmError, match=r"trained for other tokens .* use another out="):
        model.on_load_checkpoint(checkpoint)
